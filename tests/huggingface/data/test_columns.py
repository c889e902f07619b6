"""Columns that a model does not take are removed."""

import inspect
import pathlib
import types

import datasets
import pytest
import tiny
import torch
import transformers
from determined import pytorch

from model_hub import huggingface as hf
from model_hub.errors import UserError

COLUMNS = ("input_ids", "attention_mask", "label", "label_ids", "text", "extra")


class TestRemoveUnusedColumns:
    @pytest.fixture
    def dataset(self) -> datasets.Dataset:
        return datasets.Dataset.from_dict({name: [[1], [2]] for name in COLUMNS})

    @pytest.fixture
    def model(self) -> torch.nn.Module:
        return transformers.BertModel(tiny.bert_config())

    KEPT = {"input_ids", "attention_mask", "label", "label_ids"}  # noqa: RUF012

    def test_in_place(self, model: torch.nn.Module, dataset: datasets.Dataset) -> None:
        dataset.set_format("torch")
        assert hf.remove_unused_columns(model, dataset) is None
        assert set(dataset[0]) == self.KEPT
        assert dataset.format["type"] == "torch"
        assert set(dataset.column_names) == set(COLUMNS)  # Nothing is lost.

    def test_keep(self, model: torch.nn.Module, dataset: datasets.Dataset) -> None:
        hf.remove_unused_columns(model, dataset, keep=("extra", "not_there"))
        assert set(dataset[0]) == self.KEPT | {"extra"}

    def test_through_wrappers(self, model: torch.nn.Module, dataset: datasets.Dataset) -> None:
        hf.remove_unused_columns(torch.compile(model), dataset)
        assert set(dataset[0]) == self.KEPT
        dataset.reset_format()
        wrapped = pytorch.PyTorchTrialContext.autocast_forward_pass(types.SimpleNamespace(), model)
        # What makes it special: its own signature says nothing.
        assert list(inspect.signature(wrapped.forward).parameters) == ["arg", "kwarg"]
        hf.remove_unused_columns(wrapped, dataset)
        assert set(dataset[0]) == self.KEPT

    def test_through_torchs_distributed_wrapper(
        self, model: torch.nn.Module, dataset: datasets.Dataset, tmp_path: pathlib.Path
    ) -> None:
        store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
        try:
            wrapped = torch.nn.parallel.DistributedDataParallel(model)
            hf.remove_unused_columns(wrapped, dataset)
        finally:
            torch.distributed.destroy_process_group()
        assert set(dataset[0]) == self.KEPT

    def test_nothing_left(self, model: torch.nn.Module) -> None:
        dataset = datasets.Dataset.from_dict({"text": ["a"]})
        with pytest.raises(UserError, match=r"\['text'\].*BertModel.*'input_ids'"):
            hf.remove_unused_columns(model, dataset)
