"""An experiment's ``entrypoint``: which trial class it runs."""

import re
import shlex
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.yaml_io import in_yaml

#: How an entrypoint is written today; the trial follows.
LAUNCHER = "python3 -m determined.launch.torch_distributed"
SCRIPT = "python3 -m model_hub.huggingface.train"

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_trial_spec(text: Any) -> bool:
    """Whether the text is ``module:Class``, not a port number or a URL."""
    return isinstance(text, str) and _SPEC.fullmatch(text) is not None


def split_entrypoint(entrypoint: Any) -> list[str]:
    """The entrypoint as the words of a command; none if it is neither text nor list.

    Raises:
        UserError: when it is text with quotes that do not close.
    """
    if isinstance(entrypoint, list):
        return [str(word) for word in entrypoint]
    if not isinstance(entrypoint, str):
        return []
    try:
        return shlex.split(entrypoint)
    except ValueError as error:
        reason = str(error).lower()
        raise UserError(
            f"entrypoint: {entrypoint!r} is no command ({reason}); close the quotes, or "
            "remove them."
        ) from error


def trial_spec(entrypoint: Any) -> str:
    """The ``module:Class`` that an ``entrypoint`` runs.

    It is the whole entrypoint in the old style (``qa_trial:QATrial``), else what stands after
    ``-m model_hub.huggingface.train`` or ``--trial``.

    Args:
        entrypoint: text or list of words, as the YAML has it.

    Raises:
        UserError: when it names no trial class.
    """
    for word in split_entrypoint(entrypoint):
        spec = word.removeprefix("--trial=")
        if is_trial_spec(spec):
            return spec
    raise UserError(
        f"entrypoint: {in_yaml(entrypoint)} names no trial class. Write for instance "
        f"entrypoint: {LAUNCHER} {SCRIPT} qa_trial:QATrial"
    )
