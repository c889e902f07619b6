"""Reads the files of `examples/huggingface`, which `model-hub new` starts from."""

import pathlib

from model_hub.errors import UserError

_PACKAGE = pathlib.Path(__file__).parents[1]
# setup.py copies the examples into wheels; a checkout has the originals.
_FOLDERS = (_PACKAGE / "new" / "examples", _PACKAGE.parent / "examples" / "huggingface")


def read_example(path: str) -> bytes:
    """Read a trial or a YAML of the examples.

    Args:
        path: relative to ``examples/huggingface``.

    Raises:
        UserError: if this installation does not have the file.
    """
    for folder in _FOLDERS:
        if (folder / path).is_file():
            return (folder / path).read_bytes()
    raise UserError(
        f"this installation of model-hub has no {path}: it was built without the folder "
        "examples/huggingface. Install model-hub from a complete copy of its repository."
    )
