"""All that is changed in other libraries at import, each change with its reason.

The versions named are those for which the change was found to be needed.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from model_hub.huggingface.model.untrained import record_missing_keys

# Marks a `from_pretrained` that is wrapped already.
_WRAPPED = "_model_hub_wrapped"

# A master that restarts answers with these for a while. `allowed_methods: false` is all methods.
_RETRIES = {
    "total": 20,
    # Answers with an error: a minute or two, for an error that stays must not keep a GPU busy.
    "status": 8,
    "backoff_factor": 0.5,
    "status_forcelist": [500, 502, 503, 504],
    "allowed_methods": False,
}


def apply() -> None:
    """Apply all changes. A second call changes nothing."""
    allow_random_state()
    retry_master_errors()
    wrap_from_pretrained()


def allow_random_state() -> None:
    """Let ``torch.load`` read the state of numpy's random generator (torch >= 2.6).

    Checkpoints of Determined 0.38 hold that state, and ``torch.load`` refuses by default to
    unpickle what it does not know. That stays so for everything but these types: arrays of unsigned
    32-bit integers.
    """
    core = getattr(np, "_core", None) or np.core  # By numpy's version.
    reconstruct = core.multiarray._reconstruct
    torch.serialization.add_safe_globals(
        [
            np.ndarray,
            np.dtype,
            np.dtypes.UInt32DType,
            # A checkpoint names it as the numpy that wrote it.
            (reconstruct, "numpy._core.multiarray._reconstruct"),
            (reconstruct, "numpy.core.multiarray._reconstruct"),
        ]
    )


def retry_master_errors() -> None:
    """Let a training outlast a master that answers with errors for some minutes (determined 0.38).

    By default Determined repeats requests that found no master, and ends the training at the first
    one that was answered with an error. ``DET_RETRY_CONFIG``, if it is set already, is left alone.
    """
    os.environ.setdefault("DET_RETRY_CONFIG", json.dumps(_RETRIES))


def wrap_from_pretrained() -> None:
    """Wrap ``from_pretrained`` of all model classes (transformers 5), for two reasons.

    It takes the old name of ``token``: trial files of the old library pass their ``model_kwargs``,
    with ``use_auth_token`` in them, to the class of a model, and transformers 5 would hand the
    unknown name on to the model's ``__init__``.

    It records on the model which weights the file did not have, also where a trial builds its model
    by itself: these weights have to be in a checkpoint (see
    :mod:`model_hub.huggingface.model.untrained`).

    The module that defines the method takes seconds to import, so if it is not imported yet, the
    method is wrapped as soon as something imports it.
    """
    module = sys.modules.get(_ModelingUtilsFinder.MODULE)
    if module is not None:
        _wrap_from_pretrained(module)
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
