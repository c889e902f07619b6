"""Summarization and translation: whole trainings of small models through the command."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import tiny_seq2seq
from workspaces import ROOT, Config, RunCommand, metrics_of, no_traceback

EXAMPLE = ROOT / "examples" / "huggingface" / "seq2seq"
DATA = ROOT.parent / "shared" / "data"
real_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder with the small public datasets is absent"
)
Rows = Sequence[Mapping[str, Any]]


def written(folder: pathlib.Path, family: str, rows: Rows, steps: int, **data: Any) -> Config:
    """The rows, a model for their texts, and a configuration that validates on them."""
    file = folder / "rows.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [text for row in rows for text in (row.get("translation") or row).values()]
    trial = (
        "translation_trial:TranslationTrial"
        if "source_lang" in data
        else "summarization_trial:SummarizationTrial"
    )
    return {
        "name": "seq2seq",
        "entrypoint": "python3 -m determined.launch.torch_distributed python3 -m "
        f"model_hub.huggingface.train {trial}",
        "hyperparameters": {
            "model_mode": "seq2seq-lm",
            "pretrained_model_name_or_path": str(
                tiny_seq2seq.save(folder / "model", family, texts, width=64)
            ),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": steps,
            "learning_rate": 5e-3,
        },
        "data": {"train_file": str(file), "validation_file": str(file), **data},
        "searcher": {"name": "single", "metric": "validation_loss", "smaller_is_better": True},
        "perform_initial_validation": True,
        "min_validation_period": {"batches": steps},
        "scheduling_unit": steps,
    }


def train(
    config: Config, folder: pathlib.Path, command_here: RunCommand
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics of the untrained and of the trained model, of the same run."""
    yaml = folder / "experiment.yaml"
    yaml.write_text(json.dumps(config))
    finished = command_here("model-hub", "train", yaml, EXAMPLE, "--output-dir", folder / "run")
    assert finished.code == 0, finished.errors
    assert "warning" not in finished.errors.lower(), finished.errors
    first, last = [r for r in metrics_of(folder / "run") if r["group"] == "validation"]
    assert (first["steps_completed"], last["steps_completed"]) == (
        0,
        config["hyperparameters"]["max_steps"],
    )
    return first, last


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@real_data
def test_summaries_of_real_texts_are_learned_by_heart(
    tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    config = written(
        tmp_path,
        "bart",
        read(DATA / "summarization" / "train.json"),
        80,
        max_source_length=48,
        max_target_length=96,
        num_beams=2,
        output_dir=str(tmp_path / "predictions"),
    )
    first, last = train(config, tmp_path, command_here)
    for name in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
        assert first[name] < 15
        assert last[name] > first[name] + 40
    assert last["validation_loss"] < first["validation_loss"] / 4
    assert 0 < last["gen_len"] < 96
    predictions = json.loads((tmp_path / "predictions" / "predictions.json").read_text("utf-8"))
    assert list(predictions) == [str(row) for row in range(8)]
    assert sum(entry["prediction"] == entry["reference"] for entry in predictions.values()) >= 3


@real_data
@pytest.mark.parametrize("family", ["marian", pytest.param("t5", marks=pytest.mark.slow)])
def test_translations_of_real_texts_are_learned_by_heart(
    family: str, tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    """Of the first words of the texts, so that it takes seconds."""
    rows = [
        {"translation": {k: " ".join(v.split()[:8]) for k, v in row["translation"].items()}}
        for row in read(DATA / "translation" / "train.json")[:16]
    ]
    config = written(
        tmp_path,
        family,
        rows,
        160,
        source_lang="en",
        target_lang="ro",
        source_prefix="translate English to Romanian: ",
        max_source_length=48,
        max_target_length=48,
        num_beams=2,
    )
    first, last = train(config, tmp_path, command_here)
    assert first["bleu"] < 5 and first["chrf"] < 15
    assert last["bleu"] > 40 and last["chrf"] > 50
    assert last["validation_loss"] < first["validation_loss"] / 4
    assert 0 < last["gen_len"] < 48


def test_what_is_wrong_is_told_without_a_traceback(
    tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    config = written(tmp_path, "t5", [{"document": "a", "abstract": "b"}], 1)
    (tmp_path / "experiment.yaml").write_text(json.dumps(config))
    finished = command_here("model-hub", "train", tmp_path / "experiment.yaml", EXAMPLE)
    assert finished.code == 2
    assert "no column 'summary'" in finished.errors and "data.summary_column" in finished.errors
    no_traceback(finished)
