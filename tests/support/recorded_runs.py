"""Runs that an earlier state of the code has left behind: their place, and what they end with.

As a program, it prints what decides about the last bit of a training here.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil

import torch
from safetensors.torch import load_file

# One thread on the CPU, and no instructions that only some CPUs have: machines of one kind then
# compute the same to the last bit. To be set before torch is imported.
SAME_EVERYWHERE = {
    "ATEN_CPU_CAPABILITY": "default",
    "CUDA_VISIBLE_DEVICES": "",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}


def copy_of_runs(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Copies the folder of some runs and of their project, as if they had run in the copy.

    Args:
        source: holds ``project``, with the trial and its data, and beside it runs.
        target: the copy; it is not there yet.
    """
    shutil.copytree(source, target)
    set_project(target, str(target / "project"))
    return target


def set_project(folder: pathlib.Path, project: str) -> None:
    """Writes where the project is into the runs in a folder; nothing else in them is a path."""
    for file in folder.glob("*/run.json"):
        run = json.loads(file.read_text(encoding="utf-8"))
        run["context_dir"] = project
        file.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def weights_of(model: pathlib.Path) -> dict[str, torch.Tensor]:
    """The tensors of an exported model, by name."""
    return load_file(model / "model.safetensors")


def weights_hash(model: pathlib.Path) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of an exported model's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights_of(model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def machine() -> dict[str, str | int | bool]:
    """What the last bit depends on: the same code ends with the same weights where this is equal.

    Dropout is drawn by MKL; where there is none, other numbers are drawn.
    """
    return {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "mkl": torch.backends.mkl.is_available(),
        "transformers": importlib.metadata.version("transformers"),
        "architecture": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
    }


if __name__ == "__main__":
    # Started without these settings, it would tell of a process that trains otherwise.
    assert SAME_EVERYWHERE.items() <= os.environ.items()
    print(json.dumps(machine()))
