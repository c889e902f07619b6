"""A checkpoint of two slots of a cluster is exported: from its folder, and by its UUID."""

import pathlib
from typing import Any

import pytest
import torch
import transformers
from probing import TwoSlotRun
from server import Answer, Request, Server

from model_hub import cli


def master_that_knows(uuid: str, folder: pathlib.Path) -> Server:
    """Answers what determined's client asks about one checkpoint, which lies in a shared folder."""
    checkpoint = {
        "uuid": uuid,
        "state": "STATE_COMPLETED",
        "metadata": {"steps_completed": 4},
        "resources": {},
        "training": {
            "trialId": 1,
            "experimentId": 1,
            "hparams": {},
            "experimentConfig": {
                "checkpoint_storage": {"type": "shared_fs", "host_path": str(folder)}
            },
            "validationMetrics": {"avgMetrics": {"f1": 12.5}},
        },
    }
    user = {"username": "determined", "admin": False, "active": True, "id": 1}
    answers: dict[str, Any] = {
        "/info": {"cluster_id": "c", "master_id": "m", "version": "0.38.1"},
        "/api/v1/auth/login": {"token": "t", "user": user},
        f"/api/v1/checkpoints/{uuid}": {"checkpoint": checkpoint},
    }

    def answer(request: Request) -> Answer:
        if request.path in answers:
            return Answer(answers[request.path])
        return Answer({"error": {"message": "not found"}}, 404)

    return Server(answer)


def test_of_two_slots(
    two_slot_run: TwoSlotRun,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither the data nor the base model is there any more."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = two_slot_run.storage / two_slot_run.uuid
    assert cli.main(["export", str(folder), str(tmp_path / "one")]) == 0
    loaded: Any = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "one")
    expected = torch.load(folder / "state_dict.pth")["models_state_dict"][0]
    assert all(torch.equal(loaded.state_dict()[name], expected[name]) for name in expected)
    card = (tmp_path / "one" / "README.md").read_text("utf-8")
    assert "| f1 |" in card and "det experiment create experiment.yaml ." in card

    server = master_that_knows(two_slot_run.uuid, two_slot_run.storage)
    try:
        words = ["export", two_slot_run.uuid, str(tmp_path / "two"), "--master", server.url]
        assert cli.main(words) == 0
        other = "00000000-0000-0000-0000-000000000000"
        assert cli.main(["export", other, str(tmp_path / "none"), "--master", server.url]) == 2
        assert "does not know it" in capsys.readouterr().err
    finally:
        server.close()
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    assert "| f1 | 12.5 |" in (tmp_path / "two" / "README.md").read_text("utf-8")
