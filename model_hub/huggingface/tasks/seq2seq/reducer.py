"""Generation at validation, and the reducers of its metrics."""

import abc
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
import transformers

from model_hub.huggingface.model import unwrap
from model_hub.huggingface.tasks._common.generation import generate as generate_tokens
from model_hub.huggingface.tasks._common.generation import generated_lengths
from model_hub.huggingface.tasks._common.json_files import write_json
from model_hub.huggingface.tasks._common.padding import NO_LABEL
from model_hub.huggingface.tasks._common.reducers import (
    SumReducer,
    from_fixed_point,
    ratio,
    to_fixed_point,
)
from model_hub.huggingface.tasks.seq2seq import metrics
from model_hub.huggingface.tasks.seq2seq.settings import Seq2SeqDataKwargs


class Generated(NamedTuple):
    """Texts that a model generated for a batch, and its loss.

    Attributes:
        texts: a text a row, without special tokens.
        lengths: generated tokens of each, including the end-of-sequence token, int64 ``[batch]``.
        loss_sum: sum of the negative log-likelihoods of the labels, as :func:`to_fixed_point`,
            int64, a scalar.
        label_tokens: number of labels, int64, a scalar.
    """

    texts: list[str]
    lengths: torch.Tensor
    loss_sum: torch.Tensor
    label_tokens: torch.Tensor


@torch.no_grad()
def generate(
    model: torch.nn.Module,
    batch: Mapping[str, torch.Tensor],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: Seq2SeqDataKwargs,
) -> Generated:
    """Generate the texts of a batch, and compute the loss of the references.

    Args:
        model: wrapped or not. It is unwrapped: slots validate different numbers of batches, and
            must not wait for each other.
        batch: arguments of the model; ``labels`` are padded with -100.
        tokenizer: decodes the texts.
        data_kwargs: section ``data``, for ``num_beams`` and the most tokens.
    """
    inner: Any = unwrap.unwrap(model)
    labels = batch["labels"]
    logits = inner(**batch).logits
    # Token by token, so that the sum does not depend on the rows of a batch.
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=NO_LABEL, reduction="none"
    )
    tokens = generate_tokens(
        inner,
        tokenizer,
        {name: batch[name] for name in ("input_ids", "attention_mask")},
        max_length=data_kwargs.generated_length,
        num_beams=data_kwargs.num_beams,
        synced_gpus=False,
    )
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    padding = inner.generation_config.pad_token_id
    padding = tokenizer.pad_token_id if padding is None else padding
    ends = inner.generation_config.eos_token_id
    return Generated(
        [text.strip() for text in texts],
        # Without the token that the decoder starts with.
        generated_lengths(
            tokens[:, 1:], padding, set(ends if isinstance(ends, list) else [ends]) - {None}
        ),
        to_fixed_point(losses).sum(),
        (labels != NO_LABEL).sum(),
    )


