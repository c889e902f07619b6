"""The source code of an experiment's trial: which keys of the YAML it reads by itself."""

import ast
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.entrypoint import trial_spec
from model_hub.experiment.findings import Path

# The function computes the length of the training from both keys. Other code has a max_length too,
# such as that of tokenizers, but says nothing of a searcher.
_COMPUTES = r"\bcompute_num_training_steps\b"
#: What code that reads an old key for the training's length has in it, as a regular expression.
READS_LENGTH: dict[Path, str] = {
    ("searcher", "max_length"): rf"{_COMPUTES}|(?s:\bsearcher\b.*\bmax_length\b)",
    ("records_per_epoch",): rf"{_COMPUTES}|\brecords_per_epoch\b",
}


class TrialSource:
    """The trial's module and the modules beside it that it imports, as text.

    Args:
        config: the YAML's value; without a trial's name in it there is no source.
        folder: the context directory.
    """

    def __init__(self, config: Mapping[str, Any], folder: pathlib.Path) -> None:
        try:
            modules = [trial_spec(config.get("entrypoint")).partition(":")[0]]
        except UserError:
            modules = []
        self._texts = dict(_read_modules(folder, modules))

    def reader(self, path: Path) -> str | None:
        """Return the name of the first file that reads a key, None if none does.

        Args:
            path: the key: a hyperparameter, or one of the old keys for the training's length. Of
                other keys, Determined reads the value, and not the trial.
        """
        pattern = READS_LENGTH.get(path)
        if len(path) == 2 and path[0] == "hyperparameters":
            pattern = rf"\b{re.escape(str(path[1]))}\b"
        if pattern is None:
            return None
        return next((name for name, text in self._texts.items() if re.search(pattern, text)), None)


def _read_modules(folder: pathlib.Path, modules: list[str]) -> Iterator[tuple[str, str]]:
    """Yield file names and texts of modules in a folder, and of those in it that they import."""
    for module in modules:
        file = folder.joinpath(*module.split(".")).with_suffix(".py")
        try:
            text = file.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (OSError, ValueError, SyntaxError):
            continue
        yield file.name, text
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            # What is appended is read later in the same loop.
            modules += [name for name in names if name not in modules]
