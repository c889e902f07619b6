"""Data sets by name: on the Hugging Face Hub, or in a folder."""

import logging
import pathlib

import datasets

from model_hub import _hub
from model_hub.errors import UserError
from model_hub.huggingface import _files
from model_hub.huggingface._config import DatasetKwargs

logger = logging.getLogger("model_hub")

# Names of data sets in old YAMLs, and names under which the same data can be loaded today:
# conll2003 was a script, the others have moved to their owners.
_MOVED = {"conll2003": "tomaarsen/conll2003", "glue": "nyu-mll/glue", "xnli": "facebook/xnli"}


def name_on_the_hub(name: str) -> str:
    """Today's name of a data set that old YAMLs call otherwise; a folder's name stays."""
    return name if pathlib.Path(name).exists() else _MOVED.get(name, name)


def load_named(kwargs: DatasetKwargs) -> datasets.DatasetDict:
    """Loads ``data.dataset_name``.

    Args:
        kwargs: section ``data``.

    Returns:
        All splits that it has, ``train`` among them.

    Raises:
        UserError: when it cannot be loaded, or there is no ``train``.
    """
    name = name_on_the_hub(str(kwargs.dataset_name))
    if name != kwargs.dataset_name:
        logger.info("data.dataset_name: %s is called %s today.", kwargs.dataset_name, name)
    folder = pathlib.Path(name).expanduser()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(
                name, kwargs.dataset_config_name, revision=kwargs.dataset_revision
            )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        cause = _files.root_cause(error) if "generating" in str(error) else error
        reason = _hub.why_not_loaded(name, cause)
        advice = (
            "Data sets that are Python scripts cannot be loaded any more; take another name, or "
            "write data.dataset_revision: refs/convert/parquet."
            if "script" in reason
            else "Write a data set on the Hugging Face Hub that this machine can reach or has in "
            "its cache, or a folder."
        )
        raise UserError(
            f"data.dataset_name: cannot load {name!r}"
            + (f" ({kwargs.dataset_config_name})" if kwargs.dataset_config_name else "")
            + f": {reason}. {advice}"
        ) from error
    if isinstance(loaded, datasets.Dataset):
        loaded = datasets.DatasetDict({"train": loaded})
    if "train" not in loaded:
        raise UserError(f"data.dataset_name: {name!r} has no split 'train', only {sorted(loaded)}.")
    return loaded
