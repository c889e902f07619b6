"""Names of keys that are not known, and what was probably meant."""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from model_hub.experiment.findings import ERROR, WARNING, Finding, Path, dotted
from model_hub.experiment.schema.fields import FIELDS, experiment_findings
from model_hub.experiment.trial_source import names_in_source
from model_hub.experiment.yaml_io import in_yaml
from model_hub.huggingface.config.counterparts import counterpart
from model_hub.huggingface.config.fields import HYPERPARAMETER_TYPES, DatasetKwargs

#: The sections whose keys the trial declares.
SECTIONS = ("hyperparameters", "data")


# Hyperparameters about models that people also write in section data, and what sets the same of
# data sets.
_OF_DATA_SETS = {
    "cache_dir": "the environment variable HF_DATASETS_CACHE sets where data sets are cached",
    "revision": "write data.dataset_revision",
}


@dataclasses.dataclass(frozen=True)
class KnownKeys:
    """The keys that a trial knows in ``hyperparameters`` and ``data``.

    Attributes:
        hyperparameter_types: dataclasses of the keys of ``hyperparameters``.
        data_types: the same of ``data``.
        declares_data: whether the trial itself says what it reads in ``data``; trials of the old
            library do not.
        source: the names that its source code mentions, None where that is not known.
    """

    hyperparameter_types: tuple[type, ...] = HYPERPARAMETER_TYPES
    data_types: tuple[type, ...] = (DatasetKwargs,)
    declares_data: bool = False
    source: frozenset[str] | None = None

    @classmethod
    def of(cls, trial_class: Any) -> "KnownKeys":
        """Return the keys of a trial; None stands for one that could not be imported."""
        if trial_class is None:
            return cls()
        types: tuple[type, ...] = trial_class.data_types
        return cls(
            hyperparameter_types=trial_class.hyperparameter_types,
            data_types=types,
            declares_data=types != (DatasetKwargs,),
            source=names_in_source(trial_class),
        )

    def types(self, section: str) -> tuple[type, ...]:
        """Return the dataclasses of a section."""
        return self.hyperparameter_types if section == "hyperparameters" else self.data_types

    def names(self, section: str) -> set[str]:
        """Return the names of a section's keys."""
        return {field.name for cls in self.types(section) for field in dataclasses.fields(cls)}

    def may_have(self, section: str, name: str) -> bool:
        """Return whether a section has a key, or may have it because it is not declared."""
        return name in self.names(section) or (section == "data" and not self.declares_data)

    def mentions(self, name: Any) -> bool:
        """Return whether the trial's source mentions a name; true where it is not known."""
        return self.source is None or str(name) in self.source


def unknown_keys(
    hparams: Mapping[str, Any], data: Mapping[str, Any], known: KnownKeys
) -> Iterator[Finding]:
    """Yield the unknown keys of both sections.

    One that resembles a known key, or is that of another library, is an error unless the trial's
    source mentions it. Others may be read by other code, and are warnings.

    Args:
        hparams: section ``hyperparameters``.
        data: section ``data``.
        known: the keys of the trial.
    """
    names_of = {section: known.names(section) for section in SECTIONS}
    for section, values in zip(SECTIONS, (hparams, data), strict=True):
        for name, value in values.items():
            # A key of the other section that is null is not set, wherever it stands.
            is_known = any(
                name in names and (value is None or other == section)
                for other, names in names_of.items()
            )
            if not is_known:
                finding = _unknown_key(section, name, value, known)
                # A trial that declares nothing says by its source what it reads.
                is_read = known.mentions(name) and not (known.source is None and finding.instead)
                if section == "hyperparameters" or known.declares_data or not is_read:
                    yield finding


def _unknown_key(section: str, name: Any, value: Any, known: KnownKeys) -> Finding:
    path: Path = (section, name if isinstance(name, str) else in_yaml(name))
    instead = what_is_meant(path, value, known)
    declared_in = f"{'data' if section == 'data' else 'hyperparameter'}_types"
    message = f"{dotted(path)} is not known; {instead or 'remove it'}"
    if not instead or known.mentions(name):
        message += f", or if the trial reads it, declare it in the trial's {declared_in}"
    # A null sets nothing.
    is_error = instead and not known.mentions(name) and value is not None
    severity = ERROR if is_error else WARNING
    return Finding(path, message, severity, unknown=True, instead=instead)


def top_level_findings(config: Mapping[str, Any], known: KnownKeys) -> Iterator[Finding]:
    """Yield what is wrong outside of the trial's sections.

    Args:
        config: the experiment's configuration.
        known: the keys of the trial, whose names may be in a wrong section.
    """
    for finding in experiment_findings(config):
        instead = ""
        if finding.unknown:
            value: Any = config
            for part in finding.path:
                value = value.get(part) if isinstance(value, Mapping) else None
            instead = _elsewhere(finding.path, value, known)
        if instead:
            message = f"{dotted(finding.path)} is not known; {instead}"
            finding = dataclasses.replace(finding, message=message, instead=instead)
        yield finding


def what_is_meant(path: Path, value: Any, known: KnownKeys) -> str:
    """Return what to write instead of an unknown key of the trial's sections; "" if unclear."""
    section, name = str(path[0]), str(path[-1])
    return _elsewhere(path, value, known) or similar_key(name, known.names(section))


def similar_key(name: str, known: Iterable[str]) -> str:
    """Return a question for the most similar known name; an empty text if there is none."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), sorted(known), 1, 0.7)
    return f"did you mean {near[0]}?" if near else ""


def _elsewhere(path: Path, value: Any, known: KnownKeys) -> str:
    """Return where a key belongs that another library or section has; an empty text for others."""
    *sections, last = path
    name = str(last)
    if sections == ["data"] and name in _OF_DATA_SETS:
        return _OF_DATA_SETS[name]
    if instead := counterpart(name, value, known.may_have):
        return instead
    for section in SECTIONS:
        if name in known.names(section) and [section] != sections:
            return f"it is a key of section {section}: write {section}.{name}"
    if sections and name in FIELDS:
        return f"it is a key of the top level, not of section {dotted(tuple(sections))}"
    return ""
