"""All that is changed in other libraries at import, each change with its reason.

The versions named are those for which the change was found to be needed. What is changed on a
trial's own context, by its options, is in `model_hub.huggingface.training.context`.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import datasets
import numpy as np
import torch
from determined import pytorch

from model_hub.huggingface.data.load import hub_dataset_name
from model_hub.huggingface.model.untrained import record_missing_keys
from model_hub.huggingface.training.resume.controller import ResumableController

# Marks a function that is wrapped already.
_WRAPPED = "_model_hub_wrapped"

# A master that restarts answers requests with these errors for a while.
_RETRIES = {
    "total": 20,
    # Responses with an error: for a minute or two, as a lasting error must not keep a GPU busy.
    "status": 8,
    "backoff_factor": 0.5,
    "status_forcelist": [500, 502, 503, 504],
    # All methods.
    "allowed_methods": False,
}


def apply() -> None:
    """Apply all changes. A second call changes nothing."""
    allow_random_state()
    retry_master_errors()
    wrap_from_pretrained()
    replace_controller()
    restore_wrap_reducer()
    accept_batch_encoding()
    restore_load_metric()
    find_moved_datasets()


def replace_controller() -> None:
    """Let every way to start a training use our controller (determined 0.38).

    ``pytorch.Trainer.fit`` names Determined's class instead of the trial's
    ``trial_controller_class``. For other trials our class behaves as Determined's.
    """
    pytorch._PyTorchTrialController = ResumableController  # type: ignore[misc, assignment]


def restore_wrap_reducer() -> None:
    """Restore ``context.experimental.wrap_reducer`` for old trial files (determined 0.38).

    Determined has moved the method to the context.
    """

    def wrap_reducer(self: pytorch.PyTorchExperimentalContext, *args: Any, **kwargs: Any) -> Any:
        return self._parent.wrap_reducer(*args, **kwargs)

    if not hasattr(pytorch.PyTorchExperimentalContext, "wrap_reducer"):
        pytorch.PyTorchExperimentalContext.wrap_reducer = wrap_reducer  # type: ignore[attr-defined]


def accept_batch_encoding() -> None:
    """Let Determined's loop count the rows of any mapping (determined 0.38, transformers 5).

    Collators such as ``DataCollatorForTokenClassification`` return a ``BatchEncoding``, which is a
    mapping, but no dict. Determined moves such a batch to its device, but would not count its rows.
    """
    original = pytorch.data_length
    if hasattr(original, _WRAPPED):
        return

    @functools.wraps(original)
    def data_length(data: Any) -> int:
        return original(dict(data) if isinstance(data, Mapping) else data)

    setattr(data_length, _WRAPPED, True)
    pytorch.data_length = data_length


def restore_load_metric() -> None:
    """Restore ``datasets.load_metric`` for old trial files (datasets 3).

    The function was removed. It also downloaded a script for each metric; ours downloads nothing.
    """

    def load_metric(*args: Any, **kwargs: Any) -> Any:
        # Imported here because the tasks, which have the formulas, import much of transformers.
        from model_hub.huggingface.compat import metrics

        return metrics.load_metric(*args, **kwargs)

    if not hasattr(datasets, "load_metric"):
        datasets.load_metric = load_metric


def find_moved_datasets() -> None:
    """Let ``datasets.load_dataset`` load data sets that have moved by their old names.

    The Hub redirects some of these names, but not those of data sets that were scripts, which
    datasets 4 and later do not run; and offline no name is redirected. Trials may call the function
    themselves. The wrapped function is the one that finds a data set, so that it does not matter
    when a trial has imported ``load_dataset``.
    """
    original = datasets.load.dataset_module_factory
    if hasattr(original, _WRAPPED):
        return

    @functools.wraps(original)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        return original(hub_dataset_name(path), *args, **kwargs)

    setattr(dataset_module_factory, _WRAPPED, True)
    datasets.load.dataset_module_factory = dataset_module_factory


def allow_random_state() -> None:
    """Let ``torch.load`` read the state of numpy's random generator (torch >= 2.6).

    Checkpoints of Determined 0.38 hold that state, and ``torch.load`` refuses by default to
    unpickle types that it does not know. Only arrays of unsigned 32-bit integers are added.
    """
    core = getattr(np, "_core", None) or np.core  # numpy 2, numpy 1
    reconstruct = core.multiarray._reconstruct
    torch.serialization.add_safe_globals(
        [
            np.ndarray,
            np.dtype,
            np.dtypes.UInt32DType,
            # A checkpoint has the name of the numpy that wrote it.
            (reconstruct, "numpy._core.multiarray._reconstruct"),
            (reconstruct, "numpy.core.multiarray._reconstruct"),
        ]
    )


def retry_master_errors() -> None:
    """Let a training outlast a master's errors of a minute or two (determined 0.38).

    By default Determined retries requests that reach no master, but ends the training at the first
    response with an error. If ``DET_RETRY_CONFIG`` is set already, it is not changed.
    """
    os.environ.setdefault("DET_RETRY_CONFIG", json.dumps(_RETRIES))


def wrap_from_pretrained() -> None:
    """Wrap ``from_pretrained`` of all model classes (transformers 5), for two reasons.

    It accepts the old name of ``token``: trial files of the old library pass their
    ``model_kwargs``, which contain ``use_auth_token``, to the class of a model, and transformers 5
    would pass the unknown name to the model's ``__init__``.

    It records on the model which weights the file did not have, also where a trial builds its model
    itself: a checkpoint has to hold these weights (see
    :mod:`model_hub.huggingface.model.untrained`).

    The module that defines the method takes seconds to import, so if it is not imported yet, the
    method is wrapped as soon as something imports it.
    """
    if _ModelingUtilsFinder.MODULE in sys.modules:
        # Not what sys.modules has: another thread may be importing it, and this waits for that.
        _wrap_from_pretrained(importlib.import_module(_ModelingUtilsFinder.MODULE))
    elif not any(isinstance(finder, _ModelingUtilsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ModelingUtilsFinder())


class _ModelingUtilsFinder(importlib.abc.MetaPathFinder):
    """Finder of one module of transformers, which wraps ``from_pretrained`` once it is loaded."""

    MODULE = "transformers.modeling_utils"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the module's usual specification, None for any other module."""
        if fullname != self.MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_wrap(module: ModuleType) -> None:
                execute(module)
                _wrap_from_pretrained(module)

            spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def _wrap_from_pretrained(modeling_utils: Any) -> None:
    model_class = modeling_utils.PreTrainedModel
    original = model_class.from_pretrained.__func__
    if hasattr(original, _WRAPPED):
        return

    @functools.wraps(original)
    def from_pretrained(
        cls: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        token = kwargs.pop("use_auth_token", None)
        # The new name wins, even if its value is false.
        if token and kwargs.get("token") is None:
            kwargs["token"] = token
        model, info = original(cls, *args, output_loading_info=True, **kwargs)
        record_missing_keys(model, info)
        return (model, info) if output_loading_info else model

    setattr(from_pretrained, _WRAPPED, True)
    model_class.from_pretrained = classmethod(from_pretrained)  # type: ignore[arg-type]
