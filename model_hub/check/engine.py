"""The order of the checks: those that import the trial come last, since they take seconds."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from model_hub.check import deprecated
from model_hub.check.document import Document
from model_hub.check.trial_source import TrialSource
from model_hub.experiment.findings import ERROR, WARNING, Finding
from model_hub.experiment.schema.fields import experiment_findings
from model_hub.experiment.yaml_io import in_yaml

_SECTIONS = ("hyperparameters", "data", "searcher", "resources", "optimizations", "environment")


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
        findings: sorted by line.
        hub_names: models and data sets on the Hub, which are not checked: that needs the network.
    """

    findings: list[Finding]
    hub_names: list[str]

    def count(self, severity: str) -> int:
        """Return the number of findings of a severity, ``error`` or ``warning``."""
        return sum(finding.severity == severity for finding in self.findings)

    def strict(self) -> "Report":
        """Return the same report with all warnings turned into errors."""
        findings = [dataclasses.replace(finding, severity=ERROR) for finding in self.findings]
        return dataclasses.replace(self, findings=sorted(findings, key=_by_line))

    def summary(self) -> str:
        """Return the numbers of errors and warnings in one line."""
        counts = [
            f"{number} {severity}{'s' if number > 1 else ''}"
            for severity in (ERROR, WARNING)
            if (number := self.count(severity))
        ]
        text = ", ".join(counts) or "nothing found"
        if self.hub_names:
            text += f" (not looked up, as that needs the network: {', '.join(self.hub_names)})"
        return text


def _by_line(finding: Finding) -> tuple[int, str, str]:
    return finding.line, finding.severity, finding.message


def check_config(text: str, folder: pathlib.Path) -> Report:
    """Check an experiment's YAML.

    Args:
        text: the YAML.
        folder: the context directory, to which paths are relative.
    """
    document = Document(text)
    if document.error is not None:
        line, reason = document.error
        message = f"not valid YAML: {reason}; look at this line and the one before it"
        return Report([Finding((), message, line=line)], [])
    config = document.value
    if not isinstance(config, dict):
        found = "is empty" if config is None else f"holds {in_yaml(config)[:60]}"
        message = f"the file should hold keys such as 'hyperparameters:' and 'data:', but {found}"
        return Report([Finding((), message, line=1)], [])
    findings = _Findings(document)
    findings.add(experiment_findings(config))
    # The next checks need mappings; for sections of another type there is an error already.
    sections = {
        name: value if isinstance(value := config.get(name), Mapping) else {} for name in _SECTIONS
    }
    config = {**config, **sections}
    source = TrialSource(config, folder)
    findings.add(key.finding(source.reader(key.path)) for key in deprecated.deprecated_keys(config))
    hub_names = _check_with_trial(document, config, folder, findings)
    return Report(findings.by_line(), hub_names)


def _check_with_trial(
    document: Document, config: dict[str, Any], folder: pathlib.Path, findings: "_Findings"
) -> list[str]:
    """Add what needs the trial's class; return the names on the Hub."""
    # Imported here because they import torch and transformers, which takes seconds.
    from model_hub.check.data_files import file_findings, hub_names
    from model_hub.check.peft import peft_findings
    from model_hub.check.sections import consistency_findings, key_findings
    from model_hub.check.trial import is_ours, load_trial
    from model_hub.experiment.trial_class import working_directory
    from model_hub.huggingface.config.hparams import misplaced_sample_limits

    trial_class, import_findings = load_trial(document, config, folder)
    findings.add(import_findings)
    hparams = config["hyperparameters"]
    # The next checks expect correct values, for instance of the bounds of a range.
    config["hyperparameters"] = findings.without_errors("hyperparameters", hparams)
    if is_ours(trial_class):
        findings.add(map(document.finding, misplaced_sample_limits(hparams)))
    findings.add(key_findings(document, config, trial_class))
    if is_ours(trial_class):
        findings.add(peft_findings(hparams.get("peft")))
    config["hyperparameters"] = findings.without_errors("hyperparameters", hparams)
    left_out = set(hparams) - set(config["hyperparameters"])
    findings.add(consistency_findings(document, config, trial_class), left_out)
    with working_directory(folder):
        findings.add(file_findings(document, config, trial_class))
        return hub_names(config)


class _Findings:
    """The findings so far; a key that has an error gets no further ones."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._findings: list[Finding] = []

    def add(self, findings: Iterable[Finding], left_out: Iterable[Any] = ()) -> None:
        """Add the findings of one check, except for keys that have an error from an earlier check.

        Args:
            findings: the findings.
            left_out: hyperparameters with an error, which this check did not get, so that it takes
                them for missing.
        """
        earlier = list(self._findings)
        for finding in findings:
            if finding.missing and any(f".{name} " in finding.message for name in left_out):
                continue
            if finding not in self._findings and not _has_error(finding, earlier):
                self._findings.append(finding)

    def without_errors(self, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a section that have no error at them or below them."""
        wrong = {
            finding.path[1]
            for finding in self._findings
            if finding.severity == ERROR and finding.path[:1] == (section,) != finding.path
        }
        return {name: value for name, value in values.items() if str(name) not in wrong}

    def by_line(self) -> list[Finding]:
        """Return all findings and the duplicate keys, with their lines and sorted by them."""
        located = [
            dataclasses.replace(finding, line=self._document.line(finding.path))
            for finding in self._findings
        ]
        different = {_by_line(finding): finding for finding in located + self._document.duplicates}
        return [different[line] for line in sorted(different)]


def _has_error(finding: Finding, earlier: Iterable[Finding]) -> bool:
    """Return whether an earlier check has found an error at the same key, above or below it."""
    if finding.missing or not finding.path:
        return False
    for other in earlier:
        if other.severity == ERROR and not other.missing and other.path:
            shorter = min(len(other.path), len(finding.path))
            if other.path[:shorter] == finding.path[:shorter]:
                return True
    return False
