"""The order of the checks: cheap ones first, and those that import the trial only then."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from model_hub.check import deprecated
from model_hub.check.document import Document
from model_hub.check.findings import ERROR, WARNING, Finding, Problem
from model_hub.check.schema import experiment
from model_hub.experiment import yaml_io
from model_hub.experiment.yaml_io import in_yaml

_SECTIONS = (
    "hyperparameters",
    "data",
    "searcher",
    "resources",
    "optimizations",
    "environment",
)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a check has found.

    Attributes:
        findings: sorted by line.
        hub_names: names that were not looked up, as that needs the network.
    """

    findings: list[Finding]
    hub_names: list[str]

    def count(self, severity: str) -> int:
        """How many findings there are of ``error`` or ``warning``."""
        return sum(finding.severity == severity for finding in self.findings)

    def strict(self) -> "Report":
        """The same, with errors in the place of warnings."""
        findings = [dataclasses.replace(finding, severity=ERROR) for finding in self.findings]
        return dataclasses.replace(self, findings=sorted(findings))

    def summary(self) -> str:
        """One line."""
        counts = [
            f"{number} {severity}{'s' if number > 1 else ''}"
            for severity in (ERROR, WARNING)
            if (number := self.count(severity))
        ]
        text = ", ".join(counts) or "nothing found"
        if self.hub_names:
            text += f" (not looked up, as that needs the network: {', '.join(self.hub_names)})"
        return text


def read_file(file: pathlib.Path) -> str:
    """The text of a YAML file, with its line breaks as they are.

    Raises:
        UserError: when it cannot be read.
    """
    return yaml_io.read_yaml(file)


def check_config(text: str, folder: pathlib.Path) -> Report:
    """Checks an experiment's YAML.

    Args:
        text: the YAML.
        folder: the context directory, in which relative paths start.
    """
    document = Document(text)
    if document.error is not None:
        line, reason = document.error
        message = f"no YAML: {reason}; look at this line and the one before it"
        return Report([Finding(line, ERROR, message)], [])
    config = document.value
    if not isinstance(config, dict):
        found = "is empty" if config is None else f"holds {in_yaml(config)[:60]}"
        message = f"the file should hold keys such as 'hyperparameters:' and 'data:', but {found}"
        return Report([Finding(1, ERROR, message)], [])
    found_so_far = _Problems(document)
    found_so_far.add(experiment.experiment_problems(config))
    # Sections that are not mappings are told by now.
    sections = {
        name: value if isinstance(value := config.get(name), Mapping) else {} for name in _SECTIONS
    }
    config = {**config, **sections}
    found_so_far.add(key.problem() for key in deprecated.deprecated_keys(config))
    hub_names = _with_trial(document, config, folder, found_so_far)
    return Report(found_so_far.findings(), hub_names)


def _with_trial(
    document: Document, config: dict[str, Any], folder: pathlib.Path, found: "_Problems"
) -> list[str]:
    # Put off: they import torch and transformers, which takes seconds and is in vain for a text
    # that is no YAML.
    from model_hub.check.data_files import file_problems, hub_names
    from model_hub.check.sections import consistency_problems, key_problems, value_limit_problems
    from model_hub.check.trial import load_trial
    from model_hub.experiment.trial_class import working_directory

    trial_class, broken = load_trial(document, config, folder)
    found.add(broken)
    hparams = config["hyperparameters"]
    # What is wrong already, for instance a range that is none, would be stumbled over.
    config["hyperparameters"] = found.without_wrong("hyperparameters", hparams)
    found.add(key_problems(document, config, trial_class))
    found.add(value_limit_problems(config, trial_class))
    config["hyperparameters"] = found.without_wrong("hyperparameters", hparams)
    left_out = set(hparams) - set(config["hyperparameters"])
    found.add(consistency_problems(document, config, trial_class), left_out)
    with working_directory(folder):
        found.add(file_problems(document, config, trial_class))
        return hub_names(config)


class _Problems:
    """Problems so far; what is wrong already is not told a second time."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems: list[Problem] = []

    def add(self, problems: Iterable[Problem], left_out: Iterable[Any] = ()) -> None:
        """Adds problems of keys that are not known to be wrong.

        Args:
            problems: the problems.
            left_out: hyperparameters that are wrong and were left out for these checks, so that
                they seem to be missing.
        """
        before = list(self._problems)
        for problem in problems:
            if problem.missing and any(f".{name} " in problem.message for name in left_out):
                continue
            if problem in self._problems or _is_told(problem, before):
                continue
            self._problems.append(problem)

    def without_wrong(self, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of a section that have no error at them or below them."""
        wrong = {
            problem.path[1]
            for problem in self._problems
            if problem.severity == ERROR and problem.path[:1] == (section,) != problem.path
        }
        return {name: value for name, value in values.items() if str(name) not in wrong}

    def findings(self) -> list[Finding]:
        """All of them, and the duplicate keys, by line."""
        found = {
            Finding(self._document.line(problem.path), problem.severity, problem.message)
            for problem in self._problems
        }
        for line, message in self._document.duplicate_problems():
            found.add(Finding(line, ERROR, message))
        return sorted(found)


def _is_told(problem: Problem, before: Iterable[Problem]) -> bool:
    """Whether an earlier check has found an error at the same key, above or below it."""
    if problem.missing or not problem.path:
        return False
    for other in before:
        if other.severity == ERROR and not other.missing and other.path:
            shorter = min(len(other.path), len(problem.path))
            if other.path[:shorter] == problem.path[:shorter]:
                return True
    return False
