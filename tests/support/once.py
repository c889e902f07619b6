"""Make what many tests only read once per session, also where several processes share the tests."""

import os
import pathlib
import shutil
import traceback
from collections.abc import Callable

import filelock
import pytest


def make_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[pathlib.Path], object]
) -> pathlib.Path:
    """Return a folder of the session that `make` has filled, in the first process that asks.

    The other processes wait for it, so that nobody sees half of it. Nobody may change the folder
    afterwards.

    Args:
        factory: the process's factory of temporary folders.
        name: of the folder; there is one folder of a name in a session.
        make: gets the new, empty folder.

    Raises:
        AssertionError: `make` has failed in another process; the message is its traceback.
    """
    root = factory.getbasetemp()
    # pytest-xdist gives each process a folder in the session's.
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    folder = root / "once" / name
    folder.parent.mkdir(exist_ok=True, parents=True)
    done, failed = (folder.with_name(f"{name}.{state}") for state in ("done", "failed"))
    with filelock.FileLock(folder.with_name(f"{name}.lock")):
        if failed.exists():
            raise AssertionError(failed.read_text("utf-8"))
        if not done.exists():
            # Not there, unless a process was skipped or interrupted while it made it.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                make(folder)
            except Exception:
                failed.write_text(traceback.format_exc(), "utf-8")
                raise
            done.touch()
    return folder
