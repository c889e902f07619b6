"""The order of the checks: those that import the trial come last, since they take seconds."""

import dataclasses
import pathlib

from model_hub.check import deprecated
from model_hub.check.trial_source import TrialSource
from model_hub.experiment.document import Document
from model_hub.experiment.findings import ERROR, WARNING, Finding, Findings
from model_hub.experiment.yaml_io import is_whole


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


def check_config(text: str, folder: pathlib.Path, rows: int | None = None) -> Report:
    """Check an experiment's YAML.

    Args:
        text: the YAML.
        folder: the context directory, to which paths are relative.
        rows: read only so many rows of each split of the data; None reads all.
    """
    document = Document(text)
    problem = document.problem()
    if problem is not None:
        return Report([problem], [])
    findings = Findings()
    hub_names = _add_all(document, findings, folder, rows)
    located = [
        dataclasses.replace(finding, line=document.line(finding.path)) for finding in findings.all
    ]
    different = {_by_line(finding): finding for finding in located + document.duplicates}
    return Report([different[line] for line in sorted(different)], hub_names)


def _add_all(
    document: Document, findings: Findings, folder: pathlib.Path, rows: int | None
) -> list[str]:
    """Add all that is wrong; return the names on the Hub."""
    # Imported here because they import torch and transformers, which takes seconds.
    from model_hub.check.data_files import file_findings, hub_names
    from model_hub.check.trial import load_trial
    from model_hub.experiment.trial_class import working_directory
    from model_hub.huggingface.config.config_findings import (
        add_outer_findings,
        add_section_findings,
        with_sections,
    )
    from model_hub.huggingface.tasks import UNSMOOTHED_MODES

    config = with_sections(document.value)
    trial_class, import_findings = load_trial(config, folder)
    add_outer_findings(findings, document.value, trial_class)
    source = TrialSource(config, folder)
    findings.add(key.finding(source.reader(key.path)) for key in deprecated.deprecated_keys(config))
    findings.add(import_findings)
    slots = config["resources"].get("slots_per_trial")
    with working_directory(folder):
        add_section_findings(
            findings,
            config,
            trial_class,
            slots=slots if is_whole(slots, 1) else 1,
            unsmoothed_modes=UNSMOOTHED_MODES,
            trains_here=False,
        )
        findings.add(file_findings(document, config, trial_class, rows))
        return hub_names(config)
