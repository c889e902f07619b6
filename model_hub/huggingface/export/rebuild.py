"""A model built again from its checkpoint: without the trial, its code and its data."""

import json
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
from model_hub.huggingface.export import architectures
from model_hub.huggingface.export.find import WEIGHTS_FILE, FoundCheckpoint
from model_hub.huggingface.model import untrained, unwrap
from model_hub.huggingface.model.build import build_using_auto
from model_hub.utils import AttrDict

logger = logging.getLogger("model_hub")

# Buffers that older versions of transformers kept in checkpoints, and which are computed.
_COMPUTED = (".position_ids", ".token_type_ids", ".inv_freq")
_ADVICE = "--run-trial-code lets the checkpoint's own code build it; do that only if you trust it"


def rebuild_model(
    found: FoundCheckpoint, base_model: str | None = None
) -> tuple[Any, transformers.PreTrainedTokenizerBase | None]:
    """Builds a checkpoint's model and loads its weights; nothing in the checkpoint is executed.

    Args:
        found: the checkpoint.
        base_model: where the weights are that an adapter was put on; None is where they were at the
            training.

    Returns:
        The model, in evaluation mode, with its adapter if it has one; and the tokenizer, where its
        files do not stand in the checkpoint.

    Raises:
        UserError: when the model cannot be built, or the weights are not its own.
    """
    description = found.folder / metadata.FOLDER
    if (description / "config.json").exists():
        model = _read_metadata(description, found.hparams, base_model)
        _load_weights(model, _states(found.folder))
        return model.eval(), None
    logger.info("The checkpoint does not describe its model; it is built from the YAML's keys.")
    return _from_hparams(found.hparams, _states(found.folder))


