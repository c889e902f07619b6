"""Training metrics that stay on a GPU until they are reported; the CPU stands in for a GPU."""

import json
import math
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from determined import pytorch, util
from determined.pytorch import _metric_utils

from model_hub import huggingface as hf
from model_hub.huggingface.training import device


@pytest.fixture
def all_metrics_are_lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        device,
        "stays_on_device",
        lambda value: isinstance(value, torch.Tensor) and value.numel() == 1,
    )


def test_metrics_on_a_cpu_are_not_lazy() -> None:
    loss = torch.tensor(1.5)
    assert device.keep_on_device(loss) is loss
    assert device.keep_on_device({"loss": loss, "rows": 3}) == {"loss": loss, "rows": 3}


@pytest.mark.usefixtures("all_metrics_are_lazy")
def test_determined_reports_the_same_numbers() -> None:
    losses = torch.tensor([0.5, 2.0, -1.25], requires_grad=True) * 1
    lazy = [device.keep_on_device({"loss": loss, "rows": 4}) for loss in losses]
    assert all(isinstance(batch["loss"], device.LazyMetric) for batch in lazy)
    plain = [{"loss": loss.detach().numpy(), "rows": 4} for loss in losses]
    found, expected = util.make_metrics(None, lazy), util.make_metrics(None, plain)
    assert found["avg_metrics"] == expected["avg_metrics"]
    assert json.loads(util.json_encode(found)) == json.loads(util.json_encode(expected))
    # The chief has its own metrics as they are, and those of other slots unpickled.
    unpickled = pickle.loads(pickle.dumps([batch["loss"] for batch in lazy]))
    assert all(type(value) is np.ndarray and value.shape == () for value in unpickled)
    mixed = {"loss": [[batch["loss"] for batch in lazy], unpickled]}
    averaged = _metric_utils._average_training_metrics(mixed, [3, 3])
    assert [batch["loss"] for batch in averaged] == losses.tolist()
    device.to_numpy(lazy)
    assert [batch["loss"] for batch in lazy] == [batch["loss"] for batch in plain]
    assert all(type(batch["loss"]) is np.ndarray for batch in lazy)


@pytest.mark.usefixtures("all_metrics_are_lazy")
def test_other_values_do_not_change() -> None:
    metrics = {"several": torch.ones(2), "text": "a", "none": None}
    assert device.keep_on_device(metrics) == metrics
    assert device.keep_on_device("loss") == "loss"
    assert util.json_encode(device.LazyMetric(torch.tensor(math.nan))) == '"NaN"'


class _Reports(pytorch.PyTorchCallback):
    """A callback that keeps the metrics it gets."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.averages: list[dict[str, Any]] = []

    def on_training_workload_end(
        self, avg_metrics: dict[str, Any], batch_metrics: list[dict[str, Any]]
    ) -> None:
        self.averages.append(avg_metrics)
        self.batches += batch_metrics


def train(folder: str, monkeypatch: pytest.MonkeyPatch) -> tuple[_Reports, list[bool]]:
    reports, lazy = _Reports(), []
    train_batch = pytorch._PyTorchTrialController._train_batch

    def noting(self: Any, **arguments: Any) -> Any:
        metrics = train_batch(self, **arguments)
        lazy.append(isinstance(metrics["loss"], device.LazyMetric))
        return metrics

    def collate(rows: list[int]) -> dict[str, torch.Tensor]:
        ids = torch.tensor([[row % 5, row % 3] for row in rows])
        return {"input_ids": ids, "labels": torch.tensor(rows) % 2}

    class Trial(hf.BaseTransformerTrial):
        def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
            return {"reports": reports, **super().build_callbacks()}

        def build_training_data_loader(self) -> pytorch.DataLoader:
            return pytorch.DataLoader(range(24), batch_size=4, collate_fn=collate)

        def build_validation_data_loader(self) -> pytorch.DataLoader:
            return pytorch.DataLoader(range(4), batch_size=4, collate_fn=collate)

        def evaluate_batch(self, batch: Any, batch_idx: int) -> dict[str, Any]:
            return {"loss": self.model(**batch).loss}

    hparams = {
        "model_mode": "sequence-classification",
        "pretrained_model_name_or_path": folder,
        "use_pretrained_weights": True,
        "global_batch_size": 4,
        "max_steps": 6,
    }
    config = {"hyperparameters": hparams, "reproducibility": {"experiment_seed": 3}}
    with (
        monkeypatch.context() as patched,
        pytorch.init(hparams=hparams, exp_conf=config) as context,
    ):
        patched.setattr(pytorch._PyTorchTrialController, "_train_batch", noting)
        pytorch.Trainer(Trial(context), context).fit(
            max_length=pytorch.Batch(6),
            reporting_period=pytorch.Batch(3),
            checkpoint_policy="none",
        )
    return reports, lazy


def test_a_training_reports_the_same(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bert = str(
        tiny.save(tmp_path / "bert", "bert", transformers.AutoModelForSequenceClassification)
    )
    if torch.cuda.is_available():
        monkeypatch.setattr(device, "stays_on_device", lambda value: False)
    plain, lazy = train(tiny_bert, monkeypatch)
    assert not any(lazy)
    request.getfixturevalue("all_metrics_are_lazy")
    found, lazy = train(tiny_bert, monkeypatch)
    assert all(lazy) and len(lazy) == 6
    assert [r["loss"] for r in found.averages] == [r["loss"] for r in plain.averages]
    assert all(type(batch["loss"]) is np.ndarray for batch in found.batches)
    assert [float(b["loss"]) for b in found.batches] == [float(b["loss"]) for b in plain.batches]
