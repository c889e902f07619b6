"""Switches for precision, memory, adapters and stopping: each does something, and none of them
changes the end of a run that is stopped in the middle and continued."""

import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from workspaces import Workspace, changed, metrics_of

from model_hub import cli

# Stops itself with a signal, in the middle of an epoch (and of gradients that are summed up).
PROBE = """
import os, signal
from qa_trial import QATrial

class ProbeTrial(QATrial):
    last = None

    def __init__(self, context):
        super().__init__(context)
        type(self).last = self

    def train_batch(self, batch, epoch_idx, batch_idx):
        if batch_idx == int(os.environ.get("STOP_AT_BATCH", -1)):
            os.kill(os.getpid(), signal.SIGTERM)
        type(self).batch = batch
        return super().train_batch(batch, epoch_idx, batch_idx)

    def evaluate_batch(self, batch, batch_idx):
        type(self).outputs = self.model(**{k: v for k, v in batch.items() if k == "input_ids"})
        return super().evaluate_batch(batch, batch_idx)
"""
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["query", "value"]}
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has float16")

Train = Callable[..., pathlib.Path]


@pytest.fixture
def train(workspace: Workspace, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains 9 batches in this process; the run's folder. ``stop`` is where it is interrupted."""
    monkeypatch.chdir(tmp_path)
    (workspace.root / "probe_trial.py").write_text(PROBE)

    def run(name: str, *, stop: int | None = None, **changes: Any) -> pathlib.Path:
        changes = {
            "entrypoint": workspace.config["entrypoint"].replace(
                "qa_trial:QATrial", "probe_trial:ProbeTrial"
            ),
            "hyperparameters__num_train_epochs": ...,
            "hyperparameters__max_steps": 9,
            "min_validation_period": {"batches": 4},
            "scheduling_unit": 1,
            **changes,
        }
        yaml = workspace.write_yaml(changed(workspace.config, **changes), f"{name}.yaml")
        folder = tmp_path / name
        # Else the module of the test before, from another folder, is still there.
        sys.modules.pop("probe_trial", None)
        if stop is None:
            assert cli.main(["train", str(yaml), "--output-dir", str(folder)]) == 0
            return folder
        monkeypatch.setenv("STOP_AT_BATCH", str(stop))
        assert cli.main(["train", str(yaml), "--output-dir", str(folder)]) == 128 + 15
        monkeypatch.delenv("STOP_AT_BATCH")
        assert not (folder / "model").exists()
        assert cli.main(["train", "--resume", str(folder)]) == 0
        return folder

    return run


def trial() -> Any:
    return sys.modules["probe_trial"].ProbeTrial.last


def weights(run: pathlib.Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def validations(run: pathlib.Path) -> list[dict[str, Any]]:
    return [record for record in metrics_of(run) if record["group"] == "validation"]


def same(one: pathlib.Path, other: pathlib.Path, tolerance: float = 0.0) -> bool:
    a, b = weights(one), weights(other)
    close = all(torch.allclose(a[n], b[n], rtol=0, atol=tolerance) for n in a)
    return a.keys() == b.keys() and close


def differ(one: pathlib.Path, other: pathlib.Path) -> bool:
    return not same(one, other)


@pytest.mark.slow
def test_compiled_and_stopped_in_the_middle_it_ends_the_same(train: Train) -> None:
    """With the tracing that test_option_matrix.py, which has all other switches, leaves out."""
    switches = {"torch_compile": True, "torch_compile_backend": "aot_eager", "bf16": True}
    changes = {f"hyperparameters__{key}": value for key, value in switches.items()}
    whole = train("whole", **changes)
    stopped = train("stopped", stop=4, **changes)
    # What is compiled may be compiled otherwise after a start in the middle.
    assert same(whole, stopped, tolerance=1e-5)
    assert [v["steps_completed"] for v in validations(stopped)] == [4, 8, 9]


def test_bf16_computes_in_bfloat16_and_gives_float32(train: Train) -> None:
    plain, half = train("plain"), train("half", hyperparameters__bf16=True)
    probe = sys.modules["probe_trial"].ProbeTrial
    assert probe.outputs.start_logits.dtype == torch.float32
    # Rounded to 8 bits on the way.
    assert torch.equal(probe.outputs.start_logits.bfloat16().float(), probe.outputs.start_logits)
    assert all(p.dtype == torch.float32 for p in trial().model.parameters())
    assert differ(plain, half) and same(plain, half, tolerance=0.05)


def test_gradient_checkpointing_computes_the_same_twice(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    checkpoint = torch.utils.checkpoint.checkpoint

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs.get("use_reentrant"))
        return checkpoint(*args, **kwargs)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", counted)
    plain = train("plain")
    assert not calls
    again = train("again", hyperparameters__gradient_checkpointing=True)
    assert calls and set(calls) == {False}
    assert same(plain, again, tolerance=1e-6)


def test_accumulation_is_determineds_under_another_name(train: Train) -> None:
    ours = train("ours", hyperparameters__gradient_accumulation_steps=3)
    theirs = train("theirs", optimizations={"aggregation_frequency": 3})
    assert same(ours, theirs) and differ(ours, train("plain"))


def test_only_the_adapter_is_trained_and_saved(train: Train, workspace: Workspace) -> None:
    base = workspace.root / "base"
    shutil.copytree(workspace.config["hyperparameters"]["pretrained_model_name_or_path"], base)
    config = transformers.AutoConfig.from_pretrained(base)
    transformers.AutoModelForQuestionAnswering.from_config(config).save_pretrained(base)
    pretrained = {
        "hyperparameters__use_pretrained_weights": True,
        "hyperparameters__pretrained_model_name_or_path": str(base),
    }
    plain = train(
        "plain",
        **pretrained,
        hyperparameters__max_steps=1,
        hyperparameters__learning_rate=0.0,
    )
    run = train("lora", **pretrained, hyperparameters__peft=LORA)
    model = trial().model
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name or "qa_outputs" in name for name in trained)
    (checkpoint, *_) = sorted((run / "checkpoints").glob("*/state_dict.pth"))
    state = torch.load(checkpoint)["models_state_dict"][0]
    assert any("qa_outputs" in name for name in trained)
    assert trained <= set(state) and not any("word_embeddings" in name for name in state)
    # The exported model is an ordinary one: the adapter is in its weights.
    exported, before = weights(run), weights(plain)
    assert exported.keys() == before.keys()
    changed_names = {n for n in before if not torch.equal(before[n], exported[n])}
    assert any("query.weight" in n for n in changed_names)
    # No pretrained weights are there for it: left as it is, it would answer at random.
    assert "qa_outputs.weight" in changed_names
    assert all("query" in n or "value" in n or "qa_outputs" in n for n in changed_names)


def test_frozen_weights_stay(train: Train) -> None:
    before = weights(
        train("before", hyperparameters__max_steps=1, hyperparameters__learning_rate=0.0)
    )
    after = weights(train("after", hyperparameters__freeze="*embeddings*"))
    same_names = {name for name, value in after.items() if torch.equal(value, before[name])}
    frozen = {name for name in after if "embeddings" in name}
    assert frozen and frozen <= same_names
    assert not any(name.endswith("dense.weight") for name in same_names - frozen)


def test_group_by_length_saves_padding(train: Train) -> None:
    padded = {}
    for name, grouped in (("plain", False), ("grouped", True)):
        train(name, hyperparameters__group_by_length=grouped)
        loader = (
            trial()
            .build_training_data_loader()
            .get_data_loader(repeat=False, skip=0, num_replicas=1, rank=0)
        )
        masks = [batch["attention_mask"] for batch in loader]
        assert sum(len(mask) for mask in masks) == len(trial().train_dataset)
        padded[name] = sum(int((mask == 0).sum()) for mask in masks)
    assert padded["grouped"] < 0.7 * padded["plain"]


def test_label_smoothing_needs_labels(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        train("smooth", hyperparameters__label_smoothing_factor=0.1)
    assert "label_smoothing_factor" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_compiled_with_the_names_of_the_weights(backend: str, train: Train) -> None:
    plain = train("plain")
    run = train(
        "compiled",
        hyperparameters__torch_compile=True,
        hyperparameters__torch_compile_backend=backend,
    )
    assert trial().model._compiled_call_impl is not None
    assert same(plain, run, tolerance=1e-4)


def test_early_stopping(train: Train) -> None:
    run = train(
        "early",
        hyperparameters__early_stopping_patience=2,
        hyperparameters__learning_rate=0.0,
        hyperparameters__max_steps=40,
    )
    # The first is the best there is; two more are no better.
    assert [v["steps_completed"] for v in validations(run)] == [4, 8, 12]
    assert (run / "model" / "config.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"fp16": True}, "fp16 is true, but the device is 'cpu'", marks=WITHOUT_GPU),
        ({"fp16": True, "bf16": True}, "both true"),
        ({"freeze": "nothing.*"}, "no weight of the model matches 'nothing.*'"),
        ({"freeze": "*"}, "all weights are frozen"),
        ({"peft": {"peft_type": "LORRA"}}, "peft.peft_type is 'LORRA'"),
        ({"peft": {"rank": 3}}, "hyperparameters.peft.rank is not known to LORA"),
        ({"gradient_accumulation_steps": 0}, "should be at least 1"),
        ({"label_smoothing_factor": 1.5}, "label_smoothing_factor is 1.5"),
        ({"early_stopping_patience": 0}, "should be at least 1"),
    ],
)
def test_what_cannot_be_is_said(
    changes: dict[str, Any],
    message: str,
    workspace: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {f"hyperparameters__{key}": value for key, value in changes.items()}
    yaml = workspace.write_yaml(changed(workspace.config, **settings))
    assert cli.main(["train", str(yaml), "--output-dir", str(tmp_path / "run")]) == 2
    errors = capsys.readouterr().err
    assert message in errors and "hyperparameters." in errors and "Traceback" not in errors
