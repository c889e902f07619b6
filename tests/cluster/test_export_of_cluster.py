"""A checkpoint of two slots of a cluster is exported: from its folder, and by its UUID."""

import pathlib
import shutil
from typing import Any

import pytest
import torch
import transformers
from agent import Agent
from master import Master
from server import Answer, Request, Server
from workspaces import ENTRYPOINT, EXAMPLE

from model_hub import cli


def master_that_knows(uuid: str, folder: pathlib.Path) -> Server:
    """Answers what determined's client asks about one checkpoint, which lies in a shared folder."""
    checkpoint = {
        "uuid": uuid,
        "state": "STATE_COMPLETED",
        "metadata": {"steps_completed": 3},
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
    corpus: pathlib.Path,
    master: Master,
    agent: Agent,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    context, data = tmp_path / "context", tmp_path / "data"
    context.mkdir()
    shutil.copy(EXAMPLE / "qa_trial.py", context)
    shutil.copytree(corpus, data)
    config = {
        "name": "export",
        "entrypoint": ENTRYPOINT,
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(data / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 3,
        },
        "data": {
            "train_file": str(data / "train.json"),
            "validation_file": str(data / "validation.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "scheduling_unit": 1,
    }
    run = agent.start(config, context, slots=2)
    run.wait()
    # Neither the data nor the base model is there any more.
    shutil.rmtree(data)
    latest = master.latest_checkpoint(run.trial.id)
    assert latest is not None
    folder = agent.checkpoint(latest.uuid)
    assert cli.main(["export", str(folder), str(tmp_path / "one")]) == 0
    loaded: Any = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "one")
    expected = torch.load(folder / "state_dict.pth")["models_state_dict"][0]
    assert all(torch.equal(loaded.state_dict()[name], expected[name]) for name in expected)
    card = (tmp_path / "one" / "README.md").read_text("utf-8")
    assert "| f1 |" in card and "det experiment create experiment.yaml ." in card

    server = master_that_knows(latest.uuid, agent.storage)
    try:
        words = ["export", latest.uuid, str(tmp_path / "two"), "--master", server.url]
        assert cli.main(words) == 0
        other = "00000000-0000-0000-0000-000000000000"
        assert cli.main(["export", other, str(tmp_path / "none"), "--master", server.url]) == 2
        assert "does not know it" in capsys.readouterr().err
    finally:
        server.close()
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    assert "| f1 | 12.5 |" in (tmp_path / "two" / "README.md").read_text("utf-8")
