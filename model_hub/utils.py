"""Functions that trial files import: arrays, downloads, training lengths, and ``AttrDict``."""

import os
import pathlib
import reprlib
import shutil
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import attrdict
import filelock
import numpy as np
import torch

from model_hub._hub import redacted
from model_hub.errors import UserError
from model_hub.experiment.config import records_per_epoch, searcher_max_length

__all__ = ["AttrDict", "compute_num_training_steps", "download_url", "expand_like", "numpify"]


class AttrDict(dict[str, Any]):
    """A ``dict`` whose items are attributes as well, at every depth.

    ``config.a.b`` and ``config["a"]["b"]`` are the same object, so ``config.a.b = 1`` persists.
    Dicts that are assigned (also inside lists and tuples) become ``AttrDict``; lists stay lists.
    ``isinstance(x, attrdict.AttrDict)`` holds, which trial files of the old library rely on.
    Its ``repr`` hides access tokens of the Hugging Face Hub.

    Raises:
        AttributeError: if an attribute that does not exist is read, or one that ``dict`` itself has
            (``items``, ``update``, ...) is set: write ``d["items"] = ...`` instead.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"there is no key {name!r}, only {sorted(map(str, self))}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(f"{name!r} is a method of dict; write d[{name!r}] = ... instead")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _attributed(value))

    @reprlib.recursive_repr("{...}")
    def __repr__(self) -> str:
        return f"{{{', '.join(f'{key!r}: {redacted(key, value)}' for key, value in self.items())}}}"

    def __or__(self, other: Any) -> "AttrDict":  # type: ignore[override]
        return type(self)({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> "AttrDict":  # type: ignore[override]
        self.update(other)
        return self

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Update as ``dict.update`` does; nested dicts become ``AttrDict``."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Do as ``dict.setdefault`` does; return the stored (converted) value."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> "AttrDict":
        """Return a shallow copy, as ``dict.copy`` does."""
        new = type(self)()
        dict.update(new, self)
        return new


# attrdict.AttrDict is an abstract base class, so this makes ours a virtual subclass, which does not
# inherit its behaviour (it copies nested dicts at every access and turns lists into tuples).
attrdict.AttrDict.register(AttrDict)


def _attributed(value: Any) -> Any:
    if isinstance(value, AttrDict):
        return value
    if isinstance(value, Mapping):
        return AttrDict(value)
    if type(value) in (list, tuple):
        converted = [_attributed(item) for item in value]
        # If no item was converted, the list itself is kept, so that changes of it are seen.
        if any(new is not old for new, old in zip(converted, value, strict=True)):
            return type(value)(converted)
    return value


def expand_like(arrays: Iterable[np.ndarray], fill: float = -100) -> np.ndarray:
    """Concatenate arrays on dimension 0 after padding dimension 1 to the longest.

    Args:
        arrays: arrays of shape ``[n_i, length_i, ...]`` (or ``[n_i]``), equal in the dimensions
            after the second.
        fill: value of the padding.

    Returns:
        An array, ``[sum(n_i), max(length_i), ...]``. It is int64 if ``fill`` and all arrays are
        integers or booleans, else float64, whose items ``json`` can write. Arrays of one dimension
        keep their dtype.

    Raises:
        ValueError: if there are no arrays.
    """
    arrays = [np.asarray(array) for array in arrays]
    if not arrays:
        raise ValueError("expand_like needs at least one array")
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    rows = sum(len(array) for array in arrays)
    longest = max(array.shape[1] for array in arrays)
    shape = (rows, longest, *arrays[0].shape[2:])
    # Of int64 and float32, numpy makes float64.
    result = np.full(shape, fill, np.result_type(np.array(fill).dtype, *arrays))
    begin = 0
    for array in arrays:
        result[begin : begin + len(array), : array.shape[1]] = array
        begin += len(array)
    return result


def numpify(x: list[Any] | np.ndarray | torch.Tensor) -> np.ndarray:
    """Convert a value to a numpy array, copying it from its device if needed.

    Raises:
        TypeError: for anything but a list, an array or a tensor.
    """
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, list):
        return np.array(x)
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        # numpy has no bfloat16.
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    raise TypeError(f"expected a list, numpy.ndarray or torch.Tensor, got {type(x).__name__}")


def download_url(download_directory: str, url: str) -> str:
    """Download a file once, even if several processes of a machine do so at the same time.

    Args:
        download_directory: folder for the file; created if it does not exist.
        url: the file's URL (``http``, ``https``, ``ftp`` or ``file``).

    Returns:
        The path of the file. A file that exists is not downloaded again.

    Raises:
        OSError: if the file cannot be downloaded, or only a part of it.
        ValueError: if the URL does not end in a file name.
    """
    directory = pathlib.Path(download_directory)
    directory.mkdir(parents=True, exist_ok=True)
    name = pathlib.PurePosixPath(urllib.parse.urlparse(url).path).name
    if not name:
        raise ValueError(f"the URL {url!r} does not end in a file name")
    path = directory / name
    with filelock.FileLock(f"{path}.lock"):
        if not path.exists():
            # Into another file first, so that a broken download does not look like a finished one.
            # Its name is unique, since the lock may not work between machines that share a disk.
            part = directory / f"{name}.{uuid.uuid4().hex}.part"
            try:
                with urllib.request.urlopen(url) as response, part.open("wb") as file:
                    shutil.copyfileobj(response, file)
                    length = response.headers.get("Content-Length")
                    if length is not None and file.tell() != int(length):
                        raise OSError(f"{url}: received only {file.tell()} of {length} bytes")
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
    return str(path)


def compute_num_training_steps(experiment_config: Mapping[str, Any], global_batch_size: int) -> int:
    """Return the number of training batches in ``searcher.max_length``.

    Args:
        experiment_config: the experiment's configuration.
        global_batch_size: number of samples in a batch, over all slots.

    Returns:
        ``n`` for ``{batches: n}``, ``int(n / global_batch_size)`` for ``{records: n}`` and
        ``n * int(records_per_epoch / global_batch_size)`` for ``{epochs: n}``.

    Raises:
        UserError: if there is no ``searcher.max_length``, if it is not a length, or if it is in
            epochs and there is no ``records_per_epoch``.
    """
    unit, count = searcher_max_length(experiment_config)
    if unit == "batches":
        return count
    if unit == "records":
        return count // global_batch_size
    records = records_per_epoch(experiment_config)
    if records is None:
        raise UserError(
            f"searcher.max_length is in epochs ({{epochs: {count}}}) and records_per_epoch is not "
            "set, so the number of training steps is unknown; write records_per_epoch (the number "
            "of training samples), or searcher.max_length in batches."
        )
    return count * int(records / global_batch_size)
