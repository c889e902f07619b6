"""``--fix``: what is deprecated is rewritten, and nothing else changes."""

import pathlib
import subprocess
import sys

import pytest
import ruamel.yaml

from model_hub import cli
from model_hub.check import engine, fix
from model_hub.experiment import yaml_io

HERE = pathlib.Path(__file__).parent

OLD = """\
# Metrics differ.
name: squad  # the name
hyperparameters:
  model_mode: question-answering
  pretrained_model_name_or_path: bert-base-uncased
  use_pretrained_weights: true
  use_apex_amp: true  # half precision
  adafactor: false
  use_auth_token:   true
  cache_dir: null
  # Training Args
  global_batch_size: 2   # over all
  learning_rate: 3.0e-5
data: {train_file: train.json, validation_file: validation.json}
# Number of records per epoch differs.
records_per_epoch: 2  # rows
searcher:
  name: single
  metric: f1
  max_length:
    epochs: 2  # two
    # are enough

  # f1: the more the better
  smaller_is_better: false
environment:
  image:
    gpu: some/image
resources:
  agent_label: x
log_policies:
  - pattern: a
    action:
      type: cancel_retries   # never again
entrypoint: qa_trial:QATrial  # our trial
"""
NEW = """\
# Metrics differ.
name: squad  # the name
hyperparameters:
  model_mode: question-answering
  pretrained_model_name_or_path: bert-base-uncased
  use_pretrained_weights: true
  use_apex_amp: true  # half precision
  token:   true
  cache_dir: null
  # Training Args
  global_batch_size: 2   # over all
  num_train_epochs: 2
  learning_rate: 3.0e-5
data: {train_file: train.json, validation_file: validation.json}
# Number of records per epoch differs.
# rows
searcher:
  name: single
  metric: f1
  # two
    # are enough

  # f1: the more the better
  smaller_is_better: false
environment:
  image:
    cuda: some/image
resources:
log_policies:
  - pattern: a
    action: cancel_retries   # never again
entrypoint: >-  # our trial
  python3 -m determined.launch.torch_distributed
  python3 -m model_hub.huggingface.train qa_trial:QATrial
"""


def load(text: str) -> object:
    return ruamel.yaml.YAML(typ="safe", pure=True).load(text)


def test_everything_else_stays(context: pathlib.Path) -> None:
    assert fix.fix_deprecated(OLD, context).text == NEW


def test_the_result_has_nothing_to_complain_of(context: pathlib.Path) -> None:
    assert engine.check_config(OLD, context).count("warning") == 9
    # Only what has no effect on a machine without a GPU and would then be an error.
    (left,) = engine.check_config(NEW, context).findings
    assert left.severity == "warning"
    assert "write hyperparameters.fp16: true if there always is one" in left.message


def test_a_second_time_changes_nothing(context: pathlib.Path) -> None:
    again = fix.fix_deprecated(NEW, context)
    assert again.text == NEW and again.changes == [] and again.kept == []


def test_line_breaks_of_windows_stay(context: pathlib.Path) -> None:
    text = fix.fix_deprecated(OLD.replace("\n", "\r\n"), context).text
    assert text == NEW.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{epochs: 3}", {"num_train_epochs": 3}),
        ("{batches: 50}", {"max_steps": 50}),
        ("50", {"max_steps": 50}),
        ("{records: 100}", {"max_steps": 25}),
    ],
)
def test_lengths(old: str, new: dict[str, int], context: pathlib.Path) -> None:
    text = (
        "name: x\nhyperparameters: {global_batch_size: 4}\n"
        f"searcher: {{name: single, max_length: {old}, metric: f1}}\n"
    )
    assert load(fix.fix_deprecated(text, context).text) == {
        "name": "x",
        "hyperparameters": {"global_batch_size": 4, **new},
        "searcher": {"name": "single", "metric": "f1"},
    }


def test_length_of_a_search_by_halving(context: pathlib.Path) -> None:
    text = "searcher:\n  name: adaptive_asha\n  max_length:\n    epochs: 3\n  metric: f1\n"
    assert fix.fix_deprecated(text, context).text == (
        "searcher:\n  name: adaptive_asha\n  max_time: 3\n  time_metric: epochs\n  metric: f1\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "searcher: {max_length: {epoch: 2}}\n",
        "searcher: {max_length: {epochs: 2}}\nrecords_per_epoch: 10\n",  # Nowhere to put it.
        "hyperparameters: {global_batch_size: {type: int, minval: 1, maxval: 2}}\n"
        "searcher: {max_length: {records: 20}}\n",
        "hyperparameters:\n  use_apex_amp: {type: categorical, vals: [true, false]}\n",
        "entrypoint: python3 -m mine --trial qa_trial:QATrial\n",
        "environment: {image: determinedai/model-hub-transformers:0.17}\n",
        "environment: {image: {gpu: a, cuda: b}}\n",
        "name: x\nname: y\nentrypoint: qa_trial:QATrial\n",
        "a: [\n",
        "- 1\n",
        "name:   'x'   # nothing old\n\n\n",
        "hyperparameters: &h\n  use_apex_amp: false\n  a: 1\nother: *h\n",
        "",
    ],
)
def test_what_is_not_understood_is_left(text: str, context: pathlib.Path) -> None:
    result = fix.fix_deprecated(text, context)
    assert result.text == text and result.changes == []


