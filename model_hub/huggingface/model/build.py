"""Build configuration, tokenizer and model through the Auto classes of transformers."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import transformers
from safetensors import SafetensorError

from model_hub import _hub
from model_hub.errors import UserError
from model_hub.huggingface.config.fields import FlexibleKwargs
from model_hub.huggingface.config.model_folders import no_tokenizer
from model_hub.huggingface.config.names import auto_model_class
from model_hub.huggingface.model import loading
from model_hub.huggingface.model.loading import resize_embeddings

_T = TypeVar("_T")


def _call_kwargs(kwargs: Mapping[str, Any] | FlexibleKwargs) -> dict[str, Any]:
    """Return arguments for ``from_pretrained``, with ``use_auth_token`` renamed to ``token``."""
    call = dict(kwargs.items())
    old_name = call.pop("use_auth_token", None)
    token = call.pop("token", None) or old_name
    return {**call, "token": token} if token else call


def _from_pretrained(part: str, load: Callable[..., _T], kwargs: Mapping[str, Any]) -> _T:
    """Load a ``"config"``, ``"tokenizer"`` or ``"model"``; an error names its key in the YAML."""
    arguments = dict(kwargs)
    name = arguments.pop("pretrained_model_name_or_path", None)
    key = f"hyperparameters.pretrained_model_name_or_path (or {part}_name)"
    if not name:
        raise UserError(
            f"{key} is missing: write the name of a model on the Hugging Face Hub, or a folder."
        )
    try:
        return load(name, **arguments)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if "Unrecognized configuration class" in str(error):
            raise  # The mode is wrong, not the name.
        if "ignore_mismatched_sizes" in str(error):
            raise UserError(
                f"{key}: the weights of {name!r} have other shapes than the configuration says "
                "(the report above names them). Most often hyperparameters.num_labels is not the "
                "number of labels that the weights were trained for: write that number, or take "
                "weights without a trained head."
            ) from error
        raise UserError(
            f"{key}: cannot load the {part} of {name!r}: {_hub.explain_load_error(name, error)}. "
            "Write a folder that holds it, or the name of a model on the Hugging Face Hub that "
            "this machine can reach or has in its cache."
        ) from error


def _load_tokenizer(kwargs: dict[str, Any]) -> transformers.PreTrainedTokenizerBase:
    name = kwargs.get("pretrained_model_name_or_path")
    tokenizer: transformers.PreTrainedTokenizerBase = _from_pretrained(
        "tokenizer", transformers.AutoTokenizer.from_pretrained, kwargs
    )
    # From a folder with a configuration but no tokenizer, transformers 5 builds one without a
    # vocabulary.
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise UserError(f"{no_tokenizer(name)}.")
    return tokenizer


def _return_token_type_ids(
    tokenizer: transformers.PreTrainedTokenizerBase, config: transformers.PretrainedConfig
) -> None:
    """Make the tokenizer return ``token_type_ids`` for a model that was pretrained with them.

    In transformers 5 the tokenizers of ALBERT, XLNet, BigBird, RemBERT, Funnel and others return
    them only on request, and the model then takes a pair of texts for a single one.
    """
    has_segments = (getattr(config, "type_vocab_size", None) or 0) > 1
    if not has_segments and config.model_type != "xlnet":
        return
    names = tokenizer.model_input_names
    types = tokenizer.__call__("a", "b", return_token_type_ids=True)["token_type_ids"]
    if "token_type_ids" not in names and any(types):
        tokenizer.model_input_names = [*names, "token_type_ids"]


def build_using_auto(
    config_kwargs: Mapping[str, Any] | FlexibleKwargs,
    tokenizer_kwargs: Mapping[str, Any] | FlexibleKwargs,
    model_mode: str,
    model_kwargs: Mapping[str, Any] | FlexibleKwargs,
    use_pretrained_weights: bool = True,
    *,
    # A string, because transformers imports the class of all models when it is first named.
    model_class: "type[transformers.PreTrainedModel] | None" = None,
) -> tuple[transformers.PretrainedConfig, transformers.PreTrainedTokenizerBase, Any]:
    """Build configuration, tokenizer and model through the Auto classes of transformers.

    If the tokenizer has more tokens than the model has embeddings, embeddings are added.

    Args:
        config_kwargs: arguments of ``AutoConfig.from_pretrained``.
        tokenizer_kwargs: arguments of ``AutoTokenizer.from_pretrained``.
        model_mode: selects the Auto class, see :func:`auto_model_class`.
        model_kwargs: arguments of the model's ``from_pretrained``.
        use_pretrained_weights: False builds the model from the configuration, with random weights
            from torch's global generator.
        model_class: model class to build instead of the Auto class's, for instance
            ``transformers.XLNetForQuestionAnswering``.

    Returns:
        ``(config, tokenizer, model)``; the model is on the CPU.

    Raises:
        UserError: for an unknown mode, a name or folder that cannot be loaded, or a configuration
            of another type than ``model_class`` has.
    """
    auto_class: Any = model_class or auto_model_class(model_mode)
    config_arguments = _call_kwargs(config_kwargs)
    config = _from_pretrained("config", transformers.AutoConfig.from_pretrained, config_arguments)
    if "finetuning_task" in config_arguments:
        # transformers 5 drops arguments that are no fields of the configuration.
        config.finetuning_task = config_arguments["finetuning_task"]
    config_class = None if model_class is None else model_class.config_class
    if model_class and config_class and not isinstance(config, config_class):
        raise UserError(
            "hyperparameters.pretrained_model_name_or_path (or config_name): the model is of type "
            f"{config.model_type!r}, but this trial builds {model_class.__name__}. Write a model "
            f"of type {config_class.model_type!r}, or take another trial."
        )
    tokenizer = _load_tokenizer(_call_kwargs(tokenizer_kwargs))
    _return_token_type_ids(tokenizer, config)
    try:
        if use_pretrained_weights:
            load = functools.partial(auto_class.from_pretrained, config=config)
            arguments = loading.from_pretrained_kwargs(_call_kwargs(model_kwargs), config)
            with loading.report_yaml_key(arguments):
                model = _from_pretrained("model", load, arguments)
        else:
            make = auto_class.from_config if model_class is None else model_class._from_config
            arguments = loading.from_config_kwargs(_call_kwargs(model_kwargs), config)
            with loading.report_yaml_key(arguments):
                model = make(config, **arguments)
    except ValueError as error:
        if isinstance(error, UserError) or "Unrecognized configuration class" not in str(error):
            raise
        raise UserError(
            f"hyperparameters.model_mode: a model of type {config.model_type!r} cannot be built "
            f"for {model_mode!r}: transformers has no such head for it."
        ) from error
    resize_embeddings(model, tokenizer)
    return config, tokenizer, model
