"""The scripts in benchmarks/ run at a tiny size, compare their sides and print their table.

Nothing is timed here.
"""

import importlib
import json
import pathlib
import sys
from types import ModuleType
from typing import Any

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param)


def table_of(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *words: str,
) -> list[list[str]]:
    """The cells of the table that the script prints."""
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", "--quick", *words])
    module.main()
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("script", ["postprocess"], indirect=True)
def test_postprocess(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Other processes would need seconds to start.
    monkeypatch.setattr(script, "memory", lambda *_: 1.0)
    headers, _, *rows = table_of(script, monkeypatch, capfd)
    assert headers[0] == "windows" and [row[1] for row in rows] == ["20 x 20 best", "all"]

    def wrong(*arguments: Any) -> None:
        ours(*arguments)
        path = arguments[-1] / "predictions.json"
        answers = json.loads(path.read_text())
        path.write_text(json.dumps({**answers, next(iter(answers)): "something else"}))

    ours = script.ours
    monkeypatch.setitem(script.SIDES, "ours", wrong)
    with pytest.raises(SystemExit, match="something else"):
        table_of(script, monkeypatch, capfd)


@pytest.mark.parametrize("script", ["preprocess"], indirect=True)
def test_preprocess(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "WORKERS", 1)
    headers, _, *rows = table_of(script, monkeypatch, capfd)
    assert headers[0] == "task" and len(rows) == len(script.TASKS)

    bare = script.bare
    monkeypatch.setattr(script, "bare", lambda *words: [[0, *ids] for ids in bare(*words)])
    with pytest.raises(SystemExit, match="other tokens"):
        table_of(script, monkeypatch, capfd, "--tasks", "clm")


@pytest.mark.parametrize("script", ["startup"], indirect=True)
def test_startup(
    script: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "import_seconds", lambda: (1.0, 0.1))
    _, _, cold, warm, _ = table_of(script, monkeypatch, capfd)
    assert cold[2] == "22 texts tokenized" and warm[2] == "0 texts tokenized"


@pytest.mark.parametrize("script", ["_bench"], indirect=True)
def test_table_in_the_readme(script: Any, tmp_path: pathlib.Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# A\n<!-- x:begin -->\nold\n<!-- x:end -->\nB\n", encoding="utf-8")
    script.write("x", "| new |", readme)
    text = readme.read_text("utf-8")
    assert "old" not in text and text.startswith("# A\n<!-- x:begin -->\n| new |\n\n")
    assert text.endswith("\n<!-- x:end -->\nB\n") and "torch" in text
    with pytest.raises(SystemExit, match="y:begin"):
        script.write("y", "", readme)


@pytest.mark.parametrize("script", ["_bench"], indirect=True)
def test_sides_take_turns(script: Any) -> None:
    order: list[str] = []
    seconds = script.alternate({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(seconds[name]) for name in "ab"] == [3, 3]
    assert script.spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
