"""Completion in a shell, and the help texts."""

import os
import pathlib
import shlex
import subprocess
import sys

import pytest

from model_hub import cli

PROGRAM = pathlib.Path(sys.executable).with_name("model-hub")


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("model-hub tr", {"train"}),
        ("model-hub c", {"check"}),
        ("model-hub train --str", {"--strict"}),
        ("model-hub new token", {"token-classification"}),
        (
            "model-hub new question",
            {"question-answering", "question-answering-beam-search"},
        ),
        ("model-hub zzz", set()),
    ],
)
def test_completion(line: str, completions: set[str], tmp_path: pathlib.Path) -> None:
    """The call is that of the function which `register-python-argcomplete` prints."""
    answer = tmp_path / "answer"
    subprocess.run(
        [str(PROGRAM)],
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SHELL": "bash",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
        check=True,
    )
    assert {word.strip() for word in answer.read_text().split("\013") if word} == completions


def test_files_are_completed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "squad.yaml").write_text("")
    answer = tmp_path / "answer"
    line = "model-hub train squ"
    variables = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE": "1"}
    subprocess.run(
        [str(PROGRAM)],
        env={**os.environ, **variables, "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)},
        cwd=tmp_path,
        check=True,
    )
    assert answer.read_text().split("\013") == ["squad.yaml "]


def test_help_says_how_and_global_completion_finds_the_marker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert 'eval "$(register-python-argcomplete model-hub)"' in capsys.readouterr().out
    assert "PYTHON_ARGCOMPLETE_OK" in pathlib.Path(cli.__file__).read_text("utf-8")[:1024]


@pytest.mark.parametrize("command", [[], ["train"], ["check"], ["new"], ["export"], ["predict"]])
def test_help_shows_examples_that_can_be_copied(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    examples = capsys.readouterr().out.partition("\nexamples:\n")[2].partition("\ncompletion")[0]
    lines = examples.replace("\\\n", "").splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line)
        words = words[: words.index("&&")] if "&&" in words else words
        start = 1 if words[0] == "model-hub" else words.index("model_hub") + 1
        if words[start] != "COMMAND":
            assert cli._parser().parse_args(words[start:]).run


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "find mistakes in a YAML" in capsys.readouterr().err
