"""Question answering with beam search: whole trainings of a small XLNet through the command."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest
import tiny_xlnet
from workspaces import EXAMPLE, ROOT, Config, RunCommand, metrics_of, no_traceback

DATA = ROOT.parent / "shared" / "data"
Rows = Sequence[dict[str, Any]]


def written(folder: pathlib.Path, rows: Rows, **changes: Any) -> Config:
    """The rows, a model for their texts, and a configuration that validates on them."""
    file = folder / "rows.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [row[name] for row in rows for name in ("context", "question")]
    return {
        "name": "beam-search",
        "entrypoint": "python3 -m determined.launch.torch_distributed python3 -m "
        "model_hub.huggingface.train qa_beam_search_trial:QABeamSearchTrial",
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(tiny_xlnet.save(folder / "model", texts)),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 80,
            "learning_rate": 5e-3,
        },
        "data": {
            "train_file": str(file),
            "validation_file": str(file),
            "max_seq_length": 96,
            "doc_stride": 24,
            "output_dir": str(folder / "predictions"),
            **changes,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "perform_initial_validation": True,
        "min_validation_period": {"batches": 80},
        "scheduling_unit": 20,
    }


def train(
    config: Config, folder: pathlib.Path, command_here: RunCommand
) -> tuple[dict[str, Any], dict[str, Any]]:
    """First and last metrics."""
    yaml = folder / "experiment.yaml"
    yaml.write_text(json.dumps(config))
    finished = command_here("model-hub", "train", yaml, EXAMPLE, "--output-dir", folder / "run")
    assert finished.code == 0, finished.errors
    assert "warning" not in finished.errors.lower(), finished.errors
    first, *_, last = [r for r in metrics_of(folder / "run") if r["group"] == "validation"]
    assert first["steps_completed"] == 0
    return first, last


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder with the small public datasets is absent")
def test_learns_real_rows_by_heart(tmp_path: pathlib.Path, command_here: RunCommand) -> None:
    """SQuAD v2.0: answers, and that there is none; contexts are cut, so that it takes seconds."""
    lines = (DATA / "squad_v2" / "train.json").read_text("utf-8").splitlines()
    rows = [{**row, "context": row["context"][:160]} for row in map(json.loads, lines)]
    answered, unanswered = [], []
    for row in rows:
        texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
        if not texts:
            unanswered.append(row)
        elif starts[0] + len(texts[0]) < 150:
            answered.append(row)
    chosen = answered[::8][:8] + unanswered[::8][:8]
    assert len(chosen) == 16
    config = written(tmp_path, chosen, version_2_with_negative=True)
    first, last = train(config, tmp_path, command_here)
    # An untrained model, and one that says "no answer" to half of the questions.
    assert first["f1"] < 60
    assert last["f1"] > 90 and last["HasAns_f1"] > 80 and last["NoAns_f1"] > 80
    files = {path.name: path for path in (tmp_path / "predictions").iterdir()}
    assert set(files) == {"predictions.json", "nbest_predictions.json", "null_odds.json"}
    odds = json.loads(files["null_odds.json"].read_text())
    for name, text in json.loads(files["predictions.json"].read_text()).items():
        assert (text == "") == (odds[name] > 0)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the folder with the small public datasets is absent")
def test_gets_better_on_questions_that_it_has_not_seen(
    tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    """All of the small SQuAD files, with a model from scratch: there is no small trained XLNet."""
    squad = DATA / "squad"
    lines = (squad / "train.json").read_text("utf-8").splitlines()
    validation = str(squad / "validation.json")
    config = written(tmp_path, list(map(json.loads, lines)), validation_file=validation)
    sizes = {"d_model": 96, "n_layer": 2, "d_inner": 256, "n_head": 4}
    texts = [row[name] for row in map(json.loads, lines) for name in ("context", "question")]
    tiny_xlnet.save(tmp_path / "model", texts, **sizes)
    config["hyperparameters"] |= {
        "global_batch_size": 16,
        "max_steps": 150,
        "learning_rate": 1e-3,
        "warmup_ratio": 0.1,
    }
    config["data"] |= {"max_seq_length": 128, "doc_stride": 48, "max_answer_length": 4}
    config["min_validation_period"] = {"batches": 150}
    first, last = train(config, tmp_path, command_here)
    # With this seed it gains 3, with others 1.2 to 3.1.
    assert last["f1"] > first["f1"] + 2 and last["exact_match"] > first["exact_match"]


def test_wrong_model_is_told(
    corpus: pathlib.Path, tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    rows = [json.loads(line) for line in (corpus / "train.json").read_text().splitlines()[:8]]
    config = written(tmp_path, rows)
    config["hyperparameters"]["pretrained_model_name_or_path"] = str(corpus / "model")
    (tmp_path / "experiment.yaml").write_text(json.dumps(config))
    finished = command_here("model-hub", "train", tmp_path / "experiment.yaml", EXAMPLE)
    assert finished.code == 2
    assert "builds XLNetForQuestionAnswering" in finished.errors
    assert "model of type 'xlnet'" in finished.errors
    no_traceback(finished)
