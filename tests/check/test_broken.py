"""Every planted mistake is found on its line, and nothing else is found.

The comments ``# expect: error KEY ... WORDS; warning WORDS`` of the files in ``broken/`` say what.
"""

import pathlib
import re
import sys

import pytest

from model_hub.check import engine
from model_hub.experiment import yaml_io
from model_hub.experiment.findings import Finding

HERE = pathlib.Path(__file__).parent
BROKEN = sorted((HERE / "broken").glob("*.yaml"))


def planted(text: str) -> list[tuple[int, str, list[str]]]:
    """Line, severity and the texts that the message has to hold, in their order."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.search(r"# expect: (.*)", line)
        for mistake in match[1].split("; ") if match else []:
            severity, words = mistake.split(" ", 1)
            found.append((number, severity, words.split(" ... ")))
    return found


def is_it(finding: Finding, line: int, severity: str, words: list[str]) -> bool:
    pattern = ".*".join(re.escape(word) for word in words)
    return (finding.line, finding.severity) == (line, severity) and bool(
        re.search(pattern, finding.message)
    )


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: file.stem)
def test_each_planted_mistake_and_nothing_else(file: pathlib.Path, context: pathlib.Path) -> None:
    text = yaml_io.read_yaml(file)
    mistakes = planted(text)
    assert mistakes
    modules = set(sys.modules)
    findings = engine.check_config(text, context).findings
    shown = "\n".join(finding.format(file.name) for finding in findings)
    for line, severity, words in mistakes:
        matching = [finding for finding in findings if is_it(finding, line, severity, words)]
        assert len(matching) == 1, f"expected once: {line} {severity} {words}; found:\n{shown}"
    assert len(findings) == len(mistakes), shown
    assert [finding.line for finding in findings] == sorted(finding.line for finding in findings)
    assert "broken_trial" not in set(sys.modules) - modules


def test_there_are_enough() -> None:
    assert len(BROKEN) >= 30
