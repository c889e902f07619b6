"""Keys that Determined 0.38 or this library has deprecated, and how they are written today.

A rule finds its key and, if asked, changes it in an ``Editor``. What it does not understand, for
instance a range where a number is expected, it reports and leaves alone.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from model_hub.check.findings import WARNING, Path, Problem, dotted
from model_hub.check.yaml_editor import Editor
from model_hub.errors import UserError
from model_hub.experiment.entrypoint import LAUNCHER, SCRIPT, is_trial_spec, split_entrypoint
from model_hub.experiment.yaml_io import in_yaml, is_whole

Config = Mapping[str, Any]

#: Old length in the YAML -> the hyperparameter that says it today.
_LENGTHS = {"epochs": "num_train_epochs", "batches": "max_steps"}
_HALVING = ("adaptive_asha", "async_halving")


@dataclasses.dataclass(frozen=True)
class DeprecatedKey:
    """A deprecated key that is in a file.

    Attributes:
        path: where it stands.
        message: what it is and what to write instead.
        fix: rewrites it; None where only its author can.
        needs_no_old_code: whether a trial file that computes its length from the YAML itself
            would not understand the rewritten one.
    """

    path: Path
    message: str
    fix: Callable[[Editor], None] | None = None
    needs_no_old_code: bool = False

    def problem(self) -> Problem:
        """The key as a finding."""
        return Problem(self.path, self.message, WARNING)


def deprecated_keys(config: Config) -> Iterator[DeprecatedKey]:
    """The deprecated keys of a configuration.

    Args:
        config: the YAML's value; its sections need not be right.
    """
    for rule in (_entrypoint, _max_length, _records_per_epoch, _hyperparameters, _ignored, _images):
        yield from rule(config)
    yield from _log_actions(config)


def get_path(config: Any, *path: str) -> Any:
    """The value at a path; None where there is nothing, or no mapping on the way."""
    for name in path:
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def is_legacy(entrypoint: Any) -> bool:
    """Whether Determined's own harness runs the trial, instead of our script."""
    try:
        words = split_entrypoint(entrypoint)
    except UserError:
        return False
    alone = len(words) == 1 and is_trial_spec(words[0])
    return alone or any(word == "--trial" or word.startswith("--trial=") for word in words)


def _entrypoint(config: Config) -> Iterator[DeprecatedKey]:
    entrypoint = config.get("entrypoint")
    if not is_legacy(entrypoint):
        return
    words = split_entrypoint(entrypoint)
    spec = words[-1].removeprefix("--trial=")
    known = ([spec], [*LAUNCHER.split(), "--trial", spec], [*LAUNCHER.split(), f"--trial={spec}"])
    path: Path = ("entrypoint",)
    message = (
        f"entrypoint: {in_yaml(entrypoint)} is the old style, deprecated since Determined 0.38; "
        f"write entrypoint: {LAUNCHER} {SCRIPT} {spec}"
    )
    folded = f">-\n  {LAUNCHER}\n  {SCRIPT} {spec}"
    yield DeprecatedKey(
        path,
        message,
        (lambda editor: editor.replace(path, folded, f"{LAUNCHER} {SCRIPT} {spec}"))
        if words in known and is_trial_spec(spec)
        else None,
    )


