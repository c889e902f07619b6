"""A project that `model-hub new` has written, submitted by `det experiment create`."""

import pathlib

from agent import Agent
from master import Master
from submitting import read_yaml, submit

from model_hub import cli


def test_a_new_project_trains_on_a_cluster(
    master: Master, agent: Agent, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "my-ner"
    assert cli.main(["new", "token-classification", str(folder)]) == 0
    (folder / "runs" / "first").mkdir(parents=True)
    (folder / "runs" / "first" / "metrics.jsonl").write_text("{}\n")
    submission = submit(master, tmp_path / "home", "ner.yaml", folder)

    sent = set(submission.files)
    assert {"ner_trial.py", "train.jsonl", "validation.jsonl", "model/config.json"} <= sent
    assert not [name for name in sent if name.startswith("runs")]
    run = agent.start(
        read_yaml(submission.config_text),
        submission.unpack(tmp_path / "unpacked"),
        experiment_id=submission.experiment_id,
    )
    run.wait()
    reported = master.reported("validation", run.trial.id)
    assert reported[max(reported)]["f1"] > 0.9
