"""Question answering's keys in section ``data`` of the YAML, and whether they go together."""

import dataclasses
from typing import ClassVar

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.tokenization import NO_LIMIT


@dataclasses.dataclass
class QuestionAnsweringDataKwargs:
    """Keys of the YAML's section ``data`` that belong to question answering.

    Attributes:
        max_seq_length: tokens of a window: question, special tokens and a part of the context.
        doc_stride: tokens of the context that two neighbouring windows share.
        pad_to_max_length: pad every window to ``max_seq_length``; else to the longest of its batch.
        n_best_size: spans kept per feature and per example.
        max_answer_length: longest answer in tokens.
        version_2_with_negative: some questions have no answer (SQuAD v2.0).
        null_score_diff_threshold: answer "" if "no answer" scores better by more than this.
        output_dir: folder for predictions.json, nbest_predictions.json and null_odds.json.
        preprocessing_num_workers: processes that prepare the features.
        overwrite_cache: prepare the features anew although they are in the cache.
    """

    yaml_section: ClassVar[str] = "data"

    max_seq_length: int = dataclasses.field(default=384, metadata={"min": 1})
    doc_stride: int = dataclasses.field(default=128, metadata={"min": 0})
    pad_to_max_length: bool = False
    n_best_size: int = dataclasses.field(default=20, metadata={"min": 1})
    max_answer_length: int = dataclasses.field(default=30, metadata={"min": 1})
    version_2_with_negative: bool = False
    null_score_diff_threshold: float = 0.0
    output_dir: str | None = None
    preprocessing_num_workers: int | None = dataclasses.field(default=None, metadata={"min": 1})
    overwrite_cache: bool = False


def check_lengths(
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: QuestionAnsweringDataKwargs,
    model_max_length: int | None = None,
) -> None:
    """Checks that tokenizer and lengths go together, before anything is tokenized.

    Args:
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.
        model_max_length: tokens that the model takes; None if it has no limit.

    Raises:
        UserError: for a tokenizer without offsets, a window longer than tokenizer or model take, a
            stride that leaves no progress, or a count below 1.
    """
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a tokenizer in pure Python, which does not tell where "
            "its tokens stand in the text; question answering needs that. Write "
            "hyperparameters.use_fast: true, or in hyperparameters.tokenizer_name a tokenizer that "
            "has a file tokenizer.json."
        )
    counts = ("max_seq_length", "n_best_size", "max_answer_length", "preprocessing_num_workers")
    for name in counts:
        value = getattr(data_kwargs, name)
        if value is not None and value < 1:
            raise UserError(f"data.{name} is {value}, but should be at least 1.")
    length, stride = data_kwargs.max_seq_length, data_kwargs.doc_stride
    for owner, limit in (("tokenizer", tokenizer.model_max_length), ("model", model_max_length)):
        if limit is not None and length > limit and limit < NO_LIMIT:
            raise UserError(
                f"data.max_seq_length is {length}, but the {owner} takes at most {int(limit)} "
                f"tokens. Write data.max_seq_length: {int(limit)} or less."
            )
    special = tokenizer.num_special_tokens_to_add(pair=True)
    # One token of question, one of context that is new: less cannot get ahead.
    most = length - special - 2
    if stride < 0 or stride > most:
        raise UserError(
            f"data.doc_stride is {stride}, but should be between 0 and {max(most, 0)}: it is the "
            f"number of tokens that two windows share, and of data.max_seq_length {length} the "
            f"special tokens ({special}) and the question take their part. "
            + (
                f"Common is a third of data.max_seq_length: {length // 3}."
                if length // 3 <= most
                else "Raise data.max_seq_length."
            )
        )
    if data_kwargs.pad_to_max_length and tokenizer.pad_token_id is None:
        raise UserError(
            "data.pad_to_max_length is true, but the tokenizer has no padding token. Write "
            "data.pad_to_max_length: false; batches are then padded to their longest window."
        )


def cut_lengths(
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: QuestionAnsweringDataKwargs,
    model_max_length: int | None = None,
) -> QuestionAnsweringDataKwargs:
    """The same settings, with windows no longer than tokenizer and model take.

    If windows become shorter, neighbours share at most a third of them; :func:`check_lengths` still
    has to check the result.

    Args:
        tokenizer: the tokenizer.
        data_kwargs: the settings; they are not changed.
        model_max_length: tokens that the model takes; None if it has no limit.
    """
    length = int(
        min(
            data_kwargs.max_seq_length,
            tokenizer.model_max_length,
            NO_LIMIT if model_max_length is None else model_max_length,
        )
    )
    if length == data_kwargs.max_seq_length:
        return data_kwargs
    stride = min(data_kwargs.doc_stride, length // 3)
    return dataclasses.replace(data_kwargs, max_seq_length=length, doc_stride=stride)
