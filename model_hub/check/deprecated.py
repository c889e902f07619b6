"""Keys that Determined 0.38 or this library has deprecated, and how to write them today.

A rule finds its key and, for ``check --fix``, rewrites it in an ``Editor``. A value that it cannot
rewrite, for instance a range where a number is expected, it only reports.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from model_hub.check.yaml_editor import Editor
from model_hub.errors import UserError
from model_hub.experiment.config import length_of
from model_hub.experiment.entrypoint import LAUNCHER, SCRIPT, is_trial_spec, split_entrypoint
from model_hub.experiment.findings import WARNING, Finding, Path, dotted
from model_hub.experiment.yaml_io import get_path, in_yaml, is_whole

Config = Mapping[str, Any]

#: Unit of an old length -> the hyperparameter for it today.
_LENGTHS = {"epochs": "num_train_epochs", "batches": "max_steps"}
_HALVING = ("adaptive_asha", "async_halving")


@dataclasses.dataclass(frozen=True)
class DeprecatedKey:
    """A deprecated key that is in a file.

    Attributes:
        path: the key.
        message: why it is deprecated and what to write instead.
        fix: rewrites it; None where only its author can.
    """

    path: Path
    message: str
    fix: Callable[[Editor], None] | None = None

    def finding(self, reader: str | None) -> Finding:
        """Return the warning about the key.

        Args:
            reader: name of the file of the trial that reads the key itself; None if none does.
        """
        advice = f" (and change {reader}, which reads it)" if reader else ""
        return Finding(self.path, self.message + advice, WARNING)


def deprecated_keys(config: Config) -> Iterator[DeprecatedKey]:
    """Yield the deprecated keys of a configuration.

    Args:
        config: the YAML's value; sections may have a wrong type.
    """
    for rule in (
        _entrypoint, _max_length, _records_per_epoch, _hyperparameters, _ignored, _images,
        _log_actions,
    ):  # fmt: skip
        yield from rule(config)


def is_legacy(entrypoint: Any) -> bool:
    """Return whether Determined's own harness runs the trial, instead of our script."""
    try:
        words = split_entrypoint(entrypoint)
    except UserError:
        return False
    is_spec = len(words) == 1 and is_trial_spec(words[0])
    return is_spec or any(word == "--trial" or word.startswith("--trial=") for word in words)


def _entrypoint(config: Config) -> Iterator[DeprecatedKey]:
    entrypoint = config.get("entrypoint")
    if not is_legacy(entrypoint):
        return
    words = split_entrypoint(entrypoint)
    spec = words[-1].removeprefix("--trial=")
    fixable = ([spec], [*LAUNCHER.split(), "--trial", spec], [*LAUNCHER.split(), f"--trial={spec}"])
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
        if words in fixable and is_trial_spec(spec)
        else None,
    )


