"""Rebuild a model from its checkpoint, without the trial, its code and its data."""

import logging
import pathlib
import pickle
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import metadata, state_dict
from model_hub.huggingface.config import parsing
from model_hub.huggingface.config.peft_config import import_peft
from model_hub.huggingface.export import architectures
from model_hub.huggingface.export.find import WEIGHTS_FILE, FoundCheckpoint
from model_hub.huggingface.model import untrained, unwrap
from model_hub.huggingface.model.build import build_using_auto
from model_hub.utils import AttrDict

logger = logging.getLogger("model_hub")

# Buffers that older versions of transformers saved, and that newer ones compute.
_COMPUTED = (".position_ids", ".token_type_ids", ".inv_freq")
_ADVICE = "--run-trial-code lets the checkpoint's own code build it; do that only if you trust it"
# A model's weights by name.
_State = Mapping[str, torch.Tensor]


def rebuild_model(
    checkpoint: FoundCheckpoint, base_model: str | None = None
) -> tuple[Any, transformers.PreTrainedTokenizerBase | None]:
    """Build a checkpoint's model and load its weights, without running code from the checkpoint.

    ``base_model`` is name or folder of an adapter's base model; None is the one of the training.

    Returns:
        The model, in evaluation mode, with its adapter if it has one; and the tokenizer, if the
        checkpoint does not hold its files.

    Raises:
        UserError: when the model cannot be built, or the checkpoint holds other weights.
    """
    folder = checkpoint.folder / metadata.FOLDER
    states = _read_states(checkpoint.folder)
    if (folder / "config.json").exists():
        model = _build_from_config(folder, checkpoint.hparams, base_model)
        tokenizer = None
    else:
        logger.info("The checkpoint has no model configuration; the YAML's keys are used.")
        model, tokenizer = _build_from_hparams(checkpoint.hparams, states)
    _load_weights(model, states)
    return model.eval(), tokenizer


def load_trial(folder: pathlib.Path) -> Any:
    """Return the trial of a checkpoint, built by the code in it from the data its YAML names.

    Raises:
        UserError: when that fails.
    """
    try:
        return pytorch.load_trial_from_checkpoint_path(
            str(folder), torch_load_kwargs={"map_location": "cpu"}
        )
    except UserError:
        raise
    except Exception as error:  # Whatever the trial's code raises.
        raise UserError(
            f"the checkpoint's trial cannot be built: {type(error).__name__}: {error}"
        ) from error


def _read_states(folder: pathlib.Path) -> list[_State]:
    """Return the weights of all models in a checkpoint, memory-mapped."""
    file = folder / WEIGHTS_FILE
    try:
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        states: list[_State] = content["models_state_dict"]
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{str(file)!r} is refused: it holds more than weights and states, or is damaged "
            f"({str(error).splitlines()[0]})."
        ) from error
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"{str(file)!r} cannot be read as a checkpoint: {error}") from error
    return states


def _build_from_config(
    folder: pathlib.Path, hparams: Mapping[str, Any], base_model: str | None
) -> Any:
    """Build a model, with its adapter, from the configuration files in a checkpoint."""
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the model's configuration in {str(folder)!r} cannot be read: {error}. {_ADVICE}."
        ) from error
    (architecture,) = config.architectures or [""]
    model_class = architectures.model_class(architecture)
    if model_class is None:
        raise UserError(f"transformers has no model class {architecture!r}. {_ADVICE}.")
    if (folder / "adapter_config.json").exists():
        model = _build_with_adapter(model_class, config, folder, hparams, base_model)
    else:
        model = model_class(config)
    if (folder / "generation_config.json").exists():
        inner: Any = unwrap.strip_adapter(model)
        inner.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model


