"""Predictions of token classification: a label for each word, and the entities."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import torch

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import columns_of_lists
from model_hub.huggingface.data.json_types import is_list, is_string, type_name
from model_hub.huggingface.data.origin import describe_row
from model_hub.huggingface.tasks._common.padding import NO_LABEL, pad_rows
from model_hub.huggingface.tasks._common.predictor import (
    InferenceSetup,
    Predictor,
    Rows,
    features_of_rows,
    model_inputs,
)
from model_hub.huggingface.tasks._common.tokenization import check_fast_tokenizer, sequence_length
from model_hub.huggingface.tasks.token_classification.entities import LabelTables, find_entities
from model_hub.huggingface.tasks.token_classification.features import prepare_features

_LAYOUT = '{"tokens": ["In", "Paris"]}'
_ENTITY = pa.struct(
    [("type", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())]
)


class TokenClassificationPredictor(Predictor):
    """Predicts a label for each word, by its first token, and the entities of these labels."""

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "tokens": pa.list_(pa.string()),
        "labels": pa.list_(pa.string()),
        "entities": pa.list_(_ENTITY),
    }

    def __init__(self, setup: InferenceSetup) -> None:
        super().__init__(setup)
        check_fast_tokenizer(setup.tokenizer, "the word that each token belongs to")
        names = setup.model.config.id2label
        self._names = [str(names[number]) for number in range(len(names))]
        self._tables = LabelTables(self._names, setup.data.get("tag_scheme"))
        self._length = sequence_length(
            setup.data.get("max_seq_length"), setup.tokenizer, setup.model.config, default=512
        )
        self._column = ""
        self._unlabelled = 0

    def check_columns(self, rows: datasets.Dataset, source: str) -> datasets.Dataset:
        """Find the words in the column of the training, ``tokens``, or else the first column."""
        names = rows.column_names
        wanted = self.setup.data.get("tokens_column") or "tokens"
        if wanted not in names and "tokens_column" not in self.setup.data:
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
        words = kind.value_type if is_list(kind) else None
        if words is None or not (is_string(words) or pa.types.is_null(words)):
            raise UserError(
                f"{source}: column {self._column!r} holds {type_name(kind)}, but should hold lists "
                f"of words; a row looks like {_LAYOUT}. In csv files there are no lists: write "
                "json."
            )
        if column.null_count or pc.list_flatten(column).null_count:
            row = next(n for n, w in enumerate(column.to_pylist()) if w is None or None in w)
            raise UserError(
                f"{source}: {describe_row(rows, row)} has null in column {self._column!r} where "
                "words should be."
            )
        return rows

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Return ``tokens``; ``labels``, null for words without a token; and ``entities``."""
        sentences = [list(words) for words in rows[self._column]]
        labels: list[list[int | None]] = [[None] * len(words) for words in sentences]
        places = [(row, word) for row, words in enumerate(sentences) for word in range(len(words))]
        features = self._features(sentences, len(places))
        for predicted in self._map_features(features, self._predict_words):
            for number, label in predicted:
                row, word = places[number]
                labels[row][word] = label
        self._unlabelled += sum(label is None for row in labels for label in row)
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
        """Return how many words have no label."""
        if not self._unlabelled:
            return None
        return (
            f"{self._unlabelled} words have no label: they are in sentences longer than "
            f"{self._length} tokens, or the tokenizer makes no token of them."
        )

    def _features(self, sentences: list[list[str]], count: int) -> list[dict[str, Any]]:
        """Return features in which the label of a word's first token is the word's number.

        So the function that prepares the training data gives the token of each word. It leaves out
        rows without words, which need no prediction.
        """
        numbers = [str(number) for number in range(count)]
        remaining = iter(numbers)
        tags = [[next(remaining) for _ in words] for words in sentences]
        columns = prepare_features(
            {"tokens": sentences, "tags": tags},
            tokenizer=self.setup.tokenizer,
            tokens_column="tokens",
            tags_column="tags",
            labels=numbers,
            names=None,
            max_seq_length=self._length,
        )
        return features_of_rows(columns)

    @torch.no_grad()
    def _predict_words(self, features: list[dict[str, Any]]) -> list[list[tuple[int, int]]]:
        """Return for each sequence pairs of a word's number and its label."""
        inputs = model_inputs(self.setup.model, features)
        # The words' numbers are padded too, so that they stay at their tokens.
        rows = [{**i, "labels": f["labels"]} for i, f in zip(inputs, features, strict=True)]
        batch = pad_rows(rows, self.setup.tokenizer, padding_side=self._side)
        words = batch.pop("labels")
        best = self.setup.model(**self.setup.to_device(batch)).logits.argmax(-1).cpu()
        return [
            [(word, label) for word, label in zip(*pair, strict=True) if word != NO_LABEL]
            for pair in zip(words.tolist(), best.tolist(), strict=True)
        ]

    def _entities(
        self, sentences: Sequence[Sequence[str]], labels: Sequence[Sequence[int | None]]
    ) -> list[list[dict[str, Any]]]:
        result: list[list[dict[str, Any]]] = [[] for _ in labels]
        if not any(map(len, labels)):
            return result
        rows = [[NO_LABEL if n is None else n for n in row] for row in labels]
        tags = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row, dtype=torch.int64) for row in rows],
            batch_first=True,
            padding_value=NO_LABEL,
        )
        counted = tags != NO_LABEL
        found = find_entities(tags.where(counted, 0), counted, self._tables)
        for row, start in found.starts.nonzero().tolist():
            kind = int(found.kinds[row, start])
            # Up to the next label that does not continue it, without trailing unlabelled words.
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
