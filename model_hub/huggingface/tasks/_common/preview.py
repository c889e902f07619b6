"""Features as text, to see what a model is given and which of its tokens are learned."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import transformers

from model_hub.huggingface.tasks._common.padding import NO_LABEL

#: They enclose learned tokens.
BEGIN, END = "«", "»"


def preview_features(
    features: Iterable[Mapping[str, Any]], tokenizer: transformers.PreTrainedTokenizerBase
) -> Iterator[str]:
    """Yield each row as text, with its learned tokens between « and ».

    Args:
        features: rows with ``input_ids``, and with ``labels`` (-100 where nothing is learned); all
            tokens of rows without labels are learned. The first token of a row never is, since
            there is none before it.
        tokenizer: writes the tokens as text, the special ones too.
    """
    for number, row in enumerate(features, 1):
        ids: Sequence[int] = row["input_ids"]
        labels: Sequence[int] = row.get("labels") or ids
        learned = [place > 0 and label != NO_LABEL for place, label in enumerate(labels)]
        text = ""
        for is_learned, run in groupby(range(len(ids)), key=learned.__getitem__):
            words = tokenizer.decode(
                [ids[place] for place in run],
                skip_special_tokens=False,
                clean_up_tokenization_spaces=False,
            )
            text += f"{BEGIN}{words}{END}" if is_learned else str(words)
        yield f"row {number}: {len(ids)} tokens, {sum(learned)} of them learned\n{text}"
