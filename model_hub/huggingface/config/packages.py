"""Packages that some hyperparameters need."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch

from model_hub.huggingface.config import peft_config


def missing_packages(hparams: Mapping[str, Any]) -> list[str]:
    """Return a message for each package that hyperparameters need and this machine lacks."""
    quantization = hparams.get("quantization_config") or {}
    bits = [name for name in ("load_in_4bit", "load_in_8bit") if hparams.get(name)]
    if isinstance(quantization, Mapping) and (
        quantization.get("quant_method", "bitsandbytes") == "bitsandbytes" and quantization
    ):
        bits.append("quantization_config")
    found = []
    if bits and importlib.util.find_spec("bitsandbytes") is None:
        found.append(
            f"hyperparameters.{bits[0]} needs the package bitsandbytes: pip install bitsandbytes."
        )
    if hparams.get("peft") and not peft_config.peft_is_installed():
        found.append(f"hyperparameters.peft {peft_config.PEFT_NEEDED}")
    backend = hparams.get("torch_compile_backend")
    compiles = hparams.get("torch_compile") or hparams.get("torch_compile_mode") is not None
    if backend == "inductor" or (compiles and backend is None):
        found += _missing_compiler()
    return found


def _missing_compiler() -> list[str]:
    """Return a message if there is no C++ compiler, which torch.compile needs on a CPU."""
    if torch.cuda.is_available():
        return []
    # Imported here because it is slow and most runs compile nothing.
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return [
            "hyperparameters.torch_compile needs a C++ compiler, and none was found (g++, or "
            "the one in the environment variable CXX): apt-get install g++. Or write "
            "torch_compile_backend: aot_eager, or remove the keys that begin with torch_compile."
        ]
    return []