def _max_length(config: Config) -> Iterator[DeprecatedKey]:
    length = get_path(config, "searcher", "max_length")
    if length is None:
        return
    path: Path = ("searcher", "max_length")
    unit, count = length_of(length)
    batch = get_path(config, "hyperparameters", "global_batch_size")
    if unit == "records" and is_whole(count, 1) and is_whole(batch, 1):
        unit, count = "batches", max(count // batch, 1)
    fixable = unit in _LENGTHS and is_whole(count, 1)
    halving = get_path(config, "searcher", "name") in _HALVING
    modern = [("hyperparameters", name) for name in _LENGTHS.values()]
    if halving:
        modern = [("searcher", "max_time")]
    already = next((dotted(key) for key in modern if get_path(config, *key) is not None), "")
    if not fixable:
        instead = "write hyperparameters.num_train_epochs or hyperparameters.max_steps"
    elif already:
        instead = f"remove it, because {already} sets the length"
    elif halving:
        instead = f"write searcher.max_time: {count} and searcher.time_metric: {unit}"
    else:
        instead = f"write hyperparameters.{_LENGTHS[unit]}: {count}"

    def fix(editor: Editor) -> None:
        if halving and not already:
            editor.insert(("searcher",), "max_time", count, after="max_length")
            if get_path(config, "searcher", "time_metric") is None:
                editor.insert(("searcher",), "time_metric", unit, after="max_time")
        elif not already:
            editor.insert(("hyperparameters",), _LENGTHS[unit], count, after="global_batch_size")
        editor.remove(path)

    yield DeprecatedKey(
        path,
        f"searcher.max_length is {in_yaml(length)}, the old style, deprecated since Determined "
        f"0.38; {instead}",
        fix if fixable else None,
    )


def _records_per_epoch(config: Config) -> Iterator[DeprecatedKey]:
    records = config.get("records_per_epoch")
    if records is None:
        return
    path: Path = ("records_per_epoch",)
    in_epochs = length_of(get_path(config, "searcher", "max_length"))[0] == "epochs"
    advice = (
        "an epoch of searcher.max_length needs it: write hyperparameters.num_train_epochs instead, "
        "and remove both"
        if in_epochs
        else "remove it: an epoch is one pass over the data"
    )
    yield DeprecatedKey(
        path,
        f"records_per_epoch is {in_yaml(records)}, the old style, deprecated since Determined "
        f"0.38; {advice}",
        None if in_epochs else _remover(path),
    )


def _hyperparameters(config: Config) -> Iterator[DeprecatedKey]:
    hparams = config.get("hyperparameters")
    if not isinstance(hparams, Mapping):
        return
    switches = {
        "use_apex_amp": ("fp16", True, ("fp16", "bf16")),
        "adafactor": ("optim", "adafactor", ("optim",)),
    }
    for name, (new, value, alternatives) in switches.items():
        if name not in hparams:
            continue
        path: Path = ("hyperparameters", name)
        switch, written = hparams[name], in_yaml(value).strip("'")
        already = any(hparams.get(other) not in (None, False) for other in alternatives)
        message = f"{dotted(path)} is {in_yaml(switch)}, the old spelling of {new}: {written}"
        fix: Callable[[Editor], None] | None = None
        if switch is True and name == "use_apex_amp" and not already:
            # It has no effect without a GPU, where fp16 is an error: this is for the author.
            message += f" on a GPU; write hyperparameters.{new}: {written} if there always is one"
        elif switch is True and not already:
            message += f"; write hyperparameters.{new}: {written}"

            def fix(editor: Editor, path: Path = path, new: str = new, value: Any = value) -> None:
                editor.rename(path, new)
                editor.replace((*path[:-1], new), in_yaml(value).strip("'"), value)
        elif switch in (False, None) or already:
            message += "; remove it"
            fix = _remover(path)

        yield DeprecatedKey(path, message, fix)
    if "use_auth_token" in hparams:
        yield _auth_token(hparams)


def _auth_token(hparams: Config) -> DeprecatedKey:
    path: Path = ("hyperparameters", "use_auth_token")
    value = hparams["use_auth_token"]
    message = f"{dotted(path)} is the old name of token"
    if value in (False, None) or hparams.get("token"):
        return DeprecatedKey(path, f"{message}; remove it", _remover(path))
    fixable = "token" not in hparams and isinstance(value, (bool, str))
    fix = functools.partial(Editor.rename, path=path, new="token") if fixable else None
    return DeprecatedKey(path, f"{message}; write hyperparameters.token", fix)


def _remover(path: Path) -> Callable[[Editor], None]:
    return functools.partial(Editor.remove, path=path)


def _ignored(config: Config) -> Iterator[DeprecatedKey]:
    ignored = ("data_layer", "security", "tensorboard_storage", "resources.agent_label")
    for path in (tuple(name.split(".")) for name in ignored):
        if get_path(config, *path) is not None:
            message = f"{dotted(path)} is ignored by Determined; remove it"
            yield DeprecatedKey(path, message, _remover(path))


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
            message = f"{dotted(path)} is the old name of cuda; "
            if "cuda" in values:
                yield DeprecatedKey(path, f"{message}remove it")
            else:
                fix = functools.partial(Editor.rename, path=path, new="cuda")
                yield DeprecatedKey(path, f"{message}write cuda", fix)


def _log_actions(config: Config) -> Iterator[DeprecatedKey]:
    policies = config.get("log_policies")
    for number, policy in enumerate(policies if isinstance(policies, list) else []):
        action = get_path(policy, "action")
        kind = get_path(action, "type")
        if isinstance(kind, str) and len(action) == 1:
            path: Path = ("log_policies", number, "action")

            fix = functools.partial(Editor.replace, path=path, written=kind, value=kind)
            yield DeprecatedKey(
                path,
                f"{dotted(path)} is {in_yaml(action)}, the old style; write action: {kind}",
                fix if kind in ("cancel_retries", "exclude_node") else None,
            )
