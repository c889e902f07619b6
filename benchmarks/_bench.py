"""What the benchmarks share: timing sides in turn, one Markdown table, its place in README.md."""

import argparse
import concurrent.futures
import datetime
import gc
import importlib.metadata
import multiprocessing
import os
import pathlib
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

Returned = TypeVar("Returned")

README = pathlib.Path(__file__).with_name("README.md")


class Spread(NamedTuple):
    """Median, least and greatest of repeated measurements."""

    median: float
    least: float
    greatest: float

    def shown(self, pattern: str = ".2f", factor: float = 1.0) -> str:
        """``median (least to greatest)``, each multiplied and written by a format pattern."""
        median, least, greatest = (format(factor * value, pattern) for value in self)
        return f"{median} ({least} to {greatest})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Quotients of the measurements of the same round: what slows a round down slows both."""
    return [a / b for a, b in zip(over, under, strict=True)]


def alternate(
    sides: Mapping[str, Callable[[], Any]], repeats: int = 5, *, warm_up: int = 1
) -> dict[str, list[float]]:
    """Runs the sides in turn and takes the time of each run.

    Args:
        sides: by name what is to be run. A float that it returns is taken as the seconds, for those
            that measure a part of what they do; anything else is thrown away.
        repeats: rounds. Every second one goes through the sides in reverse order, so that none of
            them always runs after the same other.
        warm_up: runs of each side before, which are not counted.

    Returns:
        By side the seconds of each round.
    """
    for _ in range(warm_up):
        for run in sides.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            # What the run before has left is not this one's to clear away.
            result: Any = None
            gc.collect()
            begin = time.perf_counter()
            result = sides[name]()
            took = time.perf_counter() - begin
            seconds[name].append(result if isinstance(result, float) else took)
    return seconds


def in_new_processes(
    function: Callable[..., Returned], calls: Sequence[tuple[Any, ...]], imports: Sequence[str]
) -> list[Returned]:
    """Results of a function that measures the memory of a process, which is a new one each time.

    The processes are forked off one that has only imported something, which would take longer than
    what is measured. Two run at a time, as that makes no difference to memory.

    Args:
        function: of a module; it and what it takes and returns are pickled.
        calls: arguments of each call.
        imports: modules that every one of the processes has.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(imports))

    def call(arguments: tuple[Any, ...]) -> Returned:
        # Unlike a pool of multiprocessing, this tells of a process that was killed.
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
            return process.submit(function, *arguments).result()

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        return list(threads.map(call, calls))


def peak_mib(run: Callable[[], Any]) -> float:
    """MiB by which a call raises this process's resident memory at its highest (Linux).

    Pages of files that are mapped into memory, as those of a data set are, do not count: the system
    takes them back whenever it wants memory.

    In a process that has used more before, it would not show that memory is used again: measure in
    a new process, after what both sides need is loaded.
    """
    # The mark that ru_maxrss tells would still be that of loading, or even of the parent process.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _status_mib("VmRSS")
    own_before, files_before = _status_mib("RssAnon"), _status_mib("RssFile")
    own, files, over = own_before, files_before, threading.Event()

    def watch() -> None:
        nonlocal own, files
        while not over.wait(0.01):
            own, files = max(own, _status_mib("RssAnon")), max(files, _status_mib("RssFile"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        over.set()
        watcher.join()
    # The first is exact, but too low where most files were mapped at another moment than that of
    # the peak; the second may miss a peak that was over at once.
    without_files = _status_mib("VmHWM") - before - (files - files_before)
    return max(0.0, without_files, own - own_before)


def _status_mib(name: str) -> float:
    lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return kib / 1024


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Prints a Markdown table, and returns it."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in (headers, *rows)]
    lines.insert(1, "|---" * len(headers) + "|")
    text = "\n".join(lines)
    print(text, flush=True)
    return text


def hardware(threads: int | None = None) -> str:
    """One line: processor, accelerator if there is one, versions, threads, date."""
    # The process that the others are forked off imports this module, and may do without torch.
    import torch

    parts = [f"{_processor()}, {len(os.sched_getaffinity(0))} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    parts.append(f"{threads or torch.get_num_threads()} thread(s) a process")
    parts.append(f"Python {platform.python_version()}")
    names = ("torch", "transformers", "datasets")
    parts += [f"{name} {importlib.metadata.version(name).split('+')[0]}" for name in names]
    parts.append(datetime.datetime.now(datetime.timezone.utc).date().isoformat())
    return "; ".join(parts)


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with what all scripts take: ``--write``, ``--quick``, ``--repeats``."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    either = made.add_mutually_exclusive_group()
    either.add_argument("--write", action="store_true", help="put the table into README.md")
    either.add_argument("--quick", action="store_true", help="a tiny size: tries the script only")
    made.add_argument("--repeats", type=int, default=5, help="rounds that are measured")
    return made


def write(
    name: str, text: str, readme: pathlib.Path = README, *, threads: int | None = None
) -> None:
    """Puts text, with the hardware below, between ``NAME``'s two markers in README.md.

    On a machine with a GPU these are ``NAME_gpu``'s; without such, nothing is written.

    Args:
        name: of the markers.
        text: the table, and what belongs to it.
        readme: the file.
        threads: of each measured process, where they are not this one's.
    """
    import torch  # As in `hardware`.

    page = readme.read_text(encoding="utf-8")
    if torch.cuda.is_available():
        name += "_gpu"
        if f"<!-- {name}:begin -->" not in page:
            print(f"{readme.name} has no table {name}; nothing was written")
            return
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        fail(f"{readme.name} has to have the lines {begin} and {end}, once each")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    readme.write_text(
        f"{before}{begin}\n{text}\n\n{hardware(threads)}\n{end}{after}", encoding="utf-8"
    )


def fail(message: str) -> NoReturn:
    """Ends the script with exit code 1, for sides that did not compute the same."""
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")
