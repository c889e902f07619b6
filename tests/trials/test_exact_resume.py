"""A local run that is stopped, however often, ends as if it had never been, bit for bit.

In this process, on one slot. On two slots: `test_two_slots.py`; on a cluster, with workers, and
killed: `tests/cluster/test_exact_resume.py`.
"""

import pathlib
from typing import Any

import pytest
from option_runs import Job, stopping_trial
from resuming import assert_same_end, copy_trials, end_of_local_run, masking_config
from workspaces import Workspace, changed

pytestmark = pytest.mark.usefixtures("probes_run_through")

STATEFUL = {"entrypoint": "stateful_trial:StatefulTrial"}


@pytest.mark.parametrize(
    ("stops", "changes"),
    [
        # In the middle of an epoch, at once again, and just behind an epoch's end.
        ([3, 4, 10], {}),
        # Between two updates of the weights, and at one.
        ([7, 12], {"optimizations": {"aggregation_frequency": 3}}),
        # State in unusual places. Between two updates batches before the stop are computed again.
        ([7], {**STATEFUL, "optimizations": {"aggregation_frequency": 3}}),
    ],
    ids=["often", "accumulating", "state-in-unusual-places"],
)
def test_stopped(
    stops: list[int], changes: dict[str, Any], corpus: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    config = changed(masking_config(corpus), **changes)
    config["entrypoint"] = stopping_trial(copy_trials(context), config["entrypoint"])
    yaml = Workspace(context, config).write_yaml(config)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    Job(["train", str(yaml), "--output-dir", str(whole)]).run()
    words = ["train", str(yaml), "--output-dir", str(stopped)]
    for stop in stops:
        Job(words, stop - 1).run()
        words = ["train", "--resume", str(stopped)]
    Job(words).run()
    end = end_of_local_run(stopped)
    if changes.get("entrypoint"):
        assert "module.1.running_mean" in end[0]["models_state_dict"][0]
    assert_same_end(end_of_local_run(whole), end)
