"""What a user can get wrong, and what the command line says: which key, what was found, what to
write instead, and no traceback."""

import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from determined import pytorch
from workspaces import Config, Workspace, changed

from model_hub import cli
from model_hub.huggingface.config import validate

Complaint = Callable[..., str]


@pytest.fixture
def complaint(
    workspace: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Complaint:
    """Trains with changes to the configuration and returns what the user is told.

    In this process: the command is the function, and importing torch takes longer than all else.
    """
    monkeypatch.chdir(tmp_path)

    def train(*options: str, code: int = 2, kept: bool = False, **changes: Any) -> str:
        one_step = {"hyperparameters__num_train_epochs": ..., "hyperparameters__max_steps": 1}
        yaml = workspace.write_yaml(changed(workspace.config, **{**one_step, **changes}))
        run = tmp_path / "run"
        capsys.readouterr()
        assert cli.main(["train", str(yaml), "--output-dir", str(run), *options]) == code
        output, errors = capsys.readouterr()
        assert "Traceback" not in output + errors
        if code:
            assert "model-hub: error: " in errors
            # Where nothing was trained, the folder can be used again at once.
            assert run.exists() == kept
        return errors

    return train


def rows_of(config: Config) -> list[dict[str, Any]]:
    lines = pathlib.Path(config["data"]["train_file"]).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_unknown_model_mode(complaint: Complaint) -> None:
    text = complaint(hyperparameters__model_mode="question-anwering")
    assert "hyperparameters.model_mode" in text and "did you mean question-answering" in text


@pytest.mark.parametrize("mode", ["base", "sequence-classification"])
def test_model_mode_of_another_task(mode: str, complaint: Complaint) -> None:
    text = complaint(hyperparameters__model_mode=mode)
    assert f"hyperparameters.model_mode is '{mode}', but QATrial is made for" in text
    assert "write model_mode: question-answering" in text


@pytest.mark.parametrize(
    ("modes", "mode", "message"),
    [
        (("AutoModelForCausalLM",), "causal-lm", None),
        (("causal_lm",), "AutoModelForCausalLM", None),
        ("base", "base", None),
        ("base", "causal-lm", "is made for base; write model_mode: base"),
        (("causal-lm", "pretraining"), "base", "is made for causal-lm and pretraining; write"),
        (("causal-lm",), "image-classification", None),
        (("causal-lm",), "no-such", None),
        (("cusal-lm",), "causal-lm", r"Trial.model_modes: 'cusal-lm' is not known; did you mean"),
        ((), "base", None),
    ],
)
def test_modes_that_a_trial_is_made_for(modes: Any, mode: str, message: str | None) -> None:
    trial = type("Trial", (pytorch.PyTorchTrial,), {"model_modes": modes})
    found = validate.wrong_model_mode(trial, mode)
    assert len(found) == (message is not None)
    assert message is None or message in found[0]


@pytest.mark.parametrize("mode", ["base", "sequence-classification"])
def test_model_mode_of_a_trial_that_does_not_say_what_it_is_made_for(
    mode: str, complaint: Complaint, workspace: Workspace
) -> None:
    (workspace.root / "any_mode_trial.py").write_text(
        "from qa_trial import QATrial\n\n\nclass AnyModeTrial(QATrial):\n    model_modes = ()\n"
    )
    text = complaint(hyperparameters__model_mode=mode, entrypoint="any_mode_trial:AnyModeTrial")
    assert f"hyperparameters.model_mode is '{mode}'" in text and "returns no loss" in text


def test_all_that_is_missing_at_once(complaint: Complaint) -> None:
    text = complaint(
        hyperparameters__model_mode=...,
        hyperparameters__pretrained_model_name_or_path=None,
        hyperparameters__global_batch_size=...,
        hyperparameters__max_steps=...,
    )
    for key in ("model_mode", "pretrained_model_name_or_path", "global_batch_size", "max_steps"):
        assert f"hyperparameters.{key}" in text, text


def test_misspelt_keys(complaint: Complaint) -> None:
    text = complaint(
        "--config",
        "learning_rate=1",
        hyperparameters__learning_rte=1,
        data__doc_strid=3,
        searchr={},
        searcher__metrc="f1",
        hyperparameters__eval_steps=5,
    )
    assert "hyperparameters.learning_rte is not known; did you mean learning_rate?" in text
    assert "data.doc_strid is not known; did you mean doc_stride?" in text
    assert "searchr is not known; did you mean searcher?" in text
    assert "searcher.metrc is not known; did you mean metric?" in text
    assert "learning_rate is not known; it is a key of section hyperparameters" in text
    assert "write min_validation_period: {batches: 5} at the top level" in text


def test_other_unknown_keys_are_errors_when_strict(complaint: Complaint) -> None:
    own = {"hyperparameters__my_sauce": 1, "data__my_salt": 3}
    for options, code in ((("--strict",), 2), ((), 0)):
        text = complaint(*options, code=code, **own)
        for key in ("hyperparameters.my_sauce", "data.my_salt"):
            assert text.count(f"{key} is not known; remove it, or") == 1


def test_wrong_types_all_at_once(complaint: Complaint) -> None:
    text = complaint(
        hyperparameters__learning_rate="fast",
        hyperparameters__global_batch_size="many",
        data__doc_stride=[1],
    )
    assert "hyperparameters.learning_rate is 'fast', but should be a number" in text
    assert "hyperparameters.global_batch_size is 'many'" in text
    assert "data.doc_stride is " in text


def test_number_that_yaml_1_1_takes_for_text(complaint: Complaint) -> None:
    complaint("--config", "hyperparameters.learning_rate=3e-5", code=0)


def test_file_that_is_not_there(complaint: Complaint, workspace: Workspace) -> None:
    text = complaint(data__train_file="nowhere/train.json")
    assert "data.train_file" in text and "nowhere/train.json" in text
    assert str(workspace.root) in text  # Where it was looked for.


def test_empty_file(complaint: Complaint, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.json").touch()
    text = complaint(data__train_file=str(tmp_path / "empty.json"))
    assert "data.train_file" in text and "empty.json" in text and "is empty" in text


def test_broken_line(complaint: Complaint, tmp_path: pathlib.Path, workspace: Workspace) -> None:
    rows = [json.dumps(row) for row in rows_of(workspace.config)]
    rows[6] = '{"id": "q7", "context": oops'
    (tmp_path / "broken.json").write_text("\n".join(rows) + "\n")
    text = complaint(data__train_file=str(tmp_path / "broken.json"))
    assert "data.train_file" in text and "broken.json" in text and "line 7" in text
    assert len(text.strip().splitlines()) == 1, text


@pytest.mark.parametrize("split", ["train", "validation"])
def test_missing_column(
    complaint: Complaint, tmp_path: pathlib.Path, workspace: Workspace, split: str
) -> None:
    rows = [
        {("text" if key == "context" else key): value for key, value in row.items()}
        for row in rows_of(workspace.config)
    ]
    file = tmp_path / "columns.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = complaint(**{f"data__{split}_file": str(file)})
    assert f"data.{split}_file" in text and "columns.json" in text
    assert f"the columns are {', '.join(rows[0])}, but" in text and "missing: context" in text


def test_misaligned_answers_are_counted_and_left_out(
    complaint: Complaint, tmp_path: pathlib.Path, workspace: Workspace
) -> None:
    rows = rows_of(workspace.config)
    rows[3]["answers"]["answer_start"] = [1]
    rows[5]["answers"]["answer_start"] = [9000]
    file = tmp_path / "misaligned.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = complaint(code=0, data__train_file=str(file))
    assert f"2 of {len(rows)} training rows" in text and rows[3]["id"] in text


def test_slow_tokenizer(complaint: Complaint, tmp_path: pathlib.Path, workspace: Workspace) -> None:
    from transformers import CanineTokenizer

    CanineTokenizer(model_max_length=128).save_pretrained(tmp_path / "slow")
    text = complaint(hyperparameters__tokenizer_name=str(tmp_path / "slow"))
    assert "CanineTokenizer" in text and "hyperparameters.tokenizer_name" in text


def test_longer_than_the_model_takes(complaint: Complaint) -> None:
    text = complaint(data__max_seq_length=4096)
    assert "data.max_seq_length is 4096" in text and re.search(r"Write .*max_seq_length: \d+", text)


def test_stride_without_progress(complaint: Complaint) -> None:
    assert "data.doc_stride is 95" in complaint(data__doc_stride=95)


def test_batch_that_slots_cannot_share(
    complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    text = complaint()
    assert "hyperparameters.global_batch_size is 8" in text and "3 slots" in text and "6" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"entrypoint": "qa_trial:QATrail"}, ["entrypoint", "QATrail", "QATrial"]),
        ({"entrypoint": "qa_tril:QATrial"}, ["entrypoint", "qa_tril", "qa_trial.py"]),
        ({"entrypoint": "python3 train.py"}, ["entrypoint", "python3 train.py"]),
        ({"entrypoint": ...}, ["entrypoint", "qa_trial:QATrial"]),
        ({"hyperparameters__global_batch_size": 0}, ["hyperparameters.global_batch_size is 0"]),
        ({"hyperparameters__max_steps": 0}, ["hyperparameters.max_steps is 0"]),
        ({"min_validation_period": {"steps": 3}}, ["min_validation_period", "batches"]),
        ({"min_validation_period": 3}, ["min_validation_period"]),
        ({"entrypoint": 5}, ["entrypoint is 5"]),
        ({"entrypoint": "'qa_trial:QATrial"}, ["entrypoint", "close the quotes"]),
        ({"reproducibility": 5}, ["reproducibility is 5", "mapping"]),
        ({"scheduling_unit": 0, "searcher__metric": 5}, ["scheduling_unit", "searcher.metric"]),
        ({"data__preprocessing_num_workers": -1}, ["data.preprocessing_num_workers is -1"]),
        ({"hyperparameters__max_grad_norm": -1}, ["hyperparameters.max_grad_norm is -1"]),
        ({"hyperparameters__learning_rate": -1}, ["hyperparameters.learning_rate is -1"]),
        ({"checkpoint_policy": "some"}, ["checkpoint_policy", "best, all or none"]),
        ({"data": 3}, ["data"]),
        ({"reproducibility": {"experiment_seed": -1}}, ["reproducibility.experiment_seed"]),
        ({"hyperparameters__lr_scheduler_type": "linnear"}, ["did you mean linear"]),
        ({"hyperparameters__optim": "adamw"}, ["hyperparameters.optim", "adamw_torch"]),
        (
            {"hyperparameters__pretrained_model_name_or_path": "/no/such/folder"},
            ["pretrained_model_name_or_path", "there is no folder '/no/such/folder'"],
        ),
        (
            {"hyperparameters__pretrained_model_name_or_path": "no-such-model"},
            ["no folder 'no-such-model' (looked in ", "because HF_HUB_OFFLINE is set"],
        ),
        ({"data__train_file": ...}, ["data.train_file"]),
        ({"data__validation_file": ...}, ["data.validation_split_percentage"]),
        (
            {"hyperparameters__learning_rate": {"type": "double", "minval": 2, "maxval": 1}},
            ["hyperparameters.learning_rate", "minval"],
        ),
        (
            {"hyperparameters__learning_rate": {"type": "log", "minval": 2, "maxval": 3}},
            ["hyperparameters.learning_rate", "base"],
        ),
    ],
)
def test_other_mistakes(complaint: Complaint, changes: dict[str, Any], words: list[str]) -> None:
    text = complaint(**changes)
    for word in words:
        assert word in text, text


