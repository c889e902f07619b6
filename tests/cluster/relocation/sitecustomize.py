"""Moves the fixed places of a task container below a directory of its own.

In a container the genuine code reads and writes /run/determined and /tmp. Here several
"containers" share one machine, where nothing but their own directories may be touched. Python
imports this module at its start, in every process that has this folder on its PYTHONPATH; of
Determined's code nothing but the paths changes.

    CONTAINER_ROOT  what stands for / with /run/determined
    TMPDIR          what stands for /tmp
"""

import functools
import importlib.abc
import importlib.machinery
import os
import pathlib
import sys
from types import ModuleType
from typing import Any

ROOT = os.environ["CONTAINER_ROOT"]
TMP = os.environ["TMPDIR"]


def moved(path: str) -> str:
    """Where a path of a container is to be found."""
    if path.startswith(("/run/determined", "/determined_shared_fs")):
        return ROOT + path
    if path.startswith("/tmp/") and not path.startswith(TMP):
        return TMP + path.removeprefix("/tmp")
    return path


def move_constants(module: ModuleType) -> None:
    for name, value in list(vars(module).items()):
        if isinstance(value, str):
            setattr(module, name, moved(value))


def move_info(module: Any) -> None:
    """The paths of the info files are defaults of arguments: fixed when the class was made."""
    move_constants(module)
    for info in (
        module.RendezvousInfo,
        module.TrialInfo,
        module.ResourcesInfo,
        module.ClusterInfo,
    ):
        for function in (info._from_file.__func__, info._to_file):
            (path,) = function.__defaults__
            function.__defaults__ = (moved(path),)


def move_tensorboard(module: Any) -> None:
    get_base_path = module.get_base_path

    @functools.wraps(get_base_path)
    def moved_base_path(checkpoint_config: dict[str, Any]) -> pathlib.Path:
        return pathlib.Path(moved(os.fspath(get_base_path(checkpoint_config))))

    module.get_base_path = moved_base_path


def move_pid_server(module: Any) -> None:
    read_pid_server_addr = module.read_pid_server_addr

    @functools.wraps(read_pid_server_addr)
    def moved_addr(addr: str) -> Any:
        return read_pid_server_addr(moved(addr))

    module.read_pid_server_addr = moved_addr


def move_symlinks(module: Any) -> None:
    """`prep_container` puts /tmp/tensorboard in the place of whatever is there."""
    force_create_symlink = module.force_create_symlink

    @functools.wraps(force_create_symlink)
    def moved_symlink(src: str, dst: str) -> None:
        force_create_symlink(moved(src), moved(dst))

    module.force_create_symlink = moved_symlink


MOVES = {
    "determined._info": move_info,
    "determined.constants": move_constants,
    "determined.common.constants": move_constants,
    "determined.ipc": move_pid_server,
    "determined.tensorboard.build": move_tensorboard,
    "determined.util": move_symlinks,
}


class Mover(importlib.abc.MetaPathFinder):
    """Lets Python import these modules as ever, and moves their paths right after."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in MOVES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_move(module: ModuleType) -> None:
            run(module)
            MOVES[fullname](module)

        spec.loader.exec_module = run_and_move  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Mover())
