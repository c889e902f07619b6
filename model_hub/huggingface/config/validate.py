"""What is wrong in sections ``hyperparameters`` and ``data``, before anything is loaded."""

import dataclasses
import difflib
import fnmatch
import importlib.util
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.experiment.config import TRAINING_LENGTHS
from model_hub.huggingface.config import parsing, peft_config
from model_hub.huggingface.config.fields import FlexibleKwargs
from model_hub.huggingface.config.hparams import conflicting_sample_limits, logger
from model_hub.huggingface.config.names import MODEL_MODES, auto_model_class
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.config.parsing import key_in

# What people write who come from elsewhere; too far from ours in letters to be found by distance.
_ELSEWHERE = {
    "lr": "learning_rate",
    "batch_size": "global_batch_size",
    "per_device_train_batch_size": "global_batch_size",
    "per_gpu_train_batch_size": "global_batch_size",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "warmup_steps": "num_warmup_steps",
    "scheduler": "lr_scheduler_type",
    "model_name_or_path": "pretrained_model_name_or_path",
    "optimizer": "optim",
    "stride": "doc_stride",
    "max_length": "max_seq_length",
}


def unknown_keys(
    section: str, given: Iterable[Any], known_types: Iterable[type]
) -> list[tuple[str, str | None]]:
    """The keys that none of the dataclasses has, each with the known name that is nearest to it.

    Args:
        section: ``hyperparameters`` or ``data``, for the message.
        given: the keys of that section; one that is no text (``1:``) is never known.
        known_types: dataclasses whose fields may stand there.

    Returns:
        Pairs of a message's subject (``data.doc_strid``) and the nearest name or None.
    """
    known = {field.name for cls in known_types for field in dataclasses.fields(cls)}
    found = []
    for name in given:
        if name in known:
            continue
        alias = _ELSEWHERE.get(name)
        near = [alias] if alias in known else difflib.get_close_matches(str(name), known, 1, 0.7)
        found.append((key_in(section, name), near[0] if near else None))
    return found


def check_keys(
    hparams: Mapping[str, Any],
    data_config: Mapping[str, Any],
    hyperparameter_types: Iterable[type],
    data_types: Iterable[type],
    strict: bool = False,
) -> None:
    """Warns of keys that nobody reads, with the nearest name that somebody does.

    A key far from every known name may be one that the user's own trial reads; it is only mentioned
    at level DEBUG.

    Raises:
        UserError: in strict mode, naming all unknown keys.
    """
    found = unknown_keys("hyperparameters", hparams, hyperparameter_types)
    found += unknown_keys("data", data_config, data_types)
    messages = [
        f"{subject} is not known" + (f"; did you mean {near}?" if near else "")
        for subject, near in found
    ]
    if strict and messages:
        raise UserError(
            "\n".join(messages)
            + "\nRename or remove "
            + ("it" if len(messages) == 1 else "them")
            + ", declare the trial's own keys in its hyperparameter_types or data_types, or run"
            " without --strict."
        )
    for message, (_, near) in zip(messages, found, strict=True):
        logger.log(logging.WARNING if near else logging.DEBUG, message)


#: What is said of trained weights in float16.
NO_HALF_GRADIENTS = (
    "hyperparameters.fp16 scales gradients, which torch does for weights in float32 alone. Remove "
    "one of them."
)


def check_settings(
    trial_class: type[pytorch.PyTorchTrial],
    hparams: Mapping[str, Any],
    data_config: Mapping[str, Any],
    *,
    slots: int,
    unsmoothed_modes: Mapping[str, str],
    strict: bool = False,
    searcher: Mapping[str, Any] | None = None,
) -> None:
    """Finds what is wrong in the YAML before anything is loaded, and complains of all of it.

    Args:
        trial_class: tells by ``hyperparameter_types`` and ``data_types`` which keys it reads; a
            trial that has none of these is not checked.
        hparams: the hyperparameters.
        data_config: section ``data``.
        slots: processes that share a batch.
        unsmoothed_modes: as for :func:`conflicting_hparams`.
        strict: keys that nobody reads are errors.
        searcher: section ``searcher``, whose metric is held against those that the trial reports,
            if it says which; None leaves that to the first validation.

    Raises:
        UserError: naming all values of a wrong type or out of their range, a batch size that the
            slots cannot share, values that contradict each other, packages that are missing, and in
            strict mode all unknown keys.
    """
    hyperparameter_types = getattr(trial_class, "hyperparameter_types", ())
    data_types = getattr(trial_class, "data_types", ())
    problems = [
        message
        for values, types in ((hparams, hyperparameter_types), (data_config, data_types))
        for message in invalid_values(types, values)
    ]
    if not problems:
        problems += invalid_batch_size(hparams.get("global_batch_size"), slots)
        problems += conflicting_sample_limits(hparams, data_config)
        # Of another trial these keys may mean anything.
        if OptionKwargs in hyperparameter_types:
            problems += conflicting_hparams(hparams, unsmoothed_modes)
            problems += missing_packages(hparams)
        problems += wrong_model_mode(trial_class, hparams.get("model_mode"))
    if searcher is not None:
        problems += unreported_metric(trial_class, searcher.get("metric"), hparams)
    if strict and hyperparameter_types:
        try:
            check_keys(hparams, data_config, hyperparameter_types, data_types, strict=True)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))