def test_null_and_keys_that_are_no_text(complaint: Complaint, workspace: Workspace) -> None:
    changes: dict[str, Any] = {
        "hyperparameters__learning_rate": None,
        "hyperparameters__num_labels": None,
        "hyperparameters__token": None,
        "data": {**workspace.config["data"], "overwrite_cache": None, None: 1},
    }
    complaint(code=0, **changes)


def test_metric_that_the_trial_does_not_report(complaint: Complaint) -> None:
    """Before anything is trained, as the trial says what it reports; else at the validation."""
    text = complaint(searcher__metric="f2")
    assert "searcher.metric is 'f2', which QATrial does not report" in text and "f1" in text


def test_metric_of_a_trial_that_does_not_say_what_it_reports(
    complaint: Complaint, workspace: Workspace
) -> None:
    (workspace.root / "silent_trial.py").write_text(
        "from qa_trial import QATrial\n\n\nclass SilentTrial(QATrial):\n    metric_names = ()\n"
    )
    text = complaint(kept=True, searcher__metric="f2", entrypoint="silent_trial:SilentTrial")
    assert "searcher.metric is 'f2'" in text and "exact_match, f1" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["CONFIG.yaml", "--resume"]),
        (["nowhere.yaml"], ["nowhere.yaml"]),
        (["--resume", "nowhere"], ["--resume", "nowhere"]),
        (["broken.yaml"], ["broken.yaml", "line 3", "begins in line 2"]),
        (["fine.yaml", "--resume", "x"], ["--resume", "'fine.yaml'", "--config"]),
        (["list.yaml"], ["list.yaml"]),
        (["fine.yaml", "--config", "hyperparameters"], ["--config", "key=value"]),
        (["fine.yaml", "--config", "name.x=1"], ["--config name.x"]),
    ],
)
def test_command_line(
    arguments: list[str],
    words: list[str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.yaml").write_text("name: x\ndata: [1, 2\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "fine.yaml").write_text("name: x\n")
    assert cli.main(["train", *arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("model-hub: error: ")
    for word in words:
        assert word in errors, errors
    assert sorted(os.listdir(tmp_path)) == ["broken.yaml", "fine.yaml", "list.yaml"]


def test_output_dir_that_holds_a_run(
    plain_run: pathlib.Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(str(path) for path in plain_run.rglob("*"))
    yaml = workspace.write_yaml(workspace.config)
    assert cli.main(["train", str(yaml), "--output-dir", str(plain_run)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert sorted(str(path) for path in plain_run.rglob("*")) == before
