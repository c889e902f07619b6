"""Where the trials are that a project starts from: those of the examples, and no copies of them."""

import pathlib

from model_hub._new.task import Task
from model_hub.errors import UserError

_PACKAGE = pathlib.Path(__file__).parents[1]
# setup.py puts them there when a wheel is built. In a checkout, and so in an editable install, they
# are where they are written.
_PACKED = _PACKAGE / "_new" / "trials"
_CHECKOUT = _PACKAGE.parent / "examples" / "huggingface"


def trial_source(task: Task) -> bytes:
    """The text of the trial's file.

    Raises:
        UserError: when this installation does not have it.
    """
    name = f"{task.module}.py"
    for path in (_PACKED / name, _CHECKOUT / task.folder / name):
        if path.is_file():
            return path.read_bytes()
    raise UserError(
        f"this installation of model-hub has no {name}: it was built without the folder "
        "examples/huggingface. Install it from a complete copy of its repository."
    )
