"""The trial class that an experiment runs: found, imported, and where its import broke."""

import difflib
import importlib.util
import itertools
import pathlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from determined import pytorch

from model_hub.check.deprecated import get_path, is_legacy
from model_hub.check.document import Document, problem_of
from model_hub.check.findings import ERROR, WARNING, Problem
from model_hub.check.messages import did_you_mean
from model_hub.errors import UserError
from model_hub.experiment.entrypoint import LAUNCHER, SCRIPT, split_entrypoint, trial_spec
from model_hub.experiment.trial_class import import_trial
from model_hub.huggingface.trial import BaseTransformerTrial

TrialClass = type[pytorch.PyTorchTrial]
_ENTRYPOINT = ("entrypoint",)
# What starts the processes of an experiment, and our script.
_KNOWN_MODULES = (
    *(f"determined.launch.{name}" for name in ("torch_distributed", "horovod", "deepspeed")),
    SCRIPT.split()[-1],
)


def load_trial(
    document: Document, config: Mapping[str, Any], folder: pathlib.Path
) -> tuple[TrialClass | None, list[Problem]]:
    """Imports the trial class that the entrypoint names.

    Args:
        document: the YAML.
        config: its value.
        folder: the context directory.

    Returns:
        The class, None where it cannot be had; and what is wrong.
    """
    if "entrypoint" not in config:
        return None, []  # Told already.
    try:
        spec = trial_spec(config.get("entrypoint"))
    except UserError as error:
        return None, [problem_of(document, str(error))]
    module, _, name = spec.partition(":")
    if module.endswith(".py"):
        right = f"{module.removesuffix('.py')}:{name}"
        return None, [
            Problem(_ENTRYPOINT, f"entrypoint: {spec} should name a module, no file; write {right}")
        ]
    known = set(sys.modules)
    try:
        trial_class = import_trial(spec, folder)
    except UserError as error:
        return None, [problem_of(document, str(error))]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # Also sys.exit() in the user's module.
        # It would be found half made by who imports it next.
        for loaded in set(sys.modules) - known:
            if loaded.partition(".")[0] == module.partition(".")[0]:
                del sys.modules[loaded]
        return None, [Problem(_ENTRYPOINT, _broken_import(spec, error, folder))]
    return trial_class, list(_launch_problems(config, spec, trial_class, folder))


def _broken_import(spec: str, error: BaseException, folder: pathlib.Path) -> str:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    where = ""
    if isinstance(error, SyntaxError) and error.filename:
        where, reason = f"{error.filename}:{error.lineno}: ", f"SyntaxError: {error.msg}"
    else:
        inside = folder.resolve()
        for frame in traceback.extract_tb(error.__traceback__):
            if pathlib.Path(frame.filename).is_relative_to(inside):
                where = f"{frame.filename}:{frame.lineno}: "
    return f"entrypoint: {spec} cannot be imported: {where}{reason}"


def _launch_problems(
    config: Mapping[str, Any], spec: str, trial_class: TrialClass, folder: pathlib.Path
) -> Iterator[Problem]:
    file = getattr(sys.modules.get(trial_class.__module__), "__file__", None)
    place = pathlib.Path(file) if file else None
    installed = place is None or place.is_relative_to(sys.prefix) or "site-packages" in place.parts
    if place is not None and not installed and not place.is_relative_to(folder.resolve()):
        yield Problem(
            _ENTRYPOINT,
            f"entrypoint: {spec} comes from {place}, which is not in {folder.resolve()}, the "
            "folder that is submitted; name the folder that holds it, or copy it there",
            WARNING,
        )
    entrypoint = config.get("entrypoint")
    words = split_entrypoint(entrypoint)
    yield from _word_problems(words, spec)
    slots = get_path(config, "resources", "slots_per_trial")
    if is_legacy(entrypoint):
        if get_path(config, "searcher", "max_length") is None:
            yield Problem(
                _ENTRYPOINT,
                f"entrypoint: {spec} in the old style takes its length from searcher.max_length, "
                f"which is not there; write entrypoint: {LAUNCHER} {SCRIPT} {spec}",
                ERROR,
            )
    elif isinstance(slots, int) and slots > 1 and not any("launch" in word for word in words):
        yield Problem(
            _ENTRYPOINT,
            f"entrypoint starts one process, but resources.slots_per_trial is {slots}; write "
            f"entrypoint: {LAUNCHER} {SCRIPT} {spec}",
            WARNING,
        )


def _word_problems(words: list[str], spec: str) -> Iterator[Problem]:
    """Misspelt modules of Determined and of this library, and what our script does not take."""
    modules = [module for flag, module in itertools.pairwise(words) if flag == "-m"]
    for module in modules:
        # One of another package may be in the container's image alone.
        ours = module.partition(".")[0] in ("determined", "model_hub")
        misspelt = difflib.get_close_matches(module, _KNOWN_MODULES, 1, 0.85)
        if (ours or misspelt) and not _is_there(module):
            yield Problem(
                _ENTRYPOINT,
                f"entrypoint: there is no module {module!r}{did_you_mean(module, _KNOWN_MODULES)}",
            )
    script = SCRIPT.split()[-1]
    if script in words:
        # The shell runs the command, so that `&& ...` may follow.
        rest = itertools.takewhile(
            lambda word: word == spec or word.startswith("-"), words[words.index(script) + 1 :]
        )
        further = [word for word in rest if word != spec]
        if further:
            yield Problem(
                _ENTRYPOINT,
                f"entrypoint: {script} takes the trial alone, but {' '.join(further)} is there "
                f"too; write {SCRIPT} {spec}",
            )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # Of a package above it.
        return False


def is_ours(trial_class: TrialClass | None) -> bool:
    """Whether the trial reads the YAML as this library does; so may one that was not found."""
    return trial_class is None or issubclass(trial_class, BaseTransformerTrial)