class Seq2SeqReducer(SumReducer):
    """Metrics of generated texts over all slots, from counts.

    Metrics do not depend on how rows are divided into batches and slots. With ``data.output_dir``
    the texts are kept as well, until the end of the validation.

    Args:
        references: the validation rows, whose row number is the ``row`` of the batches.
        target_column: their column with the reference texts.
        data_kwargs: section ``data``.
        write_files: write predictions.json if ``data.output_dir`` is set; true in one process.
    """

    def __init__(
        self,
        references: datasets.Dataset,
        target_column: str,
        data_kwargs: Seq2SeqDataKwargs,
        *,
        write_files: bool = False,
    ) -> None:
        self._references = references.with_format(None, columns=[target_column])
        self._target_column = target_column
        self._output_dir = data_kwargs.output_dir
        self._write_files = write_files
        self._texts: dict[int, str] = {}
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self._texts = {}

    def update(self, rows: torch.Tensor, generated: Generated) -> None:
        """Add a batch.

        Args:
            rows: row numbers, int ``[batch]``.
            generated: the result of :func:`generate`.
        """
        numbers = rows.tolist()
        if self._output_dir is not None:
            self._texts.update(zip(numbers, generated.texts, strict=True))
        self.add(
            rows=torch.tensor(len(numbers)),
            generated=generated.lengths.sum(),
            loss=generated.loss_sum,
            label_tokens=generated.label_tokens,
            **self.count_texts(generated.texts, self._expected(numbers)),
        )

    def per_slot_reduce(self) -> Any:
        """Return this slot's sums, and its texts if they are kept."""
        return super().per_slot_reduce(), self._texts

    def cross_slot_reduce(self, per_slot_metrics: Sequence[Any]) -> dict[str, float]:
        """Return the metrics of the sums over all slots, and write the file."""
        if self._write_files and self._output_dir is not None:
            texts = {row: text for _, part in per_slot_metrics for row, text in part.items()}
            self._write(pathlib.Path(self._output_dir).expanduser(), sorted(texts), texts)
        return super().cross_slot_reduce([sums for sums, _ in per_slot_metrics])

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return :meth:`text_metrics`, ``gen_len`` and ``validation_loss``; NaN without a row.

        ``gen_len`` is the mean number of generated tokens, including the end-of-sequence token;
        ``validation_loss`` is the mean over all labels.
        """
        number = {
            name: int(sums.get(name, 0)) for name in ("rows", "generated", "loss", "label_tokens")
        }
        return {
            **self.text_metrics(sums, number["rows"]),
            "gen_len": ratio(number["generated"], number["rows"]),
            "validation_loss": ratio(from_fixed_point(number["loss"]), number["label_tokens"]),
        }

    @abc.abstractmethod
    def count_texts(
        self, texts: Sequence[str], references: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return the counts of a batch, by name."""

    @abc.abstractmethod
    def text_metrics(self, sums: Mapping[str, np.ndarray], rows: int) -> dict[str, float]:
        """Return the metrics of the sums of :meth:`count_texts`."""

    def _expected(self, numbers: Sequence[int]) -> list[str]:
        return list(self._references[list(numbers)][self._target_column])

    def _write(
        self, folder: pathlib.Path, numbers: Sequence[int], texts: Mapping[int, str]
    ) -> None:
        content = {
            str(row): {"prediction": texts[row], "reference": reference}
            for row, reference in zip(numbers, self._expected(numbers), strict=True)
        }
        write_json(folder / "predictions.json", content)


class SummarizationReducer(Seq2SeqReducer):
    """``rouge1``, ``rouge2``, ``rougeL``, ``rougeLsum`` and ``chrf``, all in per cent.

    ROUGE is the mean F1 of rouge-score; ``chrf`` is that of the whole validation data, as for
    translations.

    Raises:
        UserError: when the package rouge-score is not installed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._scorer = metrics.rouge_scorer()
        super().__init__(*args, **kwargs)

    def count_texts(
        self, texts: Sequence[str], references: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return the sums of each type's F1, and the numbers of n-grams."""
        return {
            "rouge": metrics.rouge_sums(self._scorer, texts, references),
            "chrf": metrics.chrf_counts(texts, references),
        }

    def text_metrics(self, sums: Mapping[str, np.ndarray], rows: int) -> dict[str, float]:
        """Return the means, and chrF; NaN without a row."""
        nothing = np.zeros(len(metrics.ROUGE_TYPES), dtype=np.int64)
        return {
            **metrics.rouge_metrics(sums.get("rouge", nothing), rows),
            "chrf": metrics.chrf(sums["chrf"]) if rows else float("nan"),
        }


class TranslationReducer(Seq2SeqReducer):
    """``bleu`` and ``chrf`` of the whole validation data, 0 to 100, as sacrebleu defines them.

    Raises:
        UserError: when the package sacrebleu is not installed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._scorer = metrics.bleu_scorer()
        super().__init__(*args, **kwargs)

    def count_texts(
        self, texts: Sequence[str], references: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return the numbers of n-grams."""
        return {
            "bleu": metrics.bleu_counts(self._scorer, texts, references),
            "chrf": metrics.chrf_counts(texts, references),
        }

    def text_metrics(self, sums: Mapping[str, np.ndarray], rows: int) -> dict[str, float]:
        """Return both metrics; NaN without a row."""
        if not rows:
            return {"bleu": float("nan"), "chrf": float("nan")}
        return {
            "bleu": metrics.bleu(self._scorer, sums["bleu"]),
            "chrf": metrics.chrf(sums["chrf"]),
        }
