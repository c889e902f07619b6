"""The controller in the place of Determined's, and the hooks of the base trial that it calls."""

import copy
import pathlib
import types
from typing import Any

import pytest
import tiny
import torch
import transformers
from determined import pytorch

import model_hub.huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.training.callbacks import EarlyStoppingCallback
from model_hub.huggingface.training.resume.seeded_loader import SeededLoader


@pytest.fixture
def hparams(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    folder = tiny.save(tmp_path / "bert", "bert", transformers.AutoModelForSequenceClassification)
    return {
        "model_mode": "sequence-classification",
        "pretrained_model_name_or_path": str(folder),
        "use_pretrained_weights": True,
        "global_batch_size": 4,
        "max_steps": 4,
    }


def collate(rows: list[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[row % 5, row % 3] for row in rows])
    return {"input_ids": ids, "labels": torch.tensor(rows) % 2}


class Plain(pytorch.PyTorchTrial):
    """A trial that has nothing to do with model_hub."""

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        self.context = context
        self.model = context.wrap_model(torch.nn.Linear(1, 1))
        self.optimizer = context.wrap_optimizer(torch.optim.SGD(self.model.parameters(), 0.1))

    def build_training_data_loader(self) -> pytorch.DataLoader:
        return pytorch.DataLoader(torch.ones(8, 1), batch_size=4)

    build_validation_data_loader = build_training_data_loader

    def train_batch(self, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        loss = self.model(batch).mean()
        self.context.backward(loss)
        self.context.step_optimizer(self.optimizer)
        return loss

    def evaluate_batch(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return {"loss": self.model(batch).mean()}


class Ours(hf.BaseTransformerTrial):
    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        super().__init__(context)
        self.train_dataset: Any = range(8)
        self.validation_dataset: Any = range(4)
        self.collator = collate

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        return {"own": pytorch.PyTorchCallback()}

    def evaluate_batch(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return {"loss": self.model(**batch).loss}


def fit(trial_class: Any, hparams: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a training as Determined does; return the trial and its controller."""
    controllers: list[Any] = []
    run = pytorch._PyTorchTrialController.run
    with (
        monkeypatch.context() as patched,
        pytorch.init(hparams=hparams, exp_conf={"hyperparameters": hparams}) as context,
    ):
        patched.setattr(
            pytorch._PyTorchTrialController,
            "run",
            lambda self: (controllers.append(self), run(self)),
        )
        trial = trial_class(context)
        pytorch.Trainer(trial, context).fit(max_length=pytorch.Batch(2), checkpoint_policy="none")
    return trial, controllers[0]


def test_other_trials_are_left_alone(
    hparams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, controller = fit(Plain, hparams, monkeypatch)
    assert controller.trial is trial and controller.callbacks == {}
    assert "wrap_model" not in vars(trial.context)


def test_ours_is_seeded_and_keeps_its_class(
    hparams: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    trial, controller = fit(Ours, hparams, monkeypatch)
    assert isinstance(controller.trial.build_training_data_loader(), SeededLoader)
    # Also where build_callbacks does not call its base class; the first sees the batches first.
    assert list(controller.callbacks) == ["model_hub", "loss_watch", "own"]
    assert copy.copy(controller.trial).train_dataset == range(8)
    checkpoint = tmp_path_factory.mktemp("checkpoint")
    controller._save(checkpoint)
    text = (checkpoint / "load_data.json").read_text()
    assert f"{Ours.__module__}:Ours" in text
    assert trial.context.experimental.wrap_reducer(lambda values: {}, for_training=False)


class SkipsAll(Plain, hf.BaseTransformerTrial):
    """An old trial that calls neither ``__init__`` nor ``check_hparams`` of the base class."""

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        return {"own": pytorch.PyTorchCallback()}


def test_a_trial_that_skips_the_base_class_trains(
    hparams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, controller = fit(SkipsAll, hparams, monkeypatch)
    assert list(controller.callbacks) == ["model_hub", "loss_watch", "own"]


def test_a_run_that_stopped_early_does_not_train_again(
    hparams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []

    class Stopped(Ours):
        def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
            stopping = EarlyStoppingCallback(
                self.context, "loss", smaller_is_better=True, patience=2
            )
            stopping.load_state_dict({"best": -1.0, "worse_in_a_row": 2})
            return {"early_stopping": stopping}

        def train_batch(self, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
            trained.append(batch_idx)
            return super().train_batch(batch, epoch_idx, batch_idx)

    fit(Stopped, hparams, monkeypatch)
    assert trained == []


class TestHooks:
    def test_the_model_that_a_subclass_builds_is_wrapped(self, hparams: dict[str, Any]) -> None:
        class Frozen(Ours):
            def build_model(self) -> torch.nn.Module:  # type: ignore[override]
                model = super().build_model(transformers.BertForSequenceClassification)
                model.requires_grad_(False)
                model.classifier.requires_grad_(True)
                return model

        with pytorch.init(hparams=hparams, exp_conf={}) as context:
            trial = Frozen(context)
        assert context.models == [trial.model]
        assert isinstance(trial.model, transformers.BertForSequenceClassification)
        (trained,) = {
            name.partition(".")[0] for name, p in trial.model.named_parameters() if p.requires_grad
        }
        assert trained == "classifier"
        assert trial.task_metadata() == {}
        # As a trial has them that was copied from an example before the method was there.
        trial.task = types.SimpleNamespace(text_columns=("a", "b"))  # type: ignore[attr-defined]
        assert trial.task_metadata() == {"text_columns": ["a", "b"]}

    def test_section_data_is_parsed_once_and_when_it_is_read(self, hparams: dict[str, Any]) -> None:
        for value in (20, "many"):
            config = {"data": {"validation_split_percentage": value}}
            with pytorch.init(hparams=hparams, exp_conf=config) as context:
                trial = Ours(context)
            if value == "many":
                with pytest.raises(UserError, match=r"data\.validation_split_percentage is 'many'"):
                    _ = trial.data_kwargs
            else:
                assert trial.data_kwargs is trial.data_kwargs
                assert trial.data_kwargs.validation_split_percentage == value

    def test_what_a_subclass_forgets_is_named(self, hparams: dict[str, Any]) -> None:
        class Forgetful(hf.BaseTransformerTrial):
            pass

        with pytorch.init(hparams=hparams, exp_conf={}) as context:
            trial = Forgetful(context)
        for build in (trial.build_training_data_loader, trial.build_validation_data_loader):
            with pytest.raises(UserError, match=r"Forgetful has no self\.\w+ and no self.collator"):
                build()
