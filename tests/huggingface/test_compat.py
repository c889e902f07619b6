"""Changes to other libraries: what an old trial finds as it was."""

import pathlib
import subprocess
import sys
from typing import Any

import datasets
import numpy as np
import pytest
import tiny
import torch
import transformers
from determined import pytorch

import model_hub.huggingface  # noqa: F401 - applies the changes
from model_hub.huggingface import compat
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.model import wrap


class TestBatches:
    @pytest.mark.parametrize(
        "batch",
        [
            transformers.BatchEncoding({"input_ids": torch.zeros(3, 5), "labels": torch.zeros(3)}),
            {"a": torch.zeros(3, 5)},
            [torch.zeros(3), torch.zeros(3)],
            (np.zeros(3),),
            torch.zeros(3, 2),
        ],
    )
    def test_rows_are_counted(self, batch: Any) -> None:
        assert pytorch.data_length(batch) == 3

    def test_a_collator_of_transformers(self) -> None:
        collate = transformers.DataCollatorForTokenClassification(tiny.word_tokenizer())
        batch = collate([{"input_ids": [2, 5, 3], "labels": [0, 1, 0]}] * 2)
        assert pytorch.data_length(batch) == 2
        moved = pytorch.to_device(batch, torch.device("cpu"))
        assert set(moved) == set(batch) and moved["labels"].shape == (2, 3)

    @pytest.mark.parametrize("batch", [{}, transformers.BatchEncoding({}), []])
    def test_nothing(self, batch: Any) -> None:
        with pytest.raises(ValueError, match="at least one"):
            pytorch.data_length(batch)

    @pytest.mark.parametrize("batch", [3, "text", None])
    def test_no_batch(self, batch: Any) -> None:
        with pytest.raises(TypeError, match="incorrect type"):
            pytorch.data_length(batch)


class TestMovedDatasets:
    @pytest.mark.parametrize(
        ("old", "today"),
        [("xnli", "facebook/xnli"), ("conllpp", "tomaarsen/conllpp"), ("mine/own", "mine/own")],
    )
    def test_name(
        self, old: str, today: str, monkeypatch: pytest.MonkeyPatch, datasets_cache: None
    ) -> None:
        """Without a network the error has the name that was looked for."""
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        with pytest.raises(Exception, match=today):
            datasets.load_dataset(old, "en", split="train")

    def test_a_folder_of_that_name(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, datasets_cache: None
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "xnli").mkdir()
        datasets.Dataset.from_dict({"premise": ["a", "b"]}).to_json(tmp_path / "xnli/train.jsonl")
        assert datasets.load_dataset("xnli", split="train")["premise"][:] == ["a", "b"]

    def test_imported_before(self) -> None:
        code = (
            "from datasets import load_dataset\n"
            "import model_hub.huggingface\n"
            "try: load_dataset('glue', 'cola')\n"
            "except Exception as error: assert 'nyu-mll/glue' in str(error), error\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


class Context(pytorch.PyTorchTrialContext):
    """A context of Determined's, outside of a training, on a device of any name."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.models = []
        self.experimental = pytorch.PyTorchExperimentalContext(self)
        self._scaler = None
        self._use_apex = False
        self._managed_training = True

    def wrap_model(self, model: torch.nn.Module) -> torch.nn.Module:
        self.models.append(model)
        return model


HALF, SINGLE = torch.float16, None
APEX_SWITCHES = [
    # use_apex_amp, other options, arguments of configure_apex_amp, dtype on a GPU.
    (True, {}, {}, HALF),
    (False, {}, {}, HALF),
    (False, {}, {"enabled": False}, SINGLE),
    (False, {}, {"opt_level": "O0"}, SINGLE),
    (False, {}, {"opt_level": "O2", "loss_scale": "dynamic"}, HALF),
    (False, {"bf16": True}, {}, torch.bfloat16),
    (True, {"bf16": True}, {}, torch.bfloat16),
]


@pytest.mark.filterwarnings("ignore:torch.cuda.amp.GradScaler is enabled")
class TestApex:
    """Old trials call ``configure_apex_amp`` after they have wrapped model and optimizer."""

    @pytest.fixture(autouse=True)
    def new_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)

    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    @pytest.mark.parametrize(("use_apex_amp", "options", "arguments", "dtype"), APEX_SWITCHES)
    def test_autocast(
        self,
        use_apex_amp: bool,
        options: dict[str, bool],
        arguments: dict[str, Any],
        dtype: torch.dtype | None,
        device: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        begun: list[torch.dtype | None] = []
        autocast = torch.autocast

        def recorded(device_type: str, dtype: torch.dtype | None = None) -> torch.autocast:
            assert device_type == device
            begun.append(dtype)
            return autocast("cpu", enabled=False)

        monkeypatch.setattr(torch, "autocast", recorded)
        context = Context(device)
        switches = OptionKwargs(use_apex_amp=use_apex_amp, **options)
        model = wrap.wrap_model(context, torch.nn.Linear(2, 1), switches, context.wrap_model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        found = wrap.configure_apex_amp(context, switches, model, optimizer, **arguments)
        assert found == (model, optimizer)
        if device == "cpu" and dtype is HALF:
            dtype = SINGLE
        model(torch.zeros(1, 2))
        # Once: not by wrap_model and again by the call.
        assert begun == ([] if dtype is None else [dtype])
        assert (context._scaler is not None) == (dtype is HALF) == context.experimental._auto_amp
        assert context.models == [model]

    def test_lists(self) -> None:
        context = Context("cuda")
        switches = OptionKwargs()
        models = [
            wrap.wrap_model(context, torch.nn.Linear(2, 1), switches, context.wrap_model)
            for _ in range(2)
        ]
        found = wrap.configure_apex_amp(context, switches, models, ["optimizer"])
        assert found == (models, ["optimizer"])
        assert all("forward" in vars(model) for model in models) and context.models == models


def test_a_second_time_changes_nothing() -> None:
    before = (pytorch.data_length, datasets.load_metric, datasets.load.dataset_module_factory)
    compat.apply()
    after = (pytorch.data_length, datasets.load_metric, datasets.load.dataset_module_factory)
    assert before == after
