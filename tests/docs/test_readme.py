"""What the README shows is what is there."""

import ast
import pathlib
import re

import pytest
import ruamel.yaml

from model_hub import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "huggingface" / "question-answering"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_trial_is_that_of_the_example() -> None:
    shown = ast.parse(next(block for block in blocks("python") if "class QATrial" in block))
    tree = ast.parse((EXAMPLE / "qa_trial.py").read_text(encoding="utf-8"))
    (trial,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    # Comments are no part of the tree.
    assert ast.unparse(shown.body[-1]) == ast.unparse(trial)


def test_its_files_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link


def test_its_commands_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    shell = "\n".join(blocks("shell"))
    for target in re.findall(r"^make (\w+)", shell, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    known = capsys.readouterr().out
    for option in re.findall(r"model-hub train .*?(--[\w-]+)", shell):
        assert option in known
    for file in re.findall(r"[\w/]+\.yaml", shell):
        assert (EXAMPLE / file).is_file(), file


def test_what_check_prints_is_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = (block for block in blocks("text") if block.startswith("$ model-hub check squad"))
    text = (EXAMPLE / "squad.yaml").read_text(encoding="utf-8")
    for right, wrong in {
        "learning_rate: ": "learning_rte: ",
        "metric: f1": "metric: f2",
        "slots_per_trial: 1": "slots_per_trial: 8",
    }.items():
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    (tmp_path / "squad.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "qa_trial.py").write_bytes((EXAMPLE / "qa_trial.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "squad.yaml"]) == 1
    assert capsys.readouterr().out == shown.partition("\n")[2]


def test_its_yaml_is_yaml() -> None:
    for block in blocks("yaml"):
        assert isinstance(ruamel.yaml.YAML(typ="safe", pure=True).load(block), dict)
