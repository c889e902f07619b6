"""Predictions of token classification: a label for each word, and the entities of the labels."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import torch

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import columns_of_lists
from model_hub.huggingface.tasks._common.padding import NO_LABEL, pad_rows
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    map_by_length,
    model_inputs,
)
from model_hub.huggingface.tasks._common.tokenization import sequence_length
from model_hub.huggingface.tasks.token_classification.entities import (
    LabelTables,
    _entities,
    _last_counted,
)
from model_hub.huggingface.tasks.token_classification.features import prepare_features

_LAYOUT = '{"tokens": ["In", "Paris"]}'
_ENTITY = pa.struct(
    [("type", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())]
)


class TokenClassificationPredictor(Predictor):
    """A label for each word, by its first token; entities as the metrics count them."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "tokens": pa.list_(pa.string()),
        "labels": pa.list_(pa.string()),
        "entities": pa.list_(_ENTITY),
    }

    def __init__(self, asked: InferenceSetup) -> None:
        super().__init__(asked)
        if not asked.tokenizer.is_fast:
            raise UserError(
                f"{type(asked.tokenizer).__name__} is a tokenizer in pure Python, which does not "
                "tell which word a token belongs to; token classification needs that."
            )
        names = asked.model.config.id2label
        self._names = [str(names[number]) for number in range(len(names))]
        self._tables = LabelTables(self._names)
        self._length = sequence_length(
            asked.data.get("max_seq_length"), asked.tokenizer, asked.model.config, default=512
        )
        self._column = ""
        self._unseen = 0

    def check(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Words are in the column of the training, in ``tokens``, or else in the first one."""
        names = rows.column_names
        wanted = self.asked.data.get("tokens_column") or "tokens"
        if wanted not in names and "tokens_column" not in self.asked.data:
            wanted = next(iter(columns_of_lists(rows)), names[0])
        self._column = wanted
        if self._column not in names:
            raise UserError(
                f"{source}: the columns are {', '.join(map(repr, names))}, but token "
                f"classification needs {self._column!r} with lists of words; a row looks like "
                f"{_LAYOUT}."
            )
        column = rows.with_format("arrow", columns=[self._column])[:].column(0)
        kind = column.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if not is_list or not (
            pa.types.is_string(kind.value_type)
            or pa.types.is_large_string(kind.value_type)
            or pa.types.is_null(kind.value_type)
        ):
            raise UserError(
                f"{source}: column {self._column!r} holds {kind}, but should hold lists of words; "
                f"a row looks like {_LAYOUT}. In csv files there are no lists: write json."
            )
        if column.null_count or pc.list_flatten(column).null_count:
            row = next(n for n, words in enumerate(column.to_pylist()) if not _whole(words))
            raise UserError(
                f"{source}: row {row + 1} has nothing (null) in column {self._column!r} where "
                "words should be."
            )
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """``tokens``; ``labels``, null for words that the model has not seen; ``entities``."""
        sentences = [list(words) for words in rows[self._column]]
        labels: list[list[int | None]] = [[None] * len(words) for words in sentences]
        places = [(row, word) for row, words in enumerate(sentences) for word in range(len(words))]
        features = self._features(sentences, len(places))
        lengths = [len(feature["input_ids"]) for feature in features]
        for found in map_by_length(features, lengths, self.asked.batch_size, self._labelled):
            for place, label in found:
                row, word = places[place]
                labels[row][word] = label
        self._unseen += sum(label is None for row in labels for label in row)
        entities = self._entities(sentences, labels)
        return [
            {
                "tokens": words,
                "labels": [None if n is None else self._names[n] for n in numbers],
                "entities": found,
            }
            for words, numbers, found in zip(sentences, labels, entities, strict=True)
        ]

    def finish(self) -> str | None:
        """How many words have no label."""
        if not self._unseen:
            return None
        return (
            f"{self._unseen} words have no label: they are in sentences longer than {self._length} "
            "tokens, or the tokenizer makes no token of them."
        )

    def _features(self, sentences: list[list[str]], count: int) -> list[dict[str, Any]]:
        """Features in which the label of a word's first token is the word's number over all rows.

        So the function that prepares the training data tells which token stands for which word;
        rows without words, which it leaves out, need no answer.
        """
        numbers = [str(number) for number in range(count)]
        remaining = iter(numbers)
        tags = [[next(remaining) for _ in words] for words in sentences]
        columns = prepare_features(
            {"tokens": sentences, "tags": tags},
            tokenizer=self.asked.tokenizer,
            tokens_column="tokens",
            tags_column="tags",
            labels=numbers,
            names=None,
            max_seq_length=self._length,
        )
        return features_of_rows(columns)

    @torch.no_grad()
    def _labelled(self, features: list[dict[str, Any]]) -> list[list[tuple[int, int]]]:
        """For each sequence pairs of a word's number and its label."""
        taken = model_inputs(self.asked.model, features)
        # Padded along with the rest, so that the word's number stands at its token.
        rows = [{**t, "labels": f["labels"]} for t, f in zip(taken, features, strict=True)]
        batch = pad_rows(rows, self.asked.tokenizer, padding_side=self._side)
        places = batch.pop("labels")
        best = self.asked.model(**self.asked.to_device(batch)).logits.argmax(-1).cpu()
        return [
            [(place, label) for place, label in zip(*pair, strict=True) if place != NO_LABEL]
            for pair in zip(places.tolist(), best.tolist(), strict=True)
        ]

    def _entities(
        self, sentences: Sequence[Sequence[str]], labels: Sequence[Sequence[int | None]]
    ) -> list[list[dict[str, Any]]]:
        longest = max(map(len, labels), default=0)
        if not longest:
            return [[] for _ in labels]
        padded = [
            [NO_LABEL if n is None else n for n in row] + [NO_LABEL] * (longest - len(row))
            for row in labels
        ]
        tags = torch.tensor(padded)
        counted = tags != NO_LABEL
        found = _entities(tags.where(counted, 0), counted, _last_counted(counted), self._tables)
        result: list[list[dict[str, Any]]] = [[] for _ in labels]
        for row, start in found.starts.nonzero().tolist():
            kind = int(found.kinds[row, start])
            # Up to the next label that does not go on with it, less words without a label there.
            end = int(found.ends[row, start])
            end = max(word for word in range(start, end) if found.kinds[row, word] == kind) + 1
            result[row].append(
                {
                    "type": self._tables.types[kind],
                    "start": start,
                    "end": end,
                    "text": " ".join(sentences[row][start:end]),
                }
            )
        return result


def _whole(words: Sequence[str | None] | None) -> bool:
    return words is not None and None not in words
