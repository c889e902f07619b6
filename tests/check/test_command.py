"""``model-hub check``: what it prints and returns, that it is quick to say no, and that it agrees
with ``model-hub train``."""

import pathlib
import subprocess
import sys
from typing import Any

import pytest
from workspaces import ROOT, Workspace, changed, make_workspace

from model_hub import cli
from model_hub.check import engine
from model_hub.experiment import yaml_io
from model_hub.huggingface.data import preview

EXAMPLES = sorted((ROOT / "examples" / "huggingface").glob("*/*.yaml"))


@pytest.fixture
def workspace(corpus: pathlib.Path, tmp_path: pathlib.Path) -> Workspace:
    return make_workspace(corpus, tmp_path / "context")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_examples_have_no_finding(file: pathlib.Path) -> None:
    assert engine.check_config(yaml_io.read_yaml(file), file.parent).findings == []


def test_output_and_exit_code(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    file = workspace.write_yaml(workspace.config)
    assert cli.main(["check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: nothing found\n"
    broken = changed(workspace.config, hyperparameters__learning_rte=1, data__colour="red")
    file = workspace.write_yaml(broken)
    assert cli.main(["check", str(file)]) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == f"{file}: 1 error, 1 warning"
    assert all(line.startswith(f"{file}:") for line in lines)
    file = workspace.write_yaml(changed(workspace.config, data__colour="red"))
    assert cli.main(["check", str(file)]) == 0
    assert cli.main(["check", str(file), "--strict"]) == 1
    assert ": error: data.colour" in capsys.readouterr().out
    assert cli.main(["check", str(tmp_path / "nowhere.yaml")]) == 2
    assert cli.main(["check", str(file), str(tmp_path / "nowhere")]) == 2


def test_another_encoding(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.yaml"
    file.write_bytes(b"name: x\ndescription: caf\xe9\n")
    for command in ("check", "train"):
        assert cli.main([command, str(file)]) == 2
        error = capsys.readouterr().err
        assert "line 2 is not UTF-8" in error and "save the file as UTF-8" in error


def test_no_yaml_is_told_before_torch_is_imported(tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    code = (
        "import sys; from model_hub import cli; code = cli.main(['check', 'broken.yaml']);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("broken.yaml:2: error: not valid YAML")


@pytest.mark.parametrize(
    "changes",
    [
        {"entrypoint": "qa_trial:QATrail"},
        {"entrypoint": "python3 train.py"},
        {"entrypoint": ...},
        {"entrypoint": 5},
        {"hyperparameters__global_batch_size": 0},
        {"hyperparameters__num_train_epochs": 0},
        {"hyperparameters__num_train_epochs": ...},
        {"hyperparameters__model_mode": "question-anwering"},
        {"hyperparameters__model_mode": None},
        {"hyperparameters__learning_rate": "fast"},
        {"hyperparameters__learning_rate": -1},
        {"hyperparameters__learning_rate": {"type": "double", "minval": 2, "maxval": 1}},
        {"hyperparameters__learning_rate": {"type": "log", "minval": 2, "maxval": 3}},
        {"hyperparameters__lr_scheduler_type": "linnear"},
        {"hyperparameters__optim": "adamw"},
        {"hyperparameters__pretrained_model_name_or_path": "/no/such/folder"},
        {"hyperparameters": 3},
        {"min_validation_period": {"steps": 3}},
        {"scheduling_unit": 0},
        {"searcher__metric": 5},
        {"checkpoint_policy": "some"},
        {"reproducibility": {"experiment_seed": -1}},
        {"data__train_file": ...},
        {"data__train_file": "nowhere.json"},
        {"data__validation_file": ...},
        {"data__doc_stride": [1]},
    ],
    ids=str,
)
def test_what_training_refuses_is_found(
    changes: dict[str, Any],
    workspace: Workspace,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = workspace.write_yaml(changed(workspace.config, **changes))
    assert cli.main(["check", str(file)]) == 1
    key = next(iter(changes)).split("__")[-1]
    assert key in capsys.readouterr().out
    assert cli.main(["train", str(file)]) == 2


@pytest.mark.parametrize("rows", [3, 500])
def test_first_rows_are_those_of_the_file(
    rows: int, tmp_path: pathlib.Path, datasets_cache: None
) -> None:
    import datasets

    data = datasets.Dataset.from_dict({"a": list(range(rows)), "b": ['x, "y"\nz'] * rows})
    data.to_json(tmp_path / "rows.jsonl")
    data.to_csv(tmp_path / "rows.csv", index=False)
    data.to_parquet(tmp_path / "rows.parquet")
    for name in ("rows.jsonl", "rows.csv", "rows.parquet"):
        found = preview.read_first_rows("data.train_file", str(tmp_path / name))
        assert found is not None
        assert found["a"][:] == list(range(min(rows, 100)))
        assert set(found["b"]) == {'x, "y"\nz'}
