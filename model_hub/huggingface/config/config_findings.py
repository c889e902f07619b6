"""All checks of the keys and values of an experiment, for `model-hub check` and for training."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.findings import ERROR, WARNING, Findings, finding_at
from model_hub.experiment.schema.plain import plain_findings
from model_hub.experiment.yaml_io import get_path
from model_hub.huggingface.config import packages
from model_hub.huggingface.config.consistency import (
    consistency_findings,
    search_findings,
    unread_findings,
)
from model_hub.huggingface.config.hparams import misplaced_sample_limits
from model_hub.huggingface.config.key_names import KnownKeys, top_level_findings, unknown_keys
from model_hub.huggingface.config.key_values import value_findings
from model_hub.huggingface.config.model_folders import model_findings
from model_hub.huggingface.config.peft_values import peft_findings, untyped_adapter

logger = logging.getLogger("model_hub")

_MAPPINGS = ("hyperparameters", "data", "searcher", "resources", "optimizations", "environment")


def is_ours(trial_class: Any) -> bool:
    """Return whether the trial reads the YAML as this library does; True if it is not known."""
    return trial_class is None or hasattr(trial_class, "hyperparameter_types")


def with_sections(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with an empty mapping for each section that is none."""
    sections = {
        name: value if isinstance(value := config.get(name), Mapping) else {} for name in _MAPPINGS
    }
    return {**config, **sections}


def add_outer_findings(
    findings: Findings, config: Mapping[str, Any], trial_class: Any, *, on_cluster: bool = False
) -> None:
    """Add what is wrong outside of the trial's sections.

    Args:
        findings: the findings so far.
        config: the experiment's configuration.
        trial_class: the trial's class, None where it could not be imported.
        on_cluster: whether a master has checked the configuration already and filled in defaults.
            It may know keys that are not known here, so only those that resemble a known one are
            errors.
    """
    known = KnownKeys.of(trial_class if is_ours(trial_class) else None)
    findings.add(plain_findings(config))
    findings.add(untyped_adapter(get_path(config, "hyperparameters", "peft")))
    findings.add(
        finding
        for finding in top_level_findings(config, known)
        if not on_cluster or (finding.unknown and finding.instead)
    )
    config = with_sections(config)
    findings.add(unread_findings(config))
    findings.add(search_findings(config))


def add_section_findings(
    findings: Findings,
    config: dict[str, Any],
    trial_class: Any,
    *,
    slots: int,
    unsmoothed_modes: Mapping[str, str],
    trains_here: bool,
) -> None:
    """Add what is wrong with ``hyperparameters`` and ``data``, and with what has to suit them.

    Args:
        findings: the findings so far; keys with an error are not checked again.
        config: the experiment's configuration, from :func:`with_sections`. Hyperparameters that
            have an error are removed from it.
        trial_class: the trial's class, None where it could not be imported.
        slots: processes that share a batch.
        unsmoothed_modes: as for :func:`validate.conflicting_hparams`.
        trains_here: whether the training is on this machine, which then has to have all packages.
    """
    if not is_ours(trial_class):
        return
    known = KnownKeys.of(trial_class)
    hparams = config["hyperparameters"]
    # The next checks expect correct values, for instance of the bounds of a range.
    config["hyperparameters"] = findings.without_errors("hyperparameters", hparams)
    findings.add(finding_at(config, message) for message in misplaced_sample_limits(hparams))
    findings.add(unknown_keys(config["hyperparameters"], config["data"], known))
    findings.add(value_findings(config, known))
    findings.add(peft_findings(hparams.get("peft")))
    config["hyperparameters"] = findings.without_errors("hyperparameters", hparams)
    left_out = set(map(str, hparams)) - set(map(str, config["hyperparameters"]))
    findings.add(
        consistency_findings(
            config, trial_class, known, slots=slots, unsmoothed_modes=unsmoothed_modes
        ),
        left_out,
    )
    severity = ERROR if trains_here else WARNING
    missing = packages.missing_packages(config["hyperparameters"])
    findings.add(finding_at(config, message, severity) for message in missing)
    own_model = getattr(trial_class, "build_model", None)
    is_default = getattr(own_model, "__module__", "") == "model_hub.huggingface.trial"
    findings.add(model_findings(config, is_loaded=is_default))


def check_settings(
    trial_class: Any,
    config: Mapping[str, Any],
    *,
    slots: int,
    unsmoothed_modes: Mapping[str, str],
    strict: bool = False,
    chosen: Mapping[str, Any] | None = None,
    further: Iterable[str] = (),
) -> list[str]:
    """Check the YAML before anything is loaded, and report all errors at once.

    Args:
        trial_class: the trial; its ``hyperparameter_types`` and ``data_types`` declare the keys
            that it reads. The keys of a trial without these are not checked.
        config: the experiment's configuration.
        slots: processes that share a batch.
        unsmoothed_modes: as for :func:`validate.conflicting_hparams`.
        strict: whether all unknown keys are errors.
        chosen: on a cluster, the hyperparameters that the search has chosen.
        further: messages of errors that were found before.

    Returns:
        The warnings; those about unknown keys are left to the trial, which may have changed them.

    Raises:
        UserError: naming all that is wrong. Missing hyperparameters are left to the trial, too.
    """
    findings = Findings()
    add_outer_findings(findings, config, trial_class, on_cluster=chosen is not None)
    findings.add(finding_at(config, message) for message in further)
    add_section_findings(
        findings,
        with_sections(config if chosen is None else {**config, "hyperparameters": chosen}),
        trial_class,
        slots=slots,
        unsmoothed_modes=unsmoothed_modes,
        trains_here=True,
    )
    errors, warnings = [], []
    for finding in findings.all:
        if finding.severity == ERROR or (strict and finding.unknown):
            if not (finding.missing and finding.path == ("hyperparameters",)):
                errors.append(_sentence(finding.message))
        elif not finding.unknown:
            warnings.append(finding.message)
    if errors:
        raise UserError("\n".join(errors))
    return warnings


def _sentence(message: str) -> str:
    return message if message.endswith("?") else f"{message}."


def check_key_names(trial_class: Any, hparams: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Check the names of the keys in both sections, and log those that may be mistakes.

    Raises:
        UserError: naming the keys that are misspelt.
    """
    found = list(unknown_keys(hparams, data, KnownKeys.of(trial_class)))
    errors = [finding.message for finding in found if finding.severity == ERROR]
    if errors:
        raise UserError("\n".join(map(_sentence, errors)))
    for finding in found:
        logger.warning(finding.message)
