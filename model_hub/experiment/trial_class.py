"""Import of the trial class that an experiment's entrypoint names."""

import contextlib
import importlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from determined import pytorch

from model_hub.errors import UserError


def import_trial(spec: str, context_dir: pathlib.Path) -> type[pytorch.PyTorchTrial]:
    """Import the trial class ``module:Class`` from a folder, which stays first in ``sys.path``.

    Raises:
        UserError: when there is no such module, or it has no such trial class.
    """
    module_name, _, class_name = spec.partition(":")
    folder = os.fspath(context_dir.resolve())
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]
    loaded = getattr(sys.modules.get(module_name), "__file__", None)
    if loaded is not None and not pathlib.Path(loaded).is_relative_to(folder):
        # A module of the same name, of another experiment that ran in this process.
        del sys.modules[module_name]
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name == "seqeval":
            raise UserError(
                f"entrypoint: {module_name} imports the package seqeval, as trials of token "
                "classification did, and it is not installed: pip install 'model-hub[seqeval]'."
            ) from error
        if error.name != module_name.split(".")[0]:
            # An import in the trial's module failed: its author needs the whole traceback.
            raise
        files = sorted(path.name for path in context_dir.glob("*.py"))
        raise UserError(
            f"entrypoint: there is no module {module_name!r} in {folder}, only "
            f"{', '.join(files) or 'no Python file'}. Name the folder that holds the trial after "
            "the YAML file: CONFIG.yaml FOLDER."
        ) from error
    for name in class_name.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type) or not issubclass(found, pytorch.PyTorchTrial):
        module = sys.modules[module_name]
        classes = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, pytorch.PyTorchTrial)
            and value.__module__ == module_name
        ]
        raise UserError(
            f"entrypoint: {spec!r} is not a trial class; the module has "
            f"{', '.join(classes) or 'none'}. A trial class derives from BaseTransformerTrial."
        )
    return found


@contextlib.contextmanager
def working_directory(path: pathlib.Path) -> Iterator[None]:
    """Change the working directory inside a ``with`` (``contextlib.chdir`` needs Python 3.11)."""
    before = pathlib.Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
