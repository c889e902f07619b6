"""Multiple choice on SWAG-like data: features, batches, loss, accuracy."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
import transformers

from model_hub.errors import UserError
from model_hub.huggingface import _data
from model_hub.huggingface.tasks import _baseline
from model_hub.huggingface.tasks._choice_rows import (
    check_rows,
    ending_columns,
    filled_endings,
    prepare_features,
    right_endings,
)
from model_hub.huggingface.tasks._counts import CountReducer, ratio
from model_hub.huggingface.tasks._lengths import sequence_length
from model_hub.huggingface.tasks._padding import pad_rows, side_to_pad
from model_hub.huggingface.tasks._tokenization import TokenizationDataKwargs

__all__ = [
    "MultipleChoiceCollator",
    "MultipleChoiceDataKwargs",
    "MultipleChoiceDatasets",
    "MultipleChoiceReducer",
    "build_datasets",
    "check_rows",
    "choice_loss",
    "ending_columns",
    "filled_endings",
    "log_baselines",
    "mask_choices",
    "prepare_features",
    "right_endings",
]


@dataclasses.dataclass
class MultipleChoiceDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to multiple choice: those about tokens."""


@dataclasses.dataclass
class MultipleChoiceCollator:
    """Makes a batch of a list of features, padded to the longest sequence in it.

    In the place of an ending that a row does not have stands its first one again, so that the
    model has something to compute; ``choice_mask`` tells them apart.

    Attributes:
        tokenizer: tells padding values and, by ``side_to_pad``, their side.
    """

    tokenizer: transformers.PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        self._side = side_to_pad(self.tokenizer)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of these features.

        Returns:
            The tokenizer's columns, int64 ``[batch, choices, length]``; ``labels``, int64
            ``[batch]``; ``choice_mask``, bool ``[batch, choices]``: the endings that are there.
            ``choices`` is as many as the row with most of them needs.
        """
        names = [name for name in features[0] if name != "labels"]
        present = [
            [number for number, sequence in enumerate(feature[names[0]]) if len(sequence)]
            for feature in features
        ]
        choices = max(numbers[-1] for numbers in present) + 1
        mask = torch.zeros(len(features), choices, dtype=torch.bool)
        rows = []
        for row, (feature, numbers) in enumerate(zip(features, present, strict=True)):
            mask[row, numbers] = True
            taken = [number if number in numbers else numbers[0] for number in range(choices)]
            rows += [{name: feature[name][number] for name in names} for number in taken]
        padded = pad_rows(rows, self.tokenizer, padding_side=self._side)
        batch = {name: flat.view(len(features), choices, -1) for name, flat in padded.items()}
        labels = torch.tensor([int(feature["labels"]) for feature in features])
        return {**batch, "labels": labels, "choice_mask": mask}


def mask_choices(logits: torch.Tensor, choice_mask: torch.Tensor) -> torch.Tensor:
    """The logits with minus infinity for endings that are not there.

    Args:
        logits: any float type, ``[batch, choices]``.
        choice_mask: bool, ``[batch, choices]``.

    Returns:
        float32, ``[batch, choices]``.
    """
    return logits.float().masked_fill(~choice_mask, -torch.inf)


def choice_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    choice_mask: torch.Tensor,
    label_smoothing_factor: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy over the endings that are there, the mean of the rows.

    Where all rows have all endings, this is the loss that the models of transformers compute.

    Args:
        logits: any float type, ``[batch, choices]``.
        labels: number of the right ending, int64 ``[batch]``.
        choice_mask: bool, ``[batch, choices]``.
        label_smoothing_factor: share of the target that is spread over the endings of a row.
    """
    masked = mask_choices(logits, choice_mask)
    loss = torch.nn.functional.cross_entropy(masked, labels)
    if not label_smoothing_factor:
        return loss
    # torch's own smoothing would count the endings that are not there, with a loss of infinity.
    losses = -masked.log_softmax(dim=-1).masked_fill(~choice_mask, 0.0)
    uniform = (losses.sum(dim=-1) / choice_mask.sum(dim=-1)).mean()
    return (1 - label_smoothing_factor) * loss + label_smoothing_factor * uniform


