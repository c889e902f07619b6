"""``model-hub check --fix``: rewrite deprecated keys in the modern style."""

import dataclasses
import pathlib

from model_hub.check import deprecated
from model_hub.check.trial_source import READS_LENGTH, TrialSource
from model_hub.check.yaml_editor import CannotEdit, Editor
from model_hub.experiment.document import Document
from model_hub.experiment.findings import dotted


@dataclasses.dataclass(frozen=True)
class FixResult:
    """A rewritten text.

    Attributes:
        text: the text; unchanged if there was nothing to change.
        changes: a line for each key that was changed.
        kept: a line for each deprecated key that was left, with the reason.
    """

    text: str
    changes: list[str]
    kept: list[str]


def fix_deprecated(text: str, folder: pathlib.Path) -> FixResult:
    """Rewrite all deprecated keys that can be; everything else stays as it is.

    Args:
        text: the YAML; text with errors of syntax or duplicate keys is not changed.
        folder: the context directory, with the trial's code.
    """
    changes: list[str] = []
    kept: dict[str, str] = {}
    while True:
        document = Document(text)
        if document.error or document.duplicates or not isinstance(document.value, dict):
            return FixResult(text, changes, list(kept.values()))
        source = TrialSource(document.value, folder)
        for key in deprecated.deprecated_keys(document.value):
            name = dotted(key.path)
            if name in kept or key.fix is None:
                continue
            is_legacy = deprecated.is_legacy(document.value.get("entrypoint"))
            if is_legacy and key.path in READS_LENGTH:
                kept[name] = f"{name}: left, because the old-style entrypoint reads it"
                continue
            if reader := source.reader(key.path):
                kept[name] = f"{name}: left, because {reader} reads it"
                continue
            try:
                editor = Editor(text)
                key.fix(editor)
                text = editor.verified()
            except CannotEdit as error:
                kept[name] = f"{name}: left, because {error}"
                continue
            changes.append(key.message)
            break
        else:
            return FixResult(text, changes, list(kept.values()))