def load_run_trial(folder: pathlib.Path) -> Any:
    """The trial of a checkpoint, made by the code in it, from the data that its YAML names.

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
            f"the trial of the checkpoint cannot be made: {type(error).__name__}: {error}"
        ) from error


def _states(folder: pathlib.Path) -> list[Mapping[str, torch.Tensor]]:
    """The weights of all models in a checkpoint, mapped from the file."""
    file = folder / WEIGHTS_FILE
    try:
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        states: list[Mapping[str, torch.Tensor]] = content["models_state_dict"]
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{str(file)!r} is refused: it holds more than weights and states, or is damaged "
            f"({str(error).splitlines()[0]})."
        ) from error
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"{str(file)!r} cannot be read as a checkpoint: {error}") from error
    return states


def _read_metadata(
    description: pathlib.Path, hparams: Mapping[str, Any], base_model: str | None
) -> Any:
    try:
        config = transformers.AutoConfig.from_pretrained(description)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the model's configuration in {str(description)!r} cannot be read: {error}. {_ADVICE}."
        ) from error
    (architecture,) = config.architectures or [""]
    model_class = architectures.model_class(architecture)
    if model_class is None:
        raise UserError(f"transformers has no model class {architecture!r}. {_ADVICE}.")
    adapter = description / "adapter_config.json"
    model = (
        _with_adapter(model_class, config, adapter, hparams, base_model)
        if adapter.exists()
        else model_class(config)
    )
    if (description / "generation_config.json").exists():
        inner = unwrap.strip_adapter(model)
        inner.generation_config = transformers.GenerationConfig.from_pretrained(description)  # type: ignore[assignment]
    return model


def _with_adapter(
    model_class: Any,
    config: transformers.PretrainedConfig,
    adapter: pathlib.Path,
    hparams: Mapping[str, Any],
    base_model: str | None,
) -> Any:
    """The model that the adapter was put on, with weights from where they came from, and it."""
    # An extra: most checkpoints have no adapter.
    try:
        import peft
    except ImportError as error:
        raise UserError(
            "the checkpoint has an adapter of the library peft: pip install 'model-hub[peft]'."
        ) from error
    content = json.loads(adapter.read_text(encoding="utf-8"))
    name = base_model or content.get("base_model_name_or_path")
    revision = hparams.get("revision") if base_model is None else None
    if getattr(config, "quantization_config", None) is not None and _was_quantized(hparams):
        # The adapter is put on the weights as they are saved, not on rounded ones.
        del config.quantization_config
    if base_model is None and hparams.get("use_pretrained_weights") is False:
        # They came from nowhere; the checkpoint holds them.
        base = model_class(config)
        untrained.mark_untrained(base.parameters())
        return peft.get_peft_model(base, peft.PeftConfig.from_pretrained(str(adapter.parent)))
    try:
        base = model_class.from_pretrained(
            name,
            config=config,
            revision=revision or "main",
            # Embeddings that the tokenizer made more of are in the checkpoint.
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the checkpoint holds an adapter, and the weights that it was put on cannot be loaded "
            f"from {name!r}: {str(error).splitlines()[0]} Name them with --base-model."
        ) from error
    return peft.get_peft_model(base, peft.PeftConfig.from_pretrained(str(adapter.parent)))


def _was_quantized(hparams: Mapping[str, Any]) -> bool:
    """Whether the weights were quantized when they were loaded, and are not saved like that."""
    keys = ("load_in_4bit", "load_in_8bit", "quantization_config")
    return any(hparams.get(key) for key in keys)


def _load_weights(model: Any, states: list[Mapping[str, torch.Tensor]]) -> None:
    """Loads the one of the states that is the model's.

    Raises:
        UserError: when there is none.
    """
    own = state_dict.parameters_and_buffers(model)
    problem = "it holds no weights"
    for state in states:
        bare = {n: v for n, v in state.items() if n in own or not n.endswith(_COMPUTED)}
        fitted = state_dict.match_prefix(state_dict.add_frozen_weights(model, bare), own)
        # Beside them, what neither the checkpoint nor the file of the base model has.
        given = set(state_dict.strip_module_prefix(bare))
        drawn = set(untrained.frozen_untrained(model)) - given
        missing = sorted((set(own) - set(fitted)) | drawn)
        further = sorted(set(fitted) - set(own))
        shapes = [n for n in own if n in fitted and own[n].shape != fitted[n].shape]
        if not (missing or further or shapes):
            # Assigned, not copied: they keep their type, and are in memory once.
            # The base model of an adapter has its weights already.
            new = {n: fitted[n] for n in own if n in given or not unwrap.has_adapter(model)}
            model.load_state_dict(new, strict=False, assign=True)
            # What is frozen of them is in no file of pretrained weights: `_check_adapter_alone`.
            named = model.named_parameters(remove_duplicate=False)
            untrained.mark_untrained(weight for name, weight in named if name in given)
            unwrap.strip_adapter(model).tie_weights()  # type: ignore[operator]
            return
        problem = "; ".join(
            f"{what} {', '.join(names[:3])}"
            for what, names in (
                ("missing are", missing),
                ("unknown are", further),
                ("of another shape are", shapes),
            )
            if names
        )
    raise UserError(
        f"the weights of the checkpoint are not those of {type(model).__name__}: {problem}. "
        f"{_ADVICE}."
    )


def _from_hparams(
    hparams: Mapping[str, Any], states: list[Mapping[str, torch.Tensor]]
) -> tuple[Any, transformers.PreTrainedTokenizerBase]:
    """Model and tokenizer as the YAML's keys describe it; for checkpoints without a description.

    The number of labels and of embeddings, which data and tokenizer may have decided, are those of
    the weights.
    """
    section = AttrDict(dict(hparams))
    if section.get("peft") or not section.get("model_mode"):
        raise UserError(f"the checkpoint does not tell how its model is built. {_ADVICE}.")

    def build() -> tuple[Any, Any]:
        config, tokenizer, model_kwargs = parsing.default_parse_config_tokenizer_model_kwargs(
            section
        )
        _, made_tokenizer, model = build_using_auto(
            config, tokenizer, section.model_mode, model_kwargs, use_pretrained_weights=False
        )
        return made_tokenizer, model

    tokenizer, model = build()
    (state,) = states if len(states) == 1 else [{}]
    state = state_dict.strip_module_prefix(state)
    different = {
        name: state[name].shape[0]
        for name, tensor in model.state_dict().items()
        if name in state and tensor.ndim and tensor.shape != state[name].shape
    }
    embeddings = {
        name for name in different if model.state_dict()[name].shape[0] == model.config.vocab_size
    }
    heads = {rows for name, rows in different.items() if name not in embeddings}
    if len(heads) == 1:
        section.num_labels = heads.pop()
        tokenizer, model = build()
        logger.warning(
            "The checkpoint does not tell what its %d labels are called.", section.num_labels
        )
    if embeddings:
        model.resize_token_embeddings(different[min(embeddings)])
    _load_weights(model, states)
    return model.eval(), tokenizer