class MultipleChoiceReducer(CountReducer):
    """``accuracy``: the share of rows whose right ending has the highest logit. It keeps counts."""

    def update(self, logits: torch.Tensor, labels: torch.Tensor, choice_mask: torch.Tensor) -> None:
        """Counts a batch; without waiting for the device. Arguments as of :func:`choice_loss`."""
        chosen = mask_choices(logits, choice_mask).argmax(dim=-1)
        self.add(rows=torch.tensor(len(labels)), right=(chosen == labels).sum())

    def compute(self, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The accuracy, between 0 and 1; NaN if there was no row."""
        return {"accuracy": ratio(int(sums.get("right", 0)), int(sums.get("rows", 0)))}


class MultipleChoiceDatasets(NamedTuple):
    """What a multiple-choice trial trains and validates on.

    Attributes:
        train: features to train on.
        validation: features to validate on.
    """

    train: datasets.Dataset
    validation: datasets.Dataset


def build_datasets(
    raw_datasets: Mapping[str, datasets.Dataset],
    tokenizer: transformers.PreTrainedTokenizerBase,
    data_kwargs: MultipleChoiceDataKwargs,
    model_config: transformers.PretrainedConfig | None = None,
    sources: Mapping[str, str] | None = None,
) -> MultipleChoiceDatasets:
    """Checks the rows and makes features of them; what was made before comes from the cache.

    Args:
        raw_datasets: rows as loaded, splits ``train`` and ``validation``.
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.
        model_config: tells how many tokens the model takes.
        sources: where each split comes from, for messages; see
            :func:`model_hub.huggingface.split_sources`.

    Raises:
        UserError: when rows, tokenizer or settings are not as they should be.
    """
    _data.check_splits(raw_datasets)
    if data_kwargs.pad_to_max_length and tokenizer.pad_token_id is None:
        raise UserError(
            "data.pad_to_max_length is true, but the tokenizer has no padding token. Write "
            "data.pad_to_max_length: false; batches are then padded to their longest sequence."
        )
    length = sequence_length(data_kwargs.max_seq_length, tokenizer, model_config, texts=2)
    for split in ("train", "validation"):
        check_rows(raw_datasets[split], (sources or {}).get(split, f"split {split!r}"))

    def prepare(split: str) -> datasets.Dataset:
        rows = raw_datasets[split]
        return _data.prepare_dataset(
            rows,
            prepare_features,
            tokenizer=tokenizer,
            num_proc=data_kwargs.preprocessing_num_workers,
            overwrite_cache=data_kwargs.overwrite_cache,
            description=f"{split} features",
            endings=ending_columns(rows.column_names),
            max_seq_length=length,
            pad_to_max_length=data_kwargs.pad_to_max_length,
        )

    return MultipleChoiceDatasets(prepare("train"), prepare("validation"))


def log_baselines(raw_datasets: Mapping[str, datasets.Dataset]) -> dict[str, float]:
    """Says what answers without reading score on the validation data.

    Args:
        raw_datasets: rows that :func:`check_rows` has checked.

    Returns:
        Accuracy of the first ending of each row, under ``first``, and of the ending that is right
        most often in the training rows, under ``frequent``.
    """
    labels = right_endings(raw_datasets["validation"])
    first = filled_endings(raw_datasets["validation"]).argmax(axis=1)
    frequent = int(np.bincount(right_endings(raw_datasets["train"])).argmax())
    accuracies = {
        "first": float((labels == first).mean()),
        "frequent": float((labels == frequent).mean()),
    }
    _baseline.log_baseline("always the first ending", {"accuracy": accuracies["first"]})
    _baseline.log_baseline(
        f"always ending{frequent}, right most often in the training data",
        {"accuracy": accuracies["frequent"]},
    )
    return accuracies
