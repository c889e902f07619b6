"""Whole trainings: tiny ones on rows made in place, and real rows of SWAG learned by heart."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import tiny
import transformers
from task_runs import minilm, real_rows, train_here, validations_of, write_rows
from workspaces import ROOT, Config, Workspace, changed

EXAMPLE = ROOT / "examples" / "huggingface" / "multiple-choice"
Train = Callable[..., tuple[str, list[dict[str, Any]]]]


def stories(count: int) -> list[dict[str, Any]]:
    """Right is the ending that sits. Some rows have two endings, some three, and what is missing is
    not always the last."""
    rows = []
    for number in range(count):
        label = number % 3
        endings: list[str | None] = [
            f"the {('dog', 'cat')[(number + n) % 2]} ran" for n in range(3)
        ]
        endings[label] = f"the {('cat', 'dog')[number % 2]} sat"
        if number % 4 == 0:
            endings[(label + 1) % 3] = None
        elif number % 4 == 1:
            endings[(label + 2) % 3] = " "
        columns = {f"ending{n}": ending for n, ending in enumerate(endings)}
        rows.append({"sent1": "where", "sent2": "", **columns, "label": label})
    return rows


@pytest.fixture
def swag(tmp_path: pathlib.Path) -> Workspace:
    """A tiny model without weights, and a configuration that trains it for 60 batches."""
    root = tmp_path / "context"
    tiny.save(root / "model", "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (root / "swag_trial.py").write_bytes((EXAMPLE / "swag_trial.py").read_bytes())
    config: Config = {
        "name": "swag",
        "entrypoint": "swag_trial:SWAGTrial",
        "hyperparameters": {
            "model_mode": "multiple-choice",
            "pretrained_model_name_or_path": str(root / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 60,
            "learning_rate": 1e-2,
        },
        "data": {
            "train_file": write_rows(root / "train.json", stories(48)),
            "validation_file": write_rows(root / "validation.json", stories(24)),
        },
        "searcher": {"name": "single", "metric": "accuracy", "smaller_is_better": False},
        "reproducibility": {"experiment_seed": 3},
    }
    return Workspace(root, config)


@pytest.fixture
def train(
    swag: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Train:
    """Trains with changes to the configuration; what was said, and the metrics in their order."""
    monkeypatch.chdir(tmp_path)

    def run(*, code: int = 0, **changes: Any) -> tuple[str, list[dict[str, Any]]]:
        yaml = swag.write_yaml(changed(swag.config, **changes))
        # With --verbose an error has its traceback, and the baseline is shown.
        options = () if code else ("--verbose",)
        said = train_here(yaml, tmp_path / "run", capsys, *options, code=code)
        assert "did you mean" not in said
        return said, [] if code else validations_of(tmp_path / "run")

    return run


def test_learns_to_choose(train: Train, tmp_path: pathlib.Path) -> None:
    said, validations = train()
    assert "baseline (always the first ending): accuracy 0." in said
    assert (
        "baseline (always ending0, most often right in the training data): accuracy 0.3333" in said
    )
    assert validations[-1]["accuracy"] == 1.0
    model = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "run" / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    pairs = tokenizer(["where"] * 2, ["the dog ran", "the dog sat"], return_tensors="pt")
    logits = model(**{name: tensor[None] for name, tensor in pairs.items()}).logits
    assert logits.argmax() == 1


def test_padding_to_the_full_length(train: Train) -> None:
    _, validations = train(
        data__pad_to_max_length=True, data__max_seq_length=24, hyperparameters__max_steps=1
    )
    assert 0 <= validations[-1]["accuracy"] <= 1


def test_bad_rows_are_named(train: Train, swag: Workspace) -> None:
    rows = stories(12)
    rows[4]["label"] = 7
    said, _ = train(code=2, data__train_file=write_rows(swag.root / "bad.json", rows))
    assert (
        "data.train_file" in said
        and "a label that is no ending of its row (7) in 1 row (row 5)" in said
    )
    lines = [json.dumps({k: v for k, v in row.items() if k != "sent1"}) for row in rows]
    (swag.root / "worse.json").write_text("\n".join(lines))
    said, _ = train(code=2, data__validation_file=str(swag.root / "worse.json"))
    assert "data.validation_file" in said and "missing: sent1" in said


def test_real_rows_by_heart(train: Train, tmp_path: pathlib.Path) -> None:
    """There are eleven rows, so that only this can be shown: the model learns them."""
    rows = write_rows(tmp_path / "rows.json", real_rows("swag/train.json"))
    said, validations = train(
        hyperparameters__pretrained_model_name_or_path=minilm(),
        hyperparameters__use_pretrained_weights=True,
        hyperparameters__global_batch_size=4,
        hyperparameters__max_steps=36,
        hyperparameters__learning_rate=3e-4,
        data__train_file=rows,
        data__validation_file=rows,
        data__max_seq_length=48,
        perform_initial_validation=True,
    )
    assert "baseline (always the first ending): accuracy 0.2727" in said
    assert (
        "baseline (always ending2, most often right in the training data): accuracy 0.6364" in said
    )
    assert validations[0]["accuracy"] < 0.8
    assert validations[-1]["accuracy"] == 1.0
