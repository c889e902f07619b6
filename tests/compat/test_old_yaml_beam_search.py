"""The old library's YAMLs for beam search, with a small model and data, run as they were."""

import json
import pathlib
from typing import Any

import pytest
import tiny_xlnet
from workspaces import EXAMPLE, RunCommand, metrics_of

OLD = """
name: huggingface_squad_with_beam_search
hyperparameters:
  pretrained_model_name_or_path: {model}
  model_mode: question-answering
  use_pretrained_weights: false
  use_apex_amp: false
  cache_dir: null
  # Training Args
  global_batch_size: 4
  learning_rate: 3.0e-5
  adam_epsilon: 1.0e-8
  weight_decay: 0
  lr_scheduler_type: linear
  num_warmup_steps: 0
data:
  dataset_name: null
  train_file: {train}
  validation_file: {validation}
  overwrite_cache: false
  preprocessing_num_workers: null
  max_seq_length: 96
  pad_to_max_length: true
  version_2_with_negative: {version_2}
  {threshold}
  doc_stride: 32
  n_best_size: 20
  max_answer_length: 30
  output_dir: {output}
records_per_epoch: 24
min_validation_period:
  batches: 3
searcher:
  name: single
  metric: f1
  max_length:
    epochs: 1
  smaller_is_better: false
resources:
  slots_per_trial: 1
entrypoint: qa_beam_search_trial:QABeamSearchTrial
"""


@pytest.mark.parametrize("version_2", [False, True])
def test_runs_as_it_was(
    version_2: bool, corpus: pathlib.Path, tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    files: dict[str, pathlib.Path] = {}
    rows: list[dict[str, Any]] = []
    for name, count in (("train", 24), ("validation", 8)):
        lines = (corpus / f"{name}.json").read_text("utf-8").splitlines()[:count]
        found = [json.loads(line) for line in lines]
        if version_2:
            for row in found[::2]:
                row["answers"] = {"text": [], "answer_start": []}
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text("".join(json.dumps(row) + "\n" for row in found))
        rows += found
    texts = [row[name] for row in rows for name in ("context", "question")]
    text = OLD.format(
        model=tiny_xlnet.save(tmp_path / "model", texts),
        version_2=str(version_2).lower(),
        threshold="null_score_diff_threshold: 0" if version_2 else "",
        output=tmp_path / "out",
        **files,
    )
    (tmp_path / "old.yaml").write_text(text)
    words = ["model-hub", "train", "old.yaml", EXAMPLE, "--output-dir", "run"]
    finished = command_here(*words, cwd=tmp_path)
    assert finished.code == 0, finished.errors
    assert "did you mean" not in finished.errors
    last = metrics_of(tmp_path / "run")[-1]
    # An epoch: 24 rows, or a few more windows.
    assert last["steps_completed"] >= 6
    names = {"exact", "f1", "HasAns_f1", "NoAns_f1", "best_f1", "best_exact_thresh"}
    assert (names if version_2 else {"exact_match", "f1"}) <= set(last)
    assert (tmp_path / "out" / "predictions.json").is_file()