OLD_KEYS = """\
hyperparameters:
  global_batch_size: 4
  use_apex_amp: false
  adafactor: true
  use_auth_token: true
records_per_epoch: 10
searcher:
  name: single
  metric: f1
  max_length:
    epochs: 2
entrypoint: mine:Mine
"""
ALL_OLD_KEYS = {
    "hyperparameters.use_apex_amp", "hyperparameters.adafactor", "hyperparameters.use_auth_token",
    "records_per_epoch", "searcher.max_length",
}  # fmt: skip
# The file of the trial, the code, and the keys that it reads.
READING = {
    "function": (
        "mine.py",
        "steps = compute_num_training_steps(config, 8)\n",
        {"records_per_epoch", "searcher.max_length"},
    ),
    "length": (
        "mine.py",
        "epochs = config['searcher']['max_length']['epochs']\n",
        {"searcher.max_length"},
    ),
    "length in parts": (
        "mine.py",
        "searcher = config.searcher\nlength = searcher.max_length\n",
        {"searcher.max_length"},
    ),
    # As the old examples warn of another number of rows.
    "comparison": (
        "mine.py",
        "if 'records_per_epoch' in config and rows != config['records_per_epoch']:\n    warn()\n",
        {"records_per_epoch"},
    ),
    "length of texts": (
        "mine.py",
        "padding = 'max_length'\nn = min(data.max_length, tokenizer.model_max_length)\n",
        set(),
    ),
    "switch": (
        "mine.py",
        "multiple = 8 if self.hparams.use_apex_amp else None\n",
        {"hyperparameters.use_apex_amp"},
    ),
    "module beside it": (
        "helpers.py",
        "token = hparams.get('use_auth_token')\nadafactor = hparams['adafactor']\n",
        {"hyperparameters.use_auth_token", "hyperparameters.adafactor"},
    ),
    "module of another trial": ("other.py", "amp = hparams.use_apex_amp\n", set()),
    "name in another name": ("mine.py", "x.use_apex_amp_now = no_records_per_epoch\n", set()),
}


@pytest.mark.parametrize("name", READING)
def test_what_the_trial_reads_itself_is_left(name: str, tmp_path: pathlib.Path) -> None:
    file, code, read = READING[name]
    files = {"mine.py": "from helpers import x\n", "helpers.py": "import mine\n"}
    files[file] = files.get(file, "") + code
    for each, text in files.items():
        (tmp_path / each).write_text(text)
    result = fix.fix_deprecated(OLD_KEYS, tmp_path)
    new = load(result.text)
    left = {key for key in ALL_OLD_KEYS if yaml_io.get_path(new, *key.split(".")) is not None}
    # Where the length stays in epochs, it needs the length of an epoch.
    needed = {"records_per_epoch"} if "searcher.max_length" in read else set()
    assert left == read | needed
    reasons = {f"{key}: left, because {file} reads it" for key in read - needed}
    assert set(result.kept) == reasons
    findings = engine.check_config(OLD_KEYS, tmp_path).findings
    told = {
        ".".join(map(str, finding.path))
        for finding in findings
        if f"(and change {file}, which reads it)" in finding.message
    }
    assert told == read


def test_a_length_stays_where_the_entrypoint_stays_in_the_old_style(
    tmp_path: pathlib.Path,
) -> None:
    text = OLD_KEYS.replace("mine:Mine", "python3 -m launcher --trial mine:Mine")
    result = fix.fix_deprecated(text, tmp_path)
    assert yaml_io.get_path(load(result.text), "searcher", "max_length") == {"epochs": 2}
    assert result.kept == ["searcher.max_length: left, because the old-style entrypoint reads it"]


@pytest.mark.parametrize("file", sorted((HERE / "broken").glob("*.yaml")), ids=lambda f: f.stem)
def test_broken_files_do_not_get_worse(file: pathlib.Path, context: pathlib.Path) -> None:
    text = yaml_io.read_yaml(file)
    result = fix.fix_deprecated(text, context)
    if not result.changes:
        assert result.text == text
        return
    before, after = (engine.check_config(t, context) for t in (text, result.text))
    assert after.count("error") <= before.count("error")
    assert after.count("warning") < before.count("warning")
    assert fix.fix_deprecated(result.text, context).text == result.text


def test_a_full_disk_leaves_the_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("name: x\nentrypoint: qa_trial:QATrial\n")
    code = (
        "import resource; from model_hub import cli;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "raise SystemExit(cli.main(['check', 'old.yaml', '--fix']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert (
        done.stderr
        == "model-hub: error: cannot write 'old.yaml': File too large; it is unchanged.\n"
    )
    assert file.read_text() == "name: x\nentrypoint: qa_trial:QATrial\n"
    assert list(tmp_path.iterdir()) == [file]


def test_command(
    context: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(OLD)
    assert cli.main(["check", str(file), str(context), "--fix"]) == 0
    output = capsys.readouterr().out
    assert file.read_text() == NEW
    assert f"{file}: fixed: searcher.max_length" in output
    assert output.endswith("bert-base-uncased)\n")
    changed = file.stat().st_mtime_ns
    assert cli.main(["check", str(file), str(context), "--fix"]) == 0
    assert "fixed" not in capsys.readouterr().out
    assert file.stat().st_mtime_ns == changed
