"""Instruction tuning, trained as users train it: it learns answers; packing, slots, batches."""

import json
import pathlib
import re
from typing import Any

import pytest
import torch
import transformers
from option_runs import Job, stopping_trial
from safetensors.torch import load_file
from talks import TEMPLATE, make_workspace, talks
from task_runs import train_here, validations_of, weights, write_rows
from workspaces import Workspace, changed, metrics_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def workspace(tmp_path: pathlib.Path) -> Workspace:
    return make_workspace(tmp_path)


def training_losses(run: pathlib.Path) -> list[float]:
    return [record["loss"] for record in metrics_of(run) if record["group"] == "training"]


@pytest.mark.parametrize("packing", [False, True])
def test_learns_the_answers(
    packing: bool, workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    config = changed(
        workspace.config,
        data__packing=packing,
        data__train_file=write_rows(workspace.root / "many.jsonl", talks(400, 3)),
        hyperparameters__optim="adamw_torch",
        hyperparameters__learning_rate=5e-3,
        hyperparameters__max_grad_norm=1.0,
        hyperparameters__max_steps=120,
        scheduling_unit=20,
        perform_initial_validation=True,
    )
    said = train_here(workspace.write_yaml(config), tmp_path / "run", capsys)
    (known,) = re.findall(r"baseline .*token_accuracy ([0-9.]+)", said)
    assert ("packed into" in said) is packing
    untrained, *_, trained = validations_of(tmp_path / "run")
    assert {"perplexity", "validation_loss", "token_accuracy"} < set(trained)
    # The most frequent token of all is the end of a turn.
    assert 0.1 < float(known) < 0.6 and untrained["token_accuracy"] < float(known)
    assert trained["token_accuracy"] > float(known) + 0.3
    assert trained["perplexity"] < 0.2 * untrained["perplexity"]
    exported = transformers.AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert exported.chat_template == TEMPLATE


def test_packed_training_is_the_same_training(
    workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    """All conversations in each step, packed and not: the same losses, the same weights."""
    found = {}
    for packing in (False, True):
        config = changed(
            workspace.config, data__packing=packing, hyperparameters__global_batch_size=64
        )
        run = tmp_path / str(packing)
        train_here(workspace.write_yaml(config), run, capsys)
        found[packing] = (
            training_losses(run),
            validations_of(run)[-1]["validation_loss"],
            load_file(run / "model" / "model.safetensors"),
        )
    assert found[True][0] == pytest.approx(found[False][0], rel=1e-5)
    assert found[True][1] == pytest.approx(found[False][1], rel=1e-5)
    for name, weight in found[False][2].items():
        assert torch.allclose(found[True][2][name], weight, atol=1e-5), name
    assert found[True][0][-1] < found[True][0][0] - 0.01  # They did move.


def test_accumulation_changes_nothing(
    workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    """Three updates of 8 conversations, with answers of 2 to 40 tokens; slots: test_two_slots."""
    train_here(workspace.write_yaml(workspace.config), tmp_path / "whole", capsys)
    whole = weights(tmp_path / "whole")
    before = load_file(workspace.root.parent / "model" / "model.safetensors")
    moved = {name: (weight - before[name]).abs().max() for name, weight in whole.items()}
    assert max(moved.values()) > 1e-2
    for name, average in (("accumulated", True), ("summed", False)):
        config = changed(
            workspace.config,
            hyperparameters__global_batch_size=2,
            hyperparameters__max_steps=12,
            optimizations__aggregation_frequency=4,
            optimizations__average_aggregated_gradients=average,
        )
        train_here(workspace.write_yaml(config), tmp_path / name, capsys)
        found = weights(tmp_path / name)
        for weight, value in whole.items():
            assert torch.allclose(found[weight], value, atol=1e-5), (name, weight)
        # Per step the mean over the tokens; per validation over those of all rows.
        ends = [validations_of(tmp_path / each)[-1] for each in ("whole", name)]
        assert ends[1]["validation_loss"] == pytest.approx(ends[0]["validation_loss"], rel=1e-5)
        assert ends[1]["token_accuracy"] == ends[0]["token_accuracy"]


@pytest.mark.usefixtures("probes_run_through")
def test_stopped_between_two_updates(
    workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    """A checkpoint in the middle of an update: the tokens so far are counted again, too."""
    config = changed(
        workspace.config,
        hyperparameters__global_batch_size=2,
        hyperparameters__max_steps=12,
        optimizations__aggregation_frequency=4,
    )
    train_here(workspace.write_yaml(config), tmp_path / "whole", capsys)
    stopping = changed(config, entrypoint=stopping_trial(workspace.root, "sft_trial:SFTTrial"))
    yaml = workspace.write_yaml(stopping, "stopping.yaml")
    Job(["train", str(yaml), "--output-dir", str(tmp_path / "stopped")], stop=5).run()
    Job(["train", "--resume", str(tmp_path / "stopped")]).run()
    one, other = (weights(tmp_path / name) for name in ("whole", "stopped"))
    for name, weight in one.items():
        assert torch.allclose(other[name], weight, atol=1e-6), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data__messages_column": "talk"}, "'talk' is missing"),
        ({"data__chat_template": "{% for"}, "data.chat_template is not a valid Jinja template"),
        ({"data__max_seq_length": 3}, "no conversation has a token of the assistant"),
    ],
)
def test_what_the_user_is_told(
    changes: dict[str, Any],
    said: str,
    workspace: Workspace,
    capsys: Capture,
    tmp_path: pathlib.Path,
) -> None:
    yaml = workspace.write_yaml(changed(workspace.config, **changes))
    assert said in train_here(yaml, tmp_path / "run", capsys, code=2)


def test_row_is_named(workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path) -> None:
    rows = talks(3, 0)
    rows[1]["messages"][0]["content"] = None
    path = workspace.root / "bad.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    yaml = workspace.write_yaml(changed(workspace.config, data__train_file=str(path)))
    output = train_here(yaml, tmp_path / "run", capsys, code=2)
    assert "bad.jsonl" in output and "row 2" in output and "content should be text" in output