def invalid_values(dataclass_types: Iterable[type], values: Mapping[str, Any]) -> list[str]:
    """What is wrong with values that the dataclasses describe: one message each.

    What is null counts as missing; that is the trial's to complain of.

    Args:
        dataclass_types: the dataclasses; one that has a ``__post_init__`` is asked by it as well.
        values: a section of the YAML, or a part of it.
    """
    # A field that several dataclasses have is found by each of them.
    problems: dict[str, None] = {}
    for cls in dataclass_types:
        typed: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.init and values.get(field.name) is not None:
                try:
                    given = {field.name: values[field.name]}
                    typed.update(parsing.typed_values(cls, given))
                except UserError as error:
                    problems[str(error)] = None
        # Key by key for a message each; all of them, as some may not go together.
        one_by_one = [{name: value} for name, value in typed.items()]
        found = [message for given in one_by_one for message in _rejected_by_dataclass(cls, given)]
        problems.update(dict.fromkeys(found or _rejected_by_dataclass(cls, typed)))
    return list(problems)


def _rejected_by_dataclass(cls: type, given: Mapping[str, Any]) -> list[str]:
    if not hasattr(cls, "__post_init__"):
        return []
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    required = [f.name for f in fields if (f.default, f.default_factory) == missing]
    if not issubclass(cls, FlexibleKwargs) and not set(required) <= set(given):
        return []
    try:
        cls(**given)
    except UserError as error:
        return [str(error)]
    return []


def unreported_metric(
    trial_class: type[pytorch.PyTorchTrial], metric: Any, hparams: Mapping[str, Any]
) -> list[str]:
    """What is wrong with a ``searcher.metric`` of a trial that says what it reports, or none."""
    names: Sequence[str] = getattr(trial_class, "metric_names", ())
    if names and hasattr(trial_class, "metrics_of"):
        names = trial_class.metrics_of(hparams)
    if not isinstance(metric, str) or any(fnmatch.fnmatchcase(metric, name) for name in names):
        return []
    if not names:
        return []
    near = difflib.get_close_matches(metric.lower(), [n for n in names if "*" not in n], 1, 0.6)
    return [
        f"searcher.metric is {metric!r}, which {trial_class.__name__} does not report"
        f"{f'; did you mean {near[0]}? It' if near else '; it'} reports {', '.join(names)}"
    ]


def wrong_model_mode(trial_class: type[pytorch.PyTorchTrial], mode: Any) -> list[str]:
    """What is wrong with a ``model_mode`` of a trial that says what it is made for, or none.

    Classes of transformers that have no mode of their own pass: some of them do the same.
    """
    modes: Sequence[str] = getattr(trial_class, "model_modes", ())
    modes = [modes] if isinstance(modes, str) else modes
    if not modes or not isinstance(mode, str):
        return []
    try:
        wanted = [auto_model_class(name) for name in modes]
    except UserError as error:
        return [f"{trial_class.__name__}.model_modes: {str(error).partition(': ')[2].rstrip('.')}"]
    try:
        given = auto_model_class(mode)
    except UserError:
        return []  # Which the building of the model tells.
    known = [auto_model_class(name) for name in MODEL_MODES]
    if given in wanted or given not in known:
        return []
    return [
        f"hyperparameters.model_mode is {mode!r}, but {trial_class.__name__} is made for "
        f"{' and '.join(modes)}; write model_mode: {modes[0]}"
    ]


