"""The ``entrypoint`` of an experiment, which names the trial class."""

import re
import shlex
from typing import Any

from model_hub.errors import UserError
from model_hub.experiment.yaml_io import in_yaml

#: An entrypoint in today's style is LAUNCHER, SCRIPT and the trial.
LAUNCHER = "python3 -m determined.launch.torch_distributed"
SCRIPT = "python3 -m model_hub.huggingface.train"

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_trial_spec(text: Any) -> bool:
    """Return whether the text is ``module:Class``, not a host with a port or a URL."""
    return isinstance(text, str) and _SPEC.fullmatch(text) is not None


def split_entrypoint(entrypoint: Any) -> list[str]:
    """Return the words of the command; an empty list if it is neither text nor a list.

    Raises:
        UserError: for text with a quote that is not closed.
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
            f"entrypoint: {entrypoint!r} is not a command ({reason}); close the quotes, or "
            "remove them."
        ) from error


def trial_spec(entrypoint: Any) -> str:
    """Return the ``module:Class`` that an ``entrypoint`` (text or a list of words) runs.

    In the old style it is the whole entrypoint (``qa_trial:QATrial``), else an argument of
    ``-m model_hub.huggingface.train`` or the value of ``--trial``.

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