def _build_with_adapter(
    model_class: Any,
    config: transformers.PretrainedConfig,
    folder: pathlib.Path,
    hparams: Mapping[str, Any],
    base_model: str | None,
) -> Any:
    """Build the base model of an adapter, load its pretrained weights, and add the adapter."""
    peft = import_peft("the adapter in the checkpoint")
    adapter_config = peft.PeftConfig.from_pretrained(str(folder))
    if any(hparams.get(key) for key in ("load_in_4bit", "load_in_8bit", "quantization_config")):
        # Quantized when they were loaded; the adapter is merged into the weights of the file.
        vars(config).pop("quantization_config", None)
    if base_model is None and hparams.get("use_pretrained_weights") is False:
        base = model_class(config)
        untrained.mark_untrained(base.parameters())
        return peft.get_peft_model(base, adapter_config)
    name = base_model or adapter_config.base_model_name_or_path
    try:
        base = model_class.from_pretrained(
            name,
            config=config,
            revision=(hparams.get("revision") if base_model is None else None) or "main",
            # The checkpoint holds embeddings that were added for the tokenizer.
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            "the checkpoint holds an adapter, and the weights of its base model cannot be loaded "
            f"from {name!r}: {str(error).splitlines()[0]} Name them with --base-model."
        ) from error
    return peft.get_peft_model(base, adapter_config)


def _load_weights(model: Any, states: list[_State]) -> None:
    """Load the state that is the model's, in place.

    Raises:
        UserError: when none is.
    """
    expected = state_dict.parameters_and_buffers(model)
    problem = "it holds no weights"
    for state in states:
        state = {n: v for n, v in state.items() if n in expected or not n.endswith(_COMPUTED)}
        saved = set(state_dict.strip_module_prefix(state))
        found = state_dict.match_prefix(state_dict.add_frozen_weights(model, state), expected)
        # Also missing: weights that are in no file either, and were just initialized at random.
        new_weights = set(untrained.frozen_untrained(model)) - saved
        problems = {
            "missing are": sorted((set(expected) - set(found)) | new_weights),
            "unknown are": sorted(set(found) - set(expected)),
            "of another shape are": [
                n for n in expected if n in found and expected[n].shape != found[n].shape
            ],
        }
        if not any(problems.values()):
            # Assigned, not copied: they keep their dtype, and are in memory once.
            # The base model of an adapter has its weights already.
            new = {n: found[n] for n in expected if n in saved or not unwrap.has_adapter(model)}
            model.load_state_dict(new, strict=False, assign=True)
            # A frozen weight in the checkpoint is in no file; `export` has to know it.
            named = model.named_parameters(remove_duplicate=False)
            untrained.mark_untrained(weight for name, weight in named if name in saved)
            unwrap.strip_adapter(model).tie_weights()  # type: ignore[operator]
            return
        problem = "; ".join(
            f"{what} {', '.join(names[:3])}" for what, names in problems.items() if names
        )
    raise UserError(
        f"the weights of the checkpoint are not those of {type(model).__name__}: {problem}. "
        f"{_ADVICE}."
    )


def _build_from_hparams(
    hparams: Mapping[str, Any], states: list[_State]
) -> tuple[Any, transformers.PreTrainedTokenizerBase]:
    """Build model and tokenizer as the YAML's keys say, for checkpoints without configuration.

    The numbers of labels and of embeddings, which may depend on the data and the tokenizer, are
    taken from the shapes of the weights.
    """
    section = AttrDict(dict(hparams))
    if section.get("peft") or not section.get("model_mode"):
        raise UserError(f"the checkpoint does not say how to build its model. {_ADVICE}.")

    def build() -> tuple[Any, Any]:
        config_kwargs, tokenizer_kwargs, model_kwargs = (
            parsing.default_parse_config_tokenizer_model_kwargs(section)
        )
        _, tokenizer, model = build_using_auto(
            config_kwargs,
            tokenizer_kwargs,
            section.model_mode,
            model_kwargs,
            use_pretrained_weights=False,
        )
        return model, tokenizer

    model, tokenizer = build()
    (state,) = states if len(states) == 1 else [{}]
    state = state_dict.strip_module_prefix(state)
    built = model.state_dict()
    # Number of rows of the weights whose shape differs.
    rows = {
        name: state[name].shape[0]
        for name, tensor in built.items()
        if name in state and tensor.ndim and tensor.shape != state[name].shape
    }
    embeddings = {name for name in rows if built[name].shape[0] == model.config.vocab_size}
    label_counts = {count for name, count in rows.items() if name not in embeddings}
    if len(label_counts) == 1:
        section.num_labels = label_counts.pop()
        model, tokenizer = build()
        logger.warning(
            "The checkpoint does not hold the names of its %d labels.", section.num_labels
        )
    if embeddings:
        model.resize_token_embeddings(rows[min(embeddings)])
    return model, tokenizer