def conflicting_hparams(
    hparams: Mapping[str, Any], unsmoothed_modes: Mapping[str, str]
) -> list[str]:
    """Hyperparameters that cannot work together, or not for the task: one message each.

    Args:
        hparams: the hyperparameters; what is a range is held against nothing.
        unsmoothed_modes: ``model_hub.huggingface.tasks.UNSMOOTHED_MODES``, which this package may
            not import.
    """
    found = []
    factor = hparams.get("label_smoothing_factor")
    reason = unsmoothed_modes.get(str(hparams.get("model_mode")))
    if reason is not None and isinstance(factor, float) and factor:
        found.append(
            f"hyperparameters.label_smoothing_factor is {factor}, but {reason}. Remove the key."
        )
    quantized = [name for name in ("load_in_4bit", "load_in_8bit") if hparams.get(name) is True]
    if len(quantized) == 2:
        found.append(
            "hyperparameters.load_in_4bit and hyperparameters.load_in_8bit are both true; write "
            "one of them."
        )
    elif quantized and not hparams.get("peft"):
        found.append(
            f"hyperparameters.{quantized[0]} is true, but weights that are rounded so cannot be "
            "trained. Write hyperparameters.peft for an adapter that can, or remove the key."
        )
    # An adapter's weights are in float32 all the same, or `check_trained_weights` finds them.
    halves = hparams.get("fp16") is True and hparams.get("dtype") == "float16"
    if halves and not hparams.get("peft"):
        found.append(f"hyperparameters.dtype is float16, but {NO_HALF_GRADIENTS}")
    return found


def missing_packages(hparams: Mapping[str, Any]) -> list[str]:
    """Packages that the hyperparameters need and that this machine, which trains, does not have.

    Args:
        hparams: the hyperparameters; each has a value.

    Returns:
        One message each.
    """
    quantization = hparams.get("quantization_config") or {}
    bits = [name for name in ("load_in_4bit", "load_in_8bit") if hparams.get(name)]
    if isinstance(quantization, Mapping) and (
        quantization.get("quant_method", "bitsandbytes") == "bitsandbytes" and quantization
    ):
        bits.append("quantization_config")
    found = []
    if bits and importlib.util.find_spec("bitsandbytes") is None:
        found.append(
            f"hyperparameters.{bits[0]} needs the package bitsandbytes: pip install bitsandbytes."
        )
    if hparams.get("peft") and not peft_config.peft_is_installed():
        found.append(f"hyperparameters.peft {peft_config.PEFT_NEEDED}")
    (options,) = parsing.parse_dict_to_dataclasses((OptionKwargs,), hparams)
    if options.compiles and options.torch_compile_backend in (None, "inductor"):
        found += _missing_compiler()
    return found


def _missing_compiler() -> list[str]:
    """On a CPU torch compiles C++; on a GPU it brings along what it needs, or tells by itself."""
    if torch.cuda.is_available():
        return []
    # Put off: most runs compile nothing.
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return [
            "hyperparameters.torch_compile needs a compiler of C++, and none is found (g++, or "
            "what the environment variable CXX names): apt-get install g++. Or write "
            "torch_compile_backend: aot_eager, or remove the keys that begin with torch_compile."
        ]
    return []


def unused_lengths(config: Mapping[str, Any]) -> list[str]:
    """A message for each length of the training that does not count, as another one says it.

    Args:
        config: the configuration; its sections may be of any type.
    """
    said = [
        f"{section}.{name}"
        for section, name in TRAINING_LENGTHS
        if (config.get(section) or {}).get(name) is not None
    ]
    return [
        f"{name} is not read, as {said[0]} says the length already; remove one of them"
        for name in said[1:]
    ]


def invalid_batch_size(batch: Any, slots: int) -> list[str]:
    """What is wrong with a ``global_batch_size`` that several slots share: one message or none."""
    if not isinstance(batch, int) or isinstance(batch, bool):
        return []
    if batch < 1:
        return [f"hyperparameters.global_batch_size is {batch}, but should be above 0."]
    if batch % max(slots, 1):
        fitting = max(batch - batch % slots, slots)
        return [
            f"hyperparameters.global_batch_size is {batch}, which {slots} slots cannot share "
            f"equally. Write a multiple of {slots}, for instance {fitting}."
        ]
    return []
