"""``model-hub check --fix``: rewrite deprecated keys in the modern style."""

import dataclasses
import pathlib
import re

from model_hub.check import deprecated
from model_hub.check.yaml_editor import CannotEdit, Editor
from model_hub.errors import UserError
from model_hub.experiment.document import Document
from model_hub.experiment.entrypoint import trial_spec
from model_hub.experiment.findings import dotted

# Signs that a trial file computes the length of the training from the YAML itself.
_READS_LENGTH = re.compile(r"compute_num_training_steps|records_per_epoch|max_length\b.*searcher")


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
        reads_length = _reads_length(document.value, folder)
        for key in deprecated.deprecated_keys(document.value):
            name = dotted(key.path)
            if name in kept or key.fix is None:
                continue
            if key.is_length and reads_length:
                kept[name] = f"{name}: left, because {reads_length} reads it"
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


def _reads_length(config: dict[str, object], folder: pathlib.Path) -> str | None:
    """Return the name of the trial's file if it computes the training's length from the YAML."""
    try:
        module = trial_spec(config.get("entrypoint")).partition(":")[0]
        file = folder.joinpath(*module.split(".")).with_suffix(".py")
        source = file.read_text(encoding="utf-8")
    except (UserError, OSError, UnicodeDecodeError):
        return None
    return file.name if _READS_LENGTH.search(source) else None
