"""What a shell is told when TAB is pressed."""

import os
import pathlib
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
    """As the function calls it that `register-python-argcomplete` prints."""
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
        timeout=60,
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
