"""In the old library's style: the data sets `num_labels` before `super().__init__`, `attrdict`,
`functools.partial` in `map`, a reducer that is a lambda, the old place of `wrap_reducer`, a
collator that returns a `BatchEncoding`, logits through `expand_like` into JSON, `load_metric`."""

import functools
import json
import logging
from typing import Dict, Union  # noqa: UP035 - as old files have it

import attrdict
import datasets
import determined.pytorch as det_torch
import numpy as np
import transformers

import model_hub.huggingface as hf
from model_hub.utils import expand_like, numpify


def label_capitals(tokenizer, label_all_tokens, examples):
    tokens = [text.split() for text in examples["context"]]
    encoded = tokenizer(tokens, is_split_into_words=True, truncation=True)
    encoded["labels"] = [
        [
            -100 if word is None else int(words[word][0].isupper())
            for word in encoded.word_ids(number)
        ]
        for number, words in enumerate(tokens)
    ]
    return encoded


def accuracy(pairs):
    labels, logits = zip(*pairs)  # noqa: B905
    labels, logits = expand_like(labels), expand_like(logits)
    json.dumps(list(logits[0, 0]))
    predictions = np.argmax(logits, axis=2)
    counted = labels != -100
    names = [
        [["O", "B-CAPITAL"][n] for n, keep in zip(row, kept, strict=True) if keep]
        for rows in (predictions, labels)
        for row, kept in zip(rows, counted, strict=True)
    ]
    entities = datasets.load_metric("seqeval").compute(
        predictions=names[: len(labels)], references=names[len(labels) :]
    )
    return {
        "f1": entities["overall_f1"],
        "accuracy": float((labels == predictions)[counted].mean()),
        "majority": float(np.bincount(labels[counted]).max() / counted.sum()),
    }


class NERTrial(hf.BaseTransformerTrial):
    def __init__(self, context: det_torch.PyTorchTrialContext) -> None:
        self.logger = logging.getLogger(__name__)
        self.hparams = attrdict.AttrDict(context.get_hparams())
        self.data_config = attrdict.AttrDict(context.get_data_config())
        self.exp_config = attrdict.AttrDict(context.get_experiment_config())
        self.raw_datasets = hf.default_load_dataset(self.data_config)
        self.hparams.update({"num_labels": 2})
        super(NERTrial, self).__init__(context)  # noqa: UP008 - as old files have it
        self.logger.info(json.dumps(self.hparams))
        assert self.config.num_labels == 2
        assert isinstance(self.hparams, attrdict.AttrDict)
        self.tokenized_datasets = self.build_datasets()
        self.collator = transformers.DataCollatorForTokenClassification(self.tokenizer)
        self.reducer = context.experimental.wrap_reducer(
            lambda pairs: accuracy(pairs), for_training=False
        )

    def build_datasets(self) -> Union[datasets.Dataset, datasets.DatasetDict]:  # noqa: UP007
        names = self.raw_datasets["train"].column_names
        tokenized = self.raw_datasets.map(
            functools.partial(label_capitals, self.tokenizer, self.data_config.label_all_tokens),
            batched=True,
            num_proc=self.data_config.preprocessing_num_workers,
            remove_columns=names,
            load_from_cache_file=not self.data_config.overwrite_cache,
        )
        for split in tokenized.values():
            hf.remove_unused_columns(self.model, split)
        return tokenized

    def build_training_data_loader(self) -> det_torch.DataLoader:
        return det_torch.DataLoader(
            self.tokenized_datasets["train"],
            batch_size=self.context.get_per_slot_batch_size(),
            collate_fn=self.collator,
        )

    def build_validation_data_loader(self) -> det_torch.DataLoader:
        return det_torch.DataLoader(
            self.tokenized_datasets["validation"],
            batch_size=self.context.get_per_slot_batch_size(),
            collate_fn=self.collator,
        )

    def evaluate_batch(self, batch: det_torch.TorchData, batch_idx: int) -> Dict:  # noqa: UP006
        outputs = self.model(**batch)
        _, logits = outputs[:2]
        self.reducer.update((numpify(batch["labels"]), numpify(logits)))
        return {}
