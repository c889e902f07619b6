"""The old library's YAMLs for language modeling, with small models and text, run as they were."""

import pathlib

import pytest
import text_models
import tiny
from workspaces import ROOT, RunCommand, metrics_of

EXAMPLE = ROOT / "examples" / "huggingface" / "language-modeling"
LINES = [f"the cat sat where the dog ran the {n % 7} cat ran" for n in range(96)]
OLD = """
name: huggingface_{kind}_trial
hyperparameters:
  pretrained_model_name_or_path: {model}
  model_mode: {mode}
  use_pretrained_weights: false
  use_apex_amp: {apex}
  cache_dir: null
  # Training Args
  global_batch_size: 8
  learning_rate: 5.0e-5
  adam_epsilon: 1.0e-8
  weight_decay: 0
  lr_scheduler_type: linear
  num_warmup_steps: 0
data:
  dataset_name: null
  dataset_config_name: null
  train_file: {train}
  validation_file: null
  overwrite_cache: false
  validation_split_percentage: 5
  preprocessing_num_workers: null
  max_seq_length: {length}
{own}
# Number of records per epoch differs based on max_seq_length.
records_per_epoch: 24
min_validation_period:
  batches: 2
searcher:
  name: single
  metric: perplexity
  max_length:
    epochs: 1
  smaller_is_better: true
resources:
  slots_per_trial: 1
entrypoint: {kind}_trial:{trial}
"""
MASKED = "  mlm_probability: 0.15\n  line_by_line: {}\n  pad_to_max_length: {}"
PERMUTED = (
    "  plm_probability: 0.15\n  max_span_length: 5\n  line_by_line: {}\n  pad_to_max_length: {}"
)


@pytest.mark.parametrize(
    ("kind", "mode", "length", "own"),
    [
        ("clm", "causal-lm", "null", ""),
        ("mlm", "masked-lm", "null", MASKED.format("false", "false")),
        ("mlm", "masked-lm", "16", MASKED.format("true", "true")),
        ("plm", "causal-lm", "20", PERMUTED.format("false", "false")),
        ("plm", "causal-lm", "20", PERMUTED.format("true", "true")),
    ],
)
def test_runs_as_it_was(
    kind: str, mode: str, length: str, own: str, tmp_path: pathlib.Path, command_here: RunCommand
) -> None:
    folder = tmp_path / "model"
    if kind == "mlm":
        model = tiny.save(folder, "bert")
    elif kind == "plm":
        model = text_models.save_xlnet(folder, text_models.xlnet_tokenizer(LINES, 60), width=16)
    else:
        tokenizer = text_models.byte_level_tokenizer(LINES, 280)
        model = text_models.save_gpt2(folder, tokenizer, width=16, positions=32)
    (tmp_path / "train.txt").write_text("\n".join(LINES))
    (tmp_path / "old.yaml").write_text(
        OLD.format(
            kind=kind,
            trial=f"{kind.upper()}Trial",
            mode=mode,
            model=model,
            length=length,
            own=own,
            apex="true" if kind == "mlm" else "false",
            train=tmp_path / "train.txt",
        )
    )
    words = ["model-hub", "train", "old.yaml", EXAMPLE, "--output-dir", "run"]
    finished = command_here(*words, cwd=tmp_path)
    assert finished.code == 0, finished.errors
    assert "did you mean" not in finished.errors
    last = metrics_of(tmp_path / "run")[-1]
    assert last["steps_completed"] >= 3
    assert last["perplexity"] > 1
