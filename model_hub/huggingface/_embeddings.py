"""Embeddings for all tokens of the tokenizer."""

import logging

import torch
import transformers

from model_hub.huggingface import _new_weights

logger = logging.getLogger("model_hub")


def grow_embeddings(
    model: torch.nn.Module, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    """Adds embeddings, in place, where the tokenizer has more tokens than the model.

    A tokenizer of another model, or one with tokens of one's own, would otherwise end in an index
    out of range. A model with more embeddings than the tokenizer has tokens stays as it is: many
    are padded to a multiple of 64 or 128, and their weights are not to be cut.

    Args:
        model: not wrapped yet, and not known to an optimizer.
        tokenizer: the tokenizer that it is used with.
    """
    if not isinstance(model, transformers.PreTrainedModel):
        return
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:  # A model of something else than tokens.
        return
    if not isinstance(embeddings, torch.nn.Embedding):
        return
    before, needed = embeddings.num_embeddings, len(tokenizer)
    if needed > before:
        model.resize_token_embeddings(needed)
        for grown in (model.get_input_embeddings(), model.get_output_embeddings()):
            if grown is not None:
                _new_weights.mark(grown)
        logger.info(
            "The tokenizer has %d tokens, the model had embeddings for %d: %d new ones are added, "
            "which nothing was learned about yet.",
            needed,
            before,
            needed - before,
        )
