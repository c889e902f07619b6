"""``import model_hub.huggingface`` loads what trials need at once, and no more."""

import subprocess
import sys

CODE = """
import sys

import datasets
import determined.pytorch
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

before = set(sys.modules)
import model_hub.huggingface
from model_hub.huggingface import compat

added = {name.partition(".")[0] for name in set(sys.modules) - before}
assert added <= {"model_hub", "attrdict", "orjson", "safetensors"}, added
slow = {
    "peft",
    "accelerate",
    "tensorboard",
    "torch.utils.tensorboard",
    "transformers.modeling_utils",
    "transformers.trainer",
    "transformers.training_args",
}
assert not slow & set(sys.modules), slow & set(sys.modules)

# The class of all models, imported after that, takes the old name of a token.
from transformers import PreTrainedModel

assert hasattr(PreTrainedModel.from_pretrained.__func__, compat._WRAPPED)
assert PreTrainedModel.__module__ == PreTrainedModel.from_pretrained.__module__
compat.apply()
assert not hasattr(PreTrainedModel.from_pretrained.__wrapped__, compat._WRAPPED)
"""


def test_nothing_slow_is_imported_beside_the_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_commands_help_needs_no_torch() -> None:
    code = (
        "import sys; from model_hub import cli\n"
        "try: cli.main(['--help'])\n"
        "finally: assert not {'torch', 'transformers', 'determined'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "check" in done.stdout, done.stderr
