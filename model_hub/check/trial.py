"""Import of the trial class that an experiment runs, and checks of its entrypoint."""

import difflib
import importlib.util
import itertools
import pathlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from determined import pytorch

from model_hub.check.deprecated import is_legacy
from model_hub.errors import UserError
from model_hub.experiment.entrypoint import LAUNCHER, SCRIPT, split_entrypoint, trial_spec
from model_hub.experiment.findings import WARNING, Finding, finding_at
from model_hub.experiment.messages import did_you_mean
from model_hub.experiment.trial_class import import_trial
from model_hub.experiment.yaml_io import get_path

TrialClass = type[pytorch.PyTorchTrial]
_ENTRYPOINT = ("entrypoint",)
# Modules that start the processes of an experiment, and our script.
_KNOWN_MODULES = (
    *(f"determined.launch.{name}" for name in ("torch_distributed", "horovod", "deepspeed")),
    SCRIPT.split()[-1],
)


def load_trial(
    config: Mapping[str, Any], folder: pathlib.Path
) -> tuple[TrialClass | None, list[Finding]]:
    """Import the trial class that the entrypoint names.

    Args:
        config: the experiment's configuration.
        folder: the context directory.

    Returns:
        The class, None where it cannot be imported; and what is wrong with the entrypoint.
    """
    if "entrypoint" not in config:
        return None, []  # It is reported as missing already.
    try:
        spec = trial_spec(config.get("entrypoint"))
    except UserError as error:
        return None, [finding_at(config, str(error))]
    module, _, name = spec.partition(":")
    if module.endswith(".py"):
        right = f"{module.removesuffix('.py')}:{name}"
        return None, [
            Finding(
                _ENTRYPOINT, f"entrypoint: {spec} should name a module, not a file; write {right}"
            )
        ]
    before = set(sys.modules)
    try:
        trial_class = import_trial(spec, folder)
    except UserError as error:
        return None, [finding_at(config, str(error))]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # Also sys.exit() in the user's module.
        # The next import would find modules that are only half executed.
        for loaded in set(sys.modules) - before:
            if loaded.partition(".")[0] == module.partition(".")[0]:
                del sys.modules[loaded]
        return None, [Finding(_ENTRYPOINT, _broken_import(spec, error, folder))]
    return trial_class, list(_launch_findings(config, spec, trial_class, folder))


def _broken_import(spec: str, error: BaseException, folder: pathlib.Path) -> str:
    """Return a message with the line of the user's code that raised the error."""
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    line = ""
    if isinstance(error, SyntaxError) and error.filename:
        line, reason = f"{error.filename}:{error.lineno}: ", f"SyntaxError: {error.msg}"
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if pathlib.Path(frame.filename).is_relative_to(folder.resolve()):
                line = f"{frame.filename}:{frame.lineno}: "
    return f"entrypoint: {spec} cannot be imported: {line}{reason}"


def _launch_findings(
    config: Mapping[str, Any], spec: str, trial_class: TrialClass, folder: pathlib.Path
) -> Iterator[Finding]:
    name = getattr(sys.modules.get(trial_class.__module__), "__file__", None)
    file = pathlib.Path(name) if name else None
    installed = file is None or file.is_relative_to(sys.prefix) or "site-packages" in file.parts
    if not installed and file and not file.is_relative_to(folder.resolve()):
        yield Finding(
            _ENTRYPOINT,
            f"entrypoint: {spec} comes from {file}, which is not in {folder.resolve()}, the "
            "folder that is submitted; name the folder that holds it, or copy it there",
            WARNING,
        )
    entrypoint = config.get("entrypoint")
    words = split_entrypoint(entrypoint)
    yield from _word_findings(words, spec)
    slots = get_path(config, "resources", "slots_per_trial")
    if is_legacy(entrypoint):
        if get_path(config, "searcher", "max_length") is None:
            yield Finding(
                _ENTRYPOINT,
                f"entrypoint: {spec} in the old style takes its length from searcher.max_length, "
                f"which is not set; write entrypoint: {LAUNCHER} {SCRIPT} {spec}",
            )
    elif isinstance(slots, int) and slots > 1 and not any("launch" in word for word in words):
        yield Finding(
            _ENTRYPOINT,
            f"entrypoint starts one process, but resources.slots_per_trial is {slots}; write "
            f"entrypoint: {LAUNCHER} {SCRIPT} {spec}",
            WARNING,
        )


def _word_findings(words: list[str], spec: str) -> Iterator[Finding]:
    """Yield misspelt modules of Determined and this library, and wrong arguments of our script."""
    modules = [module for flag, module in itertools.pairwise(words) if flag == "-m"]
    for module in modules:
        # Modules of other packages need to exist only in the container's image.
        installed_here = module.partition(".")[0] in ("determined", "model_hub")
        misspelt = difflib.get_close_matches(module, _KNOWN_MODULES, 1, 0.85)
        if (installed_here or misspelt) and not _exists(module):
            yield Finding(
                _ENTRYPOINT,
                f"entrypoint: there is no module {module!r}{did_you_mean(module, _KNOWN_MODULES)}",
            )
    script = SCRIPT.split()[-1]
    if script in words:
        # A shell runs the command, so `&& ...` may come after it.
        arguments = itertools.takewhile(
            lambda word: word == spec or word.startswith("-"), words[words.index(script) + 1 :]
        )
        extra = [word for word in arguments if word != spec]
        if extra:
            yield Finding(
                _ENTRYPOINT,
                f"entrypoint: {script} takes only the trial, but {' '.join(extra)} is given "
                f"too; write {SCRIPT} {spec}",
            )


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # Of a package above it.
        return False
