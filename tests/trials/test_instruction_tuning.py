"""Instruction tuning, trained as users train it: it learns answers; packing, slots, batches."""

import json
import pathlib
import random
import re
import subprocess
from typing import Any

import pytest
import text_models
import torch
import transformers
from safetensors.torch import load_file
from task_runs import train_here, validations_of, write_rows
from workspaces import ROOT, Config, Workspace, changed, command_line, environment, metrics_of

EXAMPLE = ROOT / "examples" / "huggingface" / "instruction-tuning"
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red"}
Capture = pytest.CaptureFixture[str]


def talks(count: int, seed: int) -> list[dict[str, Any]]:
    """Questions in many wordings, answers of very different lengths, one to four in a talk."""
    choose = random.Random(seed)
    rows = []
    for _ in range(count):
        messages = []
        for _ in range(choose.randint(1, 4)):
            thing = choose.choice(list(COLOURS))
            politely = choose.choice(["", "Please tell me: ", "I wonder, "])
            times = choose.choice([1, 1, 1, 6])
            messages += [
                {"role": "user", "content": f"{politely}what colour is {thing}? Say it {times}x"},
                {"role": "assistant", "content": " ".join([COLOURS[thing]] * times)},
            ]
        rows.append({"messages": messages})
    return rows


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerFast:
    texts = [m["content"] for row in talks(60, 0) for m in row["messages"]]
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    made = text_models.byte_level_tokenizer(texts, 330, special)
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def workspace(tokenizer: transformers.PreTrainedTokenizerFast, tmp_path: pathlib.Path) -> Workspace:
    root = tmp_path / "context"
    root.mkdir()
    (root / "sft_trial.py").write_bytes((EXAMPLE / "sft_trial.py").read_bytes())
    model = text_models.save_gpt2(
        tmp_path / "model", tokenizer, width=48, layers=2, positions=192, initializer_range=0.1
    )
    config = transformers.AutoConfig.from_pretrained(model)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(model)
    settings: Config = {
        "name": "sft",
        "entrypoint": "sft_trial:SFTTrial",
        "hyperparameters": {
            "model_mode": "causal-lm",
            "pretrained_model_name_or_path": str(model),
            "use_pretrained_weights": True,
            "global_batch_size": 8,
            "max_steps": 3,
            "learning_rate": 0.05,
            "optim": "sgd",
            "lr_scheduler_type": "constant",
            # Clipped gradients would have the same size, however they were weighted.
            "max_grad_norm": 0,
        },
        "data": {
            "train_file": write_rows(root / "train.jsonl", talks(64, 1)),
            "validation_file": write_rows(root / "validation.jsonl", talks(24, 2)),
            "max_seq_length": 160,
        },
        "searcher": {"name": "single", "metric": "perplexity", "smaller_is_better": True},
        "scheduling_unit": 1,
    }
    return Workspace(root, settings)


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


def run_on(
    slots: int, config: Config, workspace: Workspace, folder: pathlib.Path
) -> dict[str, torch.Tensor]:
    yaml = workspace.write_yaml(config, f"{folder.name}.yaml")
    words = ["-m", "model_hub", "train", str(yaml), "--output-dir", str(folder)]
    launcher = ["torchrun", "--standalone", f"--nproc_per_node={slots}"]
    finished = subprocess.run(
        command_line([*launcher, *words]),
        cwd=workspace.root,
        env=environment(folder.with_name("home")),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert finished.returncode == 0, finished.stderr
    return load_file(folder / "model" / "model.safetensors")


def test_slots_and_accumulation_change_nothing(
    workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    """Three updates of 8 conversations, whose answers have 2 to 40 tokens, shared out in 4 ways."""
    train_here(workspace.write_yaml(workspace.config), tmp_path / "whole", capsys)
    whole = load_file(tmp_path / "whole" / "model" / "model.safetensors")
    before = load_file(workspace.root.parent / "model" / "model.safetensors")
    moved = {name: (weight - before[name]).abs().max() for name, weight in whole.items()}
    assert max(moved.values()) > 1e-2
    for name, slots, batches, average in (
        ("accumulated", 1, 4, True),
        ("summed", 1, 4, False),
        ("slots", 2, 1, True),
        ("both", 2, 2, True),
    ):
        config = changed(
            workspace.config,
            hyperparameters__global_batch_size=8 // batches,
            hyperparameters__max_steps=3 * batches,
            optimizations__aggregation_frequency=batches,
            optimizations__average_aggregated_gradients=average,
        )
        if slots == 1:
            train_here(workspace.write_yaml(config), tmp_path / name, capsys)
            found = load_file(tmp_path / name / "model" / "model.safetensors")
        else:
            found = run_on(slots, config, workspace, tmp_path / name)
        for weight, value in whole.items():
            assert torch.allclose(found[weight], value, atol=1e-5), (name, weight)
        # Per step the mean over the tokens of all slots; per validation over those of all rows.
        ends = [validations_of(tmp_path / each)[-1] for each in ("whole", name)]
        assert ends[1]["validation_loss"] == pytest.approx(ends[0]["validation_loss"], rel=1e-5)
        assert ends[1]["token_accuracy"] == ends[0]["token_accuracy"]
        if batches == 1:
            losses = [training_losses(tmp_path / each) for each in ("whole", name)]
            assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_stopped_between_two_updates(
    workspace: Workspace, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    """A checkpoint in the middle of an update: the tokens so far are counted again, too."""
    (workspace.root / "stopping_trial.py").write_text(
        "import os\nimport signal\n\nfrom sft_trial import SFTTrial\n\n\n"
        "class StoppingTrial(SFTTrial):\n"
        "    def train_batch(self, batch, epoch_idx, batch_idx):\n"
        "        if batch_idx == 5 and self.context.get_initial_batch() == 0:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        return super().train_batch(batch, epoch_idx, batch_idx)\n"
    )
    config = changed(
        workspace.config,
        hyperparameters__global_batch_size=2,
        hyperparameters__max_steps=12,
        optimizations__aggregation_frequency=4,
    )
    train_here(workspace.write_yaml(config), tmp_path / "whole", capsys)
    stopping = changed(config, entrypoint="stopping_trial:StoppingTrial")
    yaml = str(workspace.write_yaml(stopping, "stopping.yaml"))
    run = str(tmp_path / "stopped")
    for words in (["train", yaml, "--output-dir", run], ["train", "--resume", run]):
        finished = subprocess.run(
            command_line(["model-hub", *words]),
            cwd=workspace.root,
            env=environment(tmp_path / "home"),
            capture_output=True,
            text=True,
        )
    assert finished.returncode == 0, finished.stderr
    one, other = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "stopped")
    )
    for name, weight in one.items():
        assert torch.allclose(other[name], weight, atol=1e-6), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data__messages_column": "talk"}, "needed is 'talk'"),
        ({"data__chat_template": "{% for"}, "data.chat_template is not a valid Jinja template"),
        ({"data__max_seq_length": 3}, "never a token of the assistant"),
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
