"""Keys of question answering in section ``data`` of the YAML, and checks of them."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import transformers

from model_hub.errors import UserError
from model_hub.huggingface.tasks._common.padding import check_padding_token
from model_hub.huggingface.tasks._common.tokenization import NO_LIMIT, check_fast_tokenizer


@dataclasses.dataclass
class QuestionAnsweringDataKwargs:
    """Keys of the YAML's section ``data`` that belong to question answering.

    Attributes:
        max_seq_length: tokens of a window: question, special tokens and part of the context.
        doc_stride: tokens of the context that two neighbouring windows share.
        pad_to_max_length: pad every window to ``max_seq_length``; else to the longest of its batch.
        n_best_size: spans kept per feature and per example.
        max_answer_length: longest answer in tokens.
        version_2_with_negative: some questions have no answer (SQuAD v2.0).
        null_score_diff_threshold: answer "" if "no answer" scores better by more than this.
        output_dir: folder for predictions.json, nbest_predictions.json and null_odds.json.
        preprocessing_num_workers: processes that prepare the features.
        overwrite_cache: prepare the features again even if the cache has them.
        question_column: the column with the question; None is ``question``.
        context_column: the column with the context; None is ``context``.
        answers_column: the column with the answers; None is ``answers``.
        id_column: the column that identifies the rows; None is ``id``.
        answer_column: ``answers_column`` as in transformers' example.
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
    question_column: str | None = None
    context_column: str | None = None
    answers_column: str | None = None
    id_column: str | None = None
    answer_column: str | None = None

    def __post_init__(self) -> None:
        """Take the name of transformers' example where ours is not set."""
        self.answers_column = self.answers_column or self.answer_column

    def column_names(self, names: Sequence[str]) -> dict[str, tuple[str | None, str]]:
        """Return by key the column that it names and the task's name of it, as for renaming.

        Args:
            names: the task's names: ``question``, ``context``, ``answers`` or ``id``.
        """
        return {f"{name}_column": (getattr(self, f"{name}_column"), name) for name in names}


def check_lengths(
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: QuestionAnsweringDataKwargs,
    model_max_length: int | None = None,
) -> None:
    """Check that the settings fit tokenizer and model, before anything is tokenized.

    Args:
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.
        model_max_length: tokens that the model takes; None if it has no limit.

    Raises:
        UserError: for a tokenizer without offsets, a window longer than tokenizer or model take, a
            stride with which windows do not advance, or a count below 1.
    """
    check_fast_tokenizer(tokenizer, "the positions of its tokens in the text")
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
    # At least one token of the question, and one of the context that the last window did not have.
    most = length - special - 2
    if stride < 0 or stride > most:
        raise UserError(
            f"data.doc_stride is {stride}, but should be between 0 and {max(most, 0)}: it is the "
            f"number of tokens that two windows share, and the data.max_seq_length {length} tokens "
            f"of a window include {special} special tokens and the question. "
            + (
                f"A third of data.max_seq_length is common: {length // 3}."
                if length // 3 <= most
                else "Raise data.max_seq_length."
            )
        )
    check_padding_token(tokenizer, data_kwargs.pad_to_max_length)


def cut_lengths(
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: QuestionAnsweringDataKwargs,
    model_max_length: int | None = None,
) -> QuestionAnsweringDataKwargs:
    """Return the settings with windows no longer than tokenizer and model take.

    The stride of shorter windows is at most a third of them. :func:`check_lengths` still has to
    check the result. Arguments are those of :func:`check_lengths`.
    """
    model_limit = NO_LIMIT if model_max_length is None else model_max_length
    length = int(min(data_kwargs.max_seq_length, tokenizer.model_max_length, model_limit))
    if length == data_kwargs.max_seq_length:
        return data_kwargs
    stride = min(data_kwargs.doc_stride, length // 3)
    return dataclasses.replace(data_kwargs, max_seq_length=length, doc_stride=stride)
