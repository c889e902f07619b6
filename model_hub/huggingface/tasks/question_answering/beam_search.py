"""Question answering with beam search over start and end, as XLNet's head does it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import transformers

from model_hub.huggingface.tasks.question_answering.collator import QuestionAnsweringCollator
from model_hub.huggingface.tasks.question_answering.reducer import SquadReducer
from model_hub.huggingface.tasks.question_answering.spans import SpanCandidates, ordered_top


class BeamSearchCollator(QuestionAnsweringCollator):
    """Makes batches for a model with a beam-search head.

    To the batches of :class:`QuestionAnsweringCollator` it adds

    * ``p_mask``, int64 ``[batch, length]``: 1 for tokens that cannot be in an answer: question,
      special tokens and padding, but not the CLS token, which stands for "no answer";
    * ``is_impossible``, float32 ``[batch]``, if the features have labels: 1.0 if the window does
      not contain the answer, so that start and end are the CLS token.

    The features need the columns ``context_begin``, ``context_end`` and ``cls_index``. The head
    takes the ``start_n_top`` and ``end_n_top`` best tokens of a window, padding included, and fails
    if there are fewer: :meth:`of` pads to that length.
    """

    @classmethod
    def of(
        cls, tokenizer: transformers.PreTrainedTokenizerBase, config: transformers.PretrainedConfig
    ) -> "BeamSearchCollator":
        """Return the collator for a model, with batches as long as its head needs.

        Args:
            tokenizer: has padding side and padding values.
            config: has ``start_n_top`` and ``end_n_top``.
        """
        return cls(tokenizer, min_length=max(config.start_n_top, config.end_n_top))

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch of these features; all of them have the columns of the first."""
        batch = super().__call__(features)
        positions = torch.arange(batch["input_ids"].shape[1])
        begin, end, cls_index = (
            batch[name][:, None] for name in ("context_begin", "context_end", "cls_index")
        )
        allowed = ((positions >= begin) & (positions < end)) | (positions == cls_index)
        batch["p_mask"] = (~allowed).long()
        if "start_positions" in batch:
            # Float labels for the head's binary cross-entropy.
            batch["is_impossible"] = (batch["start_positions"] == batch["cls_index"]).float()
        return batch


def select_n_best_beams(
    outputs: Mapping[str, torch.Tensor],
    *,
    context_begin: torch.Tensor,
    context_end: torch.Tensor,
    n_best_size: int,
    max_answer_length: int,
) -> tuple[SpanCandidates, torch.Tensor, torch.Tensor]:
    """Return the n best of the spans that beam search found, without synchronizing with the host.

    The head returns ``start_n_top`` starts, and ``end_n_top`` ends for each of them. A span's score
    is the logarithm of its probability, log p(start) + log p(end | start), as in XLNet's first
    release (Yang et al. 2019, https://arxiv.org/abs/1906.08237). ``start_top_log_probs`` and
    ``end_top_log_probs`` of transformers are the probabilities themselves, and its ends are ordered
    with all first ends before all second ends; transformers' example script reads them the other
    way round and so pairs a start with another start's end.

    Args:
        outputs: of ``XLNetForQuestionAnswering`` without labels: ``start_top_log_probs`` and
            ``start_top_index`` ``[batch, start_n_top]``, ``end_top_log_probs`` and
            ``end_top_index`` ``[batch, end_n_top * start_n_top]``.
        context_begin: first token of the context, int ``[batch]``.
        context_end: token after the last of the context, int ``[batch]``.
        n_best_size: number of spans.
        max_answer_length: longest span in tokens.

    Returns:
        The spans in the context that are not too long and have a probability above 0, and the
        logarithms of their start and end probabilities, float32 ``[batch, n]``. Equal scores are in
        the order of start, then end.
    """
    start, end = outputs["start_top_index"], outputs["end_top_index"]
    repeats = end.shape[1] // start.shape[1]
    start = start.repeat(1, repeats)
    start_log_prob = outputs["start_top_log_probs"].float().log().repeat(1, repeats)
    end_log_prob = outputs["end_top_log_probs"].float().log()
    begin, limit = context_begin[:, None], context_end[:, None]
    possible = (start >= begin) & (end >= start) & (end < limit)
    possible &= end - start < max_answer_length
    score = start_log_prob + end_log_prob
    score = score.where(possible & ~score.isnan(), -torch.inf)

    # Rank spans by start, then end; no window has 2 ** 16 tokens.
    best = ordered_top(score, (start << 16) + end, min(n_best_size, score.shape[1]))
    score = score.gather(1, best)
    found = score > -torch.inf
    missing = (0, n_best_size - score.shape[1])

    def of_best(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(values.gather(1, best).where(found, 0), missing)

    score = torch.nn.functional.pad(score, missing, value=-torch.inf)
    spans = SpanCandidates(of_best(start), of_best(end), score)
    return spans, of_best(start_log_prob), of_best(end_log_prob)


class BeamSearchReducer(SquadReducer):
    """The reducer for models with a beam-search head.

    These models have a classifier for "no answer". Its logit is the null score; that of an example
    is the lowest of its features, since one window with the answer is enough. It is not on the
    scale of the spans' scores: with ``version_2_with_negative`` the answer is "" if the logit is
    above ``null_score_diff_threshold``; 0.0 means a probability of one half.
    """

    summands: ClassVar[tuple[str, str]] = ("start_log_prob", "end_log_prob")
    null_stands_alone: ClassVar[bool] = True

    def update(
        self, batch_columns: Mapping[str, torch.Tensor], outputs: Mapping[str, torch.Tensor]
    ) -> None:
        """Add the n best spans of a batch, without synchronizing with the device.

        Args:
            batch_columns: what :func:`pop_feature_columns` returned, each int ``[batch]``.
            outputs: of the model; see :func:`select_n_best_beams`, and ``cls_logits`` ``[batch]``.
        """
        cls_logits = outputs["cls_logits"].detach().float()
        columns = {
            name: column.to(cls_logits.device, non_blocking=True)
            for name, column in batch_columns.items()
        }
        with torch.no_grad():
            spans, start_log_prob, end_log_prob = select_n_best_beams(
                outputs,
                context_begin=columns["context_begin"],
                context_end=columns["context_end"],
                n_best_size=self._settings.n_best_size,
                max_answer_length=self._settings.max_answer_length,
            )
        self._spans.add(columns, spans, start_log_prob, end_log_prob, cls_logits)
