"""The scripts in benchmarks/ run at a tiny size, compare their sides and print their table.

Nothing is timed here.
"""

import concurrent.futures
import importlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import transformers

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def as_loud_as_before() -> Iterator[None]:
    """The scripts silence libraries, which other tests in this process look at."""
    verbosity = transformers.utils.logging.get_verbosity()
    yield
    transformers.utils.logging.set_verbosity(verbosity)
    transformers.utils.logging.enable_progress_bar()
    datasets.enable_progress_bars()


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param)


def table_of(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *words: str,
) -> list[list[str]]:
    """The cells of the table that the script prints."""
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", "--quick", *words])
    module.main()
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("script", ["postprocess"], indirect=True)
def test_postprocess(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Other processes would need seconds to start.
    monkeypatch.setattr(script._bench, "in_new_processes", lambda _, calls, __: [1.0] * len(calls))
    headers, _, *rows = table_of(script, monkeypatch, capfd)
    assert headers[0] == "windows" and [row[1] for row in rows] == ["20 x 20 best", "all"]

    def wrong(*arguments: Any) -> None:
        ours(*arguments)
        path = arguments[-1] / "predictions.json"
        answers = json.loads(path.read_text())
        path.write_text(json.dumps({**answers, next(iter(answers)): "something else"}))

    ours = script.ours
    monkeypatch.setitem(script.SIDES, "ours", wrong)
    with pytest.raises(SystemExit, match="something else"):
        table_of(script, monkeypatch, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["preprocess"], indirect=True)
def test_preprocess(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "WORKERS", 1)
    headers, _, *rows = table_of(script, monkeypatch, capfd)
    assert headers[0] == "task" and len(rows) == len(script.TASKS) + 2 + len(script.WITH_WORKERS)

    bare = script.bare
    monkeypatch.setattr(script, "bare", lambda *words: ([[0], *ids] for ids in bare(*words)))
    with pytest.raises(SystemExit, match="other tokens"):
        table_of(script, monkeypatch, capfd, "--tasks", "clm")


@pytest.mark.slow
@pytest.mark.parametrize("script", ["startup"], indirect=True)
def test_startup(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "import_seconds", lambda _: 1.0)
    _, _, cold, warm, _ = table_of(script, monkeypatch, capfd)
    assert cold[2] == "22 texts tokenized" and warm[2] == "0 texts tokenized"


@pytest.mark.slow
@pytest.mark.parametrize("script", ["run"], indirect=True)
def test_run(
    script: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    model = tmp_path / "model"
    transformers.set_seed(0)
    config = transformers.AutoConfig.from_pretrained(corpus / "model", max_position_embeddings=512)
    transformers.AutoModelForQuestionAnswering.from_config(config).save_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(corpus / "model", model_max_length=512)
    tokenizer.save_pretrained(model)
    words = ["--model", str(model), "--repeats", "1"]
    _, _, *rows = table_of(script, monkeypatch, capfd, *words)
    assert [row[0] for row in rows] == ["ours", "Trainer"]
    assert all(float(row[1].split()[0]) > 0 for row in rows)

    # On the same batches and without dropout, the scores are the same.
    words += ["--same-batches", "--seeds", "1", "--sides", "ours", "Trainer, grouped"]
    headers, _, ours, theirs = table_of(script, monkeypatch, capfd, *words)
    assert headers[1] == "F1, seed 1" and ours[1:] == theirs[1:] and float(ours[1]) > 0
    different = {side: [script.Result(1.0, 10, f1)] for side, f1 in (("a", 50.0), ("b", 51.1))}
    with pytest.raises(SystemExit, match="more than a point"):
        script.check_same_f1(different)

    def seeing_less(side: str, *_: Any) -> Any:
        return script.Result(seconds=1.0, tokens=10 - (side == "ours"), f1=50.0)

    monkeypatch.setattr(script, "run", seeing_less)
    with pytest.raises(SystemExit, match="different numbers of real tokens"):
        script.measure(tmp_path, script.SIDES, [0])


@pytest.mark.parametrize("script", ["_plain_answers"], indirect=True)
def test_plain_answers_where_no_best_pair_is_a_span(script: Any, tmp_path: pathlib.Path) -> None:
    rows = [{"id": "q", "context": "Nora fears Calpex."}]
    offsets = [None] * script.N_BEST + [[0, 4], [5, 10], [11, 18]]
    windows = [{"example_id": "q", "offset_mapping": offsets}]
    # The context is last, and the worst.
    logits = np.arange(len(offsets), 0, -1, dtype=np.float32)[np.newaxis]
    words = datasets.Dataset.from_list(rows), datasets.Dataset.from_list(windows), logits, logits
    script.write_answers(*words, tmp_path)
    assert json.loads((tmp_path / "predictions.json").read_text()) == {"q": "empty"}
    script.write_answers(*words, tmp_path, all_pairs=True)
    assert json.loads((tmp_path / "predictions.json").read_text()) == {"q": "Nora"}


@pytest.mark.slow
@pytest.mark.parametrize("script", ["step"], indirect=True)
def test_step(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _, _, *rows = table_of(script, monkeypatch, capfd, "--repeats", "1")
    assert [row[1] for row in rows] == ["bare loop", "Trainer", "ours"]

    def without_clipping(setting: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: None)
            return script.run_bare(setting)

    monkeypatch.setitem(script.RUNNERS, "ours", without_clipping)
    with pytest.raises(SystemExit, match="ours went another way"):
        table_of(script, monkeypatch, capfd, "--repeats", "1")


@pytest.mark.slow
@pytest.mark.parametrize("script", ["scaling"], indirect=True)
def test_scaling(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _, _, *rows = table_of(script, monkeypatch, capfd)
    assert [row[0] for row in rows[:3]] == ["1 slot", "2 times 1 slot", "2 slots"]
    assert len(rows) == 3 + 2 + 2 * len(script.CLUSTERS)
    # By hand: 400 MB over 8 GPUs at 100 GB/s are 2 * 7 / 8 * 4 ms; two thirds of 6 ms hide 4.
    cluster = script.Cluster(8, "", 100e9)
    assert script.efficiency(0.006, 400e6, cluster, 0.0) == pytest.approx(6 / 13)
    assert script.efficiency(0.006, 400e6, cluster, 1.0) == pytest.approx(6 / 9)
    # Of three accumulated batches, the last one's 2 ms hide as many thirds.
    assert script.efficiency(0.006, 400e6, cluster, 1.0, 3) == pytest.approx(6 / (13 - 4 / 3))


@pytest.mark.slow
@pytest.mark.parametrize("script", ["evaluate_memory"], indirect=True)
def test_evaluate_memory(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def here(function: Any, calls: list[Any], _: Any) -> list[Any]:
        return [function(*call) for call in calls]

    monkeypatch.setattr(script._bench, "in_new_processes", here)
    sizes = {name: (16, 8, 50) for name in script.TASKS}
    monkeypatch.setattr(script, "TASKS", {**sizes, "question answering": (16, 384, 50)})
    tasks = list(script.TASKS)
    headers, _, *rows = table_of(script, monkeypatch, capfd, "--tasks", *tasks)
    assert headers == ["task", "side", "1x"]
    assert [row[:2] for row in rows] == [[task, side] for task in tasks for side in script.SIDES]

    theirs = script.theirs
    monkeypatch.setattr(script, "theirs", lambda *words: theirs(*words) + 0.01)
    with pytest.raises(SystemExit, match="the two sides found different metrics"):
        table_of(script, monkeypatch, capfd, "--tasks", tasks[0])


@pytest.mark.slow
@pytest.mark.parametrize("script", ["_bench"], indirect=True)
def test_new_processes(script: Any) -> None:
    pids = script.in_new_processes(os.getpid, [(), (), ()], ["json"])
    assert len({os.getpid(), *pids}) == 4
    with pytest.raises(concurrent.futures.process.BrokenProcessPool):
        script.in_new_processes(os._exit, [(1,)], ["json"])


MEASURE = """\
import mmap, pathlib, sys, time
import _bench

path = pathlib.Path(sys.argv[1])


def map_file():
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert sum(data[::mmap.PAGESIZE]) == 0
        time.sleep(0.1)


def use_memory_and_then_map():
    numbers = b"1" * (32 << 20)
    time.sleep(0.1)
    del numbers
    map_file()


print(_bench.peak_mib(map_file), _bench.peak_mib(use_memory_and_then_map))
"""


@pytest.mark.slow
def test_mapped_files_are_no_memory(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(32 << 20))
    # In a process of its own: one that has used more before uses that again.
    words = [sys.executable, "-c", MEASURE, str(path)]
    output = subprocess.run(words, check=True, capture_output=True, text=True, cwd=FOLDER).stdout
    mapped, own = map(float, output.split())
    assert mapped < 8 and 30 < own < 40


@pytest.mark.parametrize("script", ["_bench"], indirect=True)
def test_table_in_the_readme(
    script: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    readme = tmp_path / "README.md"
    readme.write_text("# A\n<!-- x:begin -->\nold\n<!-- x:end -->\nB\n", encoding="utf-8")
    script.write("x", "| new |", readme)
    text = readme.read_text("utf-8")
    assert "old" not in text and text.startswith("# A\n<!-- x:begin -->\n| new |\n\n")
    assert text.endswith("\n<!-- x:end -->\nB\n") and "torch" in text
    with pytest.raises(SystemExit, match="y:begin"):
        script.write("y", "", readme)


@pytest.mark.parametrize("script", ["_bench"], indirect=True)
def test_a_gpu_has_tables_of_its_own(
    script: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    readme = tmp_path / "README.md"
    names = ("x", "x_gpu", "y")
    before = "".join(f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->\n" for name in names)
    readme.write_text(before, encoding="utf-8")
    script.write("y", "| new |", readme)
    assert readme.read_text("utf-8") == before
    script.write("x", "| new |", readme)
    text = readme.read_text("utf-8")
    assert text.count("old") == 2 and "<!-- x_gpu:begin -->\n| new |\n" in text and "a GPU" in text


@pytest.mark.parametrize("script", ["_bench"], indirect=True)
def test_sides_take_turns(script: Any) -> None:
    order: list[str] = []
    seconds = script.alternate({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(seconds[name]) for name in "ab"] == [3, 3]
    assert script.spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
