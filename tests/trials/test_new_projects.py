"""Every project that `model-hub new` writes trains at once, as its README.md says."""

import pathlib
import re
import shlex

import pytest
from task_runs import validations_of
from workspaces import RunCommand, no_traceback

from model_hub import cli
from model_hub.new.tasks import TASKS, Task


def commands_of(folder: pathlib.Path) -> list[str]:
    """Lines of the README's shell block, without comments."""
    (block,) = re.findall(r"```shell\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.S)
    return [line for line in block.splitlines() if not line.startswith("#")]


def run_here(line: str) -> None:
    """A line of the README, in this process; importing torch takes longer than the trainings."""
    words = shlex.split(line)
    if words[0] == "echo":
        text, redirection, file = words[1:]
        assert redirection == ">"
        pathlib.Path(file).write_text(text + "\n", encoding="utf-8")
    else:
        assert words[0] == "model-hub"
        assert cli.main(words[1:]) == 0, line


def baseline(task: Task, output: str, run: pathlib.Path) -> float:
    """The best score that needs no training: a baseline of the log, or the untrained model's."""
    lines = [line for line in output.splitlines() if line.startswith("baseline (")]
    scores = [float(re.findall(rf"\b{task.metric} ([0-9.]+)", line)[0]) for line in lines]
    first = validations_of(run)[0]
    assert (first["steps_completed"] == 0) is task.first_validation
    if not lines:
        assert task.first_validation
        return float(first[task.metric])
    return min(scores) if task.smaller_is_better else max(scores)


@pytest.mark.parametrize("name", TASKS)
def test_trains_as_it_is(
    name: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    task = TASKS[name]
    assert cli.main(["new", name, "mine"]) == 0
    monkeypatch.chdir("mine")
    folder = pathlib.Path.cwd()
    lines = commands_of(folder)
    assert lines.pop() == f"det experiment create {task.short_name}.yaml ."
    if task.packages:
        assert lines.pop(0) == f"pip install {task.packages}"

    capsys.readouterr()
    run_here(lines.pop(0))
    assert capsys.readouterr().out == f"{task.short_name}.yaml: nothing found\n"

    run_here(lines.pop(0))
    output, errors = capsys.readouterr()
    assert "warning" not in (output + errors).lower()
    score = validations_of(folder / "runs" / "first")[-1][task.metric]
    start = baseline(task, errors + output, folder / "runs" / "first")
    if task.smaller_is_better:
        assert score < task.metric_threshold < start / 3
    else:
        full = 1 if task.metric_threshold < 1 else 100
        assert score > task.metric_threshold > start + full / 5

    for line in lines:
        run_here(line)
    assert bool(lines) == task.predicts == (folder / "answers.jsonl").is_file()
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", name, "mine"]) == 2
    assert "'mine' is not empty" in capsys.readouterr().err


def test_from_the_shell(command: RunCommand, tmp_path: pathlib.Path) -> None:
    """New processes, a run folder without a name, and a home without any cache."""
    work = tmp_path / "work"
    done = command("model-hub", "new", "token-classification", "my-ner", cwd=work)
    assert done.code == 0, done.errors
    trained = command("model-hub", "train", "ner.yaml", cwd=work / "my-ner")
    assert trained.code == 0, trained.errors
    no_traceback(trained)
    (run,) = (work / "my-ner" / "runs").iterdir()
    assert run.name.startswith("ner-")
    assert validations_of(run)[-1]["f1"] > TASKS["token-classification"].metric_threshold


def test_from_the_readme(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """README.md's commands, one after the other; numbers apart, they print what it shows."""
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text("utf-8")
    section = readme.partition("## Start a project")[2].partition("Or in Python")[0]
    shown = "\n".join(re.findall(r"```text\n(.*?)\n```", section, re.S))
    steps = [step.split("\n") for step in shown.removeprefix("$ ").split("\n$ ")]
    assert [step[0].split()[:2] for step in steps if step[0].startswith("model-hub")] == [
        ["model-hub", name] for name in ("new", "train", "export", "predict")
    ]
    monkeypatch.chdir(tmp_path)
    for line, *expected in steps:
        words = shlex.split(line)
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
            continue
        if words[:2] == ["head", "-n"]:
            text = pathlib.Path(words[3]).read_text("utf-8")
            output = "".join(text.splitlines(keepends=True)[: int(words[2])])
        else:
            run_here(line)
            output = "".join(capsys.readouterr())
        # Standard output and error come one after the other here; the order is not compared.
        said, lines = (
            [re.sub(r"\d+(\.\d+)?", "0", each) for each in some]
            for some in (output.splitlines(), expected)
        )
        if "..." not in lines:
            assert said == lines
        assert set(lines) <= {*said, "..."}, output
