"""Generation of texts with the settings of the YAML, whatever the model's own file says."""

from collections.abc import Mapping
from typing import Any

import torch
import transformers

# Settings of a model's generation_config.json that would change how many texts are returned, or as
# what, or that sample, depend on the time or need another model, a package or batches of one row.
_GREEDY_OR_BEAM_SEARCH: dict[str, Any] = {
    "do_sample": False,
    "num_return_sequences": 1,
    "return_dict_in_generate": False,
    "output_scores": False,
    "output_logits": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "penalty_alpha": None,
    "dola_layers": None,
    "prompt_lookup_num_tokens": None,
    "num_beam_groups": None,
    "diversity_penalty": None,
    "constraints": None,
    "force_words_ids": None,
    "assistant_early_exit": None,
    "is_assistant": False,
    "low_memory": None,
    "max_time": None,
    "token_healing": False,
}


def generate(
    model: Any,
    tokenizer: transformers.PreTrainedTokenizerBase,
    inputs: Mapping[str, torch.Tensor],
    *,
    max_length: int | None = None,
    max_new_tokens: int | None = None,
    num_beams: int | None = None,
    **settings: Any,
) -> torch.Tensor:
    """Generate one text a row, by greedy or beam search.

    Arguments take precedence over the model's generation configuration, which has the rest: special
    tokens, ``length_penalty``, ``stop_strings`` and the like.

    Args:
        model: not wrapped.
        tokenizer: finds ``stop_strings``.
        inputs: ``input_ids`` and the like, on the model's device.
        max_length: the most tokens, including those that the decoder begins with; or
        max_new_tokens: the most tokens without these.
        num_beams: beams of beam search; None is the model's number.
        settings: further arguments of the model's ``generate``.

    Returns:
        The tokens, int64 ``[batch, length]``.
    """
    own = model.generation_config
    if num_beams is not None:
        settings["num_beams"] = num_beams
    if getattr(own, "stop_strings", None):
        settings["tokenizer"] = tokenizer
    tokens: torch.Tensor = model.generate(
        **inputs,
        # Both, since transformers prefers max_new_tokens, whichever of them the file has.
        max_length=max_length,
        max_new_tokens=max_new_tokens,
        **{name: value for name, value in _GREEDY_OR_BEAM_SEARCH.items() if hasattr(own, name)},
        **settings,
    )
    return tokens


def generated_lengths(tokens: torch.Tensor, padding: int | None, ends: set[int]) -> torch.Tensor:
    """Count the tokens of generated texts, including the one that ends a text.

    Args:
        tokens: what was generated, int64 ``[batch, length]``.
        padding: follows texts that ended before others, and may be one of ``ends``; None: none did.
        ends: tokens that end a text.

    Returns:
        int64 ``[batch]``.
    """
    if padding is None:
        return torch.full(tokens.shape[:1], tokens.shape[1], device=tokens.device)
    if padding not in ends:
        return (tokens != padding).sum(1)
    is_end = torch.isin(tokens, torch.tensor(sorted(ends), device=tokens.device))
    return (is_end.cumsum(1) - is_end.long() == 0).sum(1)