def _max_length(config: Config) -> Iterator[DeprecatedKey]:
    length = get_path(config, "searcher", "max_length")
    if length is None:
        return
    path: Path = ("searcher", "max_length")
    values = dict(length) if isinstance(length, Mapping) else {"batches": length}
    unit, count = next(iter(values.items())) if len(values) == 1 else ("", 0)
    batch = get_path(config, "hyperparameters", "global_batch_size")
    if unit == "records" and is_whole(count, 1) and is_whole(batch, 1):
        unit, count = "batches", max(count // batch, 1)
    understood = unit in _LENGTHS and is_whole(count, 1)
    halving = get_path(config, "searcher", "name") in _HALVING
    said = [
        name
        for name in _LENGTHS.values()
        if get_path(config, "hyperparameters", name) is not None and not halving
    ]
    if halving and get_path(config, "searcher", "max_time") is not None:
        said = ["searcher.max_time"]
    if not understood:
        instead = "write hyperparameters.num_train_epochs or hyperparameters.max_steps"
    elif said:
        instead = f"remove it, as {said[0]} says the length already"
    elif halving:
        instead = f"write searcher.max_time: {count} and searcher.time_metric: {unit}"
    else:
        instead = f"write hyperparameters.{_LENGTHS[unit]}: {count}"

    def fix(editor: Editor) -> None:
        if halving and not said:
            editor.insert(("searcher",), "max_time", count, after="max_length")
            if get_path(config, "searcher", "time_metric") is None:
                editor.insert(("searcher",), "time_metric", unit, after="max_time")
        elif not said:
            editor.insert(("hyperparameters",), _LENGTHS[unit], count, after="global_batch_size")
        editor.remove(path)

    yield DeprecatedKey(
        path,
        f"searcher.max_length is {in_yaml(length)}, the old style, deprecated since Determined "
        f"0.38; {instead}",
        fix if understood else None,
        needs_no_old_code=True,
    )


def _records_per_epoch(config: Config) -> Iterator[DeprecatedKey]:
    records = config.get("records_per_epoch")
    if records is None:
        return
    path: Path = ("records_per_epoch",)
    length = get_path(config, "searcher", "max_length")
    yield DeprecatedKey(
        path,
        f"records_per_epoch is {in_yaml(records)}, the old style, deprecated since Determined "
        "0.38; remove it: an epoch is as long as the data",
        # While the length is in old epochs, their length is wanted.
        None if isinstance(length, Mapping) else (lambda editor: editor.remove(path)),
        needs_no_old_code=True,
    )


def _hyperparameters(config: Config) -> Iterator[DeprecatedKey]:
    hparams = config.get("hyperparameters")
    if not isinstance(hparams, Mapping):
        return
    switches = {
        "use_apex_amp": ("fp16", "fp16", True, "fp16: true", ("fp16", "bf16")),
        "adafactor": ("optim", "optim", "adafactor", "optim: adafactor", ("optim",)),
    }
    for name, (_, new, value, shown, others) in switches.items():
        if name not in hparams:
            continue
        path: Path = ("hyperparameters", name)
        on = hparams[name]
        said = any(hparams.get(other) not in (None, False) for other in others)
        message = f"{dotted(path)} is {in_yaml(on)}, the old spelling of {shown}"
        fix: Callable[[Editor], None] | None = None
        if on is True and not said:
            message += f"; write hyperparameters.{shown}"

            def fix(editor: Editor, path: Path = path, new: str = new, value: Any = value) -> None:
                editor.rename(path, new)
                editor.replace((*path[:-1], new), in_yaml(value).strip("'"), value)
        elif on in (False, None) or said:
            message += "; remove it"

            def fix(editor: Editor, path: Path = path) -> None:
                editor.remove(path)

        yield DeprecatedKey(path, message, fix)
    if "use_auth_token" in hparams:
        yield _auth_token(hparams)


def _auth_token(hparams: Config) -> DeprecatedKey:
    path: Path = ("hyperparameters", "use_auth_token")
    value = hparams["use_auth_token"]
    message = f"{dotted(path)} is the old name of token"
    if value in (False, None) or hparams.get("token"):
        return DeprecatedKey(path, f"{message}; remove it", lambda editor: editor.remove(path))
    new = "token"
    if "token" in hparams or not isinstance(value, (bool, str)):
        return DeprecatedKey(path, f"{message}; write hyperparameters.token")
    return DeprecatedKey(
        path, f"{message}; write hyperparameters.token", lambda editor: editor.rename(path, new)
    )


def _ignored(config: Config) -> Iterator[DeprecatedKey]:
    for path in (
        ("data_layer",),
        ("security",),
        ("tensorboard_storage",),
        ("resources", "agent_label"),
    ):
        if get_path(config, *path) is not None:

            def fix(editor: Editor, path: Path = path) -> None:
                editor.remove(path)

            yield DeprecatedKey(path, f"{dotted(path)} is ignored by Determined; remove it", fix)


def _images(config: Config) -> Iterator[DeprecatedKey]:
    image = get_path(config, "environment", "image")
    by_processor = image if isinstance(image, Mapping) else {"": image}
    for name, value in by_processor.items():
        if isinstance(value, str) and "model-hub-transformers" in value:
            path: Path = ("environment", "image", *([name] if name else []))
            yield DeprecatedKey(
                path,
                f"{dotted(path)} is {value!r}, an image of the old library with its old "
                "transformers; write an image in which this library is installed",
            )
    for section in ("image", "environment_variables"):
        values = get_path(config, "environment", section)
        if isinstance(values, Mapping) and "gpu" in values:
            path = ("environment", section, "gpu")
            instead = "remove it" if "cuda" in values else "write cuda"

            def fix(editor: Editor, path: Path = path) -> None:
                editor.rename(path, "cuda")

            yield DeprecatedKey(
                path,
                f"{dotted(path)} is the old name of cuda; {instead}",
                None if "cuda" in values else fix,
            )


def _log_actions(config: Config) -> Iterator[DeprecatedKey]:
    policies = config.get("log_policies")
    for number, policy in enumerate(policies if isinstance(policies, list) else []):
        action = get_path(policy, "action")
        kind = get_path(action, "type")
        if isinstance(kind, str) and len(action) == 1:
            path: Path = ("log_policies", number, "action")

            def fix(editor: Editor, path: Path = path, kind: str = kind) -> None:
                editor.replace(path, kind, kind)

            yield DeprecatedKey(
                path,
                f"{dotted(path)} is {in_yaml(action)}, the old style; write action: {kind}",
                fix if kind in ("cancel_retries", "exclude_node") else None,
            )
