"""What `torch.load` accepts after our import; names of weights in checkpoints; tokens."""

import collections
import datetime
import json
import pathlib
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch

import model_hub.huggingface  # noqa: F401 - lets torch.load read Determined's random state
from model_hub.huggingface.checkpoint import saving, state_dict


def save_random_state(file: pathlib.Path) -> None:
    np.random.seed(3)
    states = {"np_rng_state": np.random.get_state(), "random_rng_state": random.getstate()}
    torch.save({"rng_state": states}, file)


def test_random_state_is_read(tmp_path: pathlib.Path) -> None:
    save_random_state(tmp_path / "state.pth")
    loaded = torch.load(tmp_path / "state.pth")["rng_state"]["np_rng_state"]
    expected = np.random.RandomState(3).get_state()
    assert loaded[0] == expected[0] and np.array_equal(loaded[1], expected[1])


def test_random_state_of_numpy_1_is_read(tmp_path: pathlib.Path) -> None:
    save_random_state(tmp_path / "new.pth")
    with (
        zipfile.ZipFile(tmp_path / "new.pth") as new,
        zipfile.ZipFile(tmp_path / "old.pth", "w") as old,
    ):
        for entry in new.infolist():
            content = new.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert content.count(b"cnumpy._core.multiarray\n") == 1
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            old.writestr(entry, content)
    loaded = torch.load(tmp_path / "old.pth")["rng_state"]["np_rng_state"]
    assert np.array_equal(loaded[1], np.random.RandomState(3).get_state()[1])


@pytest.mark.parametrize("content", [datetime.timedelta(1), np.float64(1), np.ones(2, np.float32)])
def test_other_types_stay_refused(content: object, tmp_path: pathlib.Path) -> None:
    torch.save({"content": content}, tmp_path / "state.pth")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(tmp_path / "state.pth")


def weights(*names: str) -> "collections.OrderedDict[str, int]":
    state = collections.OrderedDict((name, number) for number, name in enumerate(names))
    state._metadata = {"": {"version": 1}, names[0]: {"version": 2}}  # type: ignore[attr-defined]
    return state


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        (("a", "b.c"), ("module.a", "module.b.c")),
        (("module.a", "module.b.c"), ("a", "b.c")),
        # A model's own child of that name, and with the wrapper around it.
        (("module.a", "module.b"), ("module.module.a", "module.module.b")),
        (("module.module.a",), ("module.a",)),
    ],
)
def test_prefix_is_matched(saved: tuple[str, ...], expected: tuple[str, ...]) -> None:
    matched = state_dict.match_prefix(weights(*saved), expected)
    assert tuple(matched) == expected and list(matched.values()) == list(range(len(expected)))
    metadata = matched._metadata  # type: ignore[attr-defined]
    assert metadata[expected[0]] == {"version": 2}


@pytest.mark.parametrize("saved", [("a", "b"), ("a", "other"), ("module.a", "x")])
def test_other_names_are_not_changed(saved: tuple[str, ...]) -> None:
    state = weights(*saved)
    assert state_dict.match_prefix(state, ("a", "b")) is state


def test_only_tokens_are_removed(tmp_path: pathlib.Path) -> None:
    content = {
        "hparams": {"token": "hf_secret", "use_auth_token": False, "learning_rate": 1},
        "experiment_config": {
            "hyperparameters": {"use_auth_token": {"type": "const", "val": "hf_secret"}},
            "data": {"token": "<sep>"},
        },
        "trial_type": "PyTorchTrial",
    }
    (tmp_path / "load_data.json").write_text(json.dumps(content))
    saving.strip_tokens(tmp_path)
    assert json.loads((tmp_path / "load_data.json").read_text()) == {
        "hparams": {"use_auth_token": False, "learning_rate": 1},
        "experiment_config": {"hyperparameters": {}, "data": {"token": "<sep>"}},
        "trial_type": "PyTorchTrial",
    }
