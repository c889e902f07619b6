"""The books that the stand-in master keeps, and the rules of the real one that read from them."""

import math
import threading
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from records import (
    Allocation,
    Checkpoint,
    EarlyExit,
    Metrics,
    Progress,
    Status,
    Submission,
    Trial,
)
from server import Request


class Conflict(Exception):
    """A report that contradicts an earlier one."""


class Books:
    """Everything that trials and users have told, in the order in which they did."""

    def __init__(self) -> None:
        self.trials: dict[int, Trial] = {}
        self.metrics: list[Metrics] = []
        self.checkpoints: list[Checkpoint] = []
        self.progress: list[Progress] = []
        self.statuses: list[Status] = []
        self.early_exits: list[EarlyExit] = []
        self.submissions: list[Submission] = []
        self.accelerators: list[dict[str, Any]] = []
        # Requests that the stand-in has no answer to, and those without a valid token.
        self.unknown: list[Request] = []
        self.unauthorized: list[Request] = []
        # Guards all of the above, and tells those who wait that something was written.
        self.changed = threading.Condition()

    def reported(self, group: str, trial_id: int | None = None) -> dict[int, dict[str, Any]]:
        """Metrics of a group ("training", "validation", ...) by `steps_completed`.

        Without those that a restarted trial has repeated. Of all trials, unless one is named.
        """
        with self.changed:
            return {
                report.steps_completed: report.metrics
                for report in self.metrics
                if report.group == group
                and not report.archived
                and trial_id in (None, report.trial_id)
            }

    def latest_checkpoint(self, trial_id: int) -> Checkpoint | None:
        """The checkpoint that a restart begins from: that with the most batches."""
        with self.changed:
            own = [saved for saved in self.checkpoints if saved.trial_id == trial_id]
        return max(own, key=lambda saved: saved.steps_completed, default=None)

    def best_validation(self, experiment_id: int) -> float | None:
        """The best value of the searcher's metric in any trial of the experiment."""
        with self.changed:
            trials = [t for t in self.trials.values() if t.experiment_id == experiment_id]
            if not trials:
                return None
            searcher = trials[0].config["searcher"]
            values = [
                float(metrics[searcher["metric"]])
                for trial in trials
                for metrics in self.reported("validation", trial.id).values()
                if searcher["metric"] in metrics
            ]
        if not values:
            return None
        pick = min if searcher["smaller_is_better"] else max
        # As a database sorts: NaN is more than any number.
        best = pick(values, key=lambda value: (math.isnan(value), value))
        # The real master keeps this one number in single precision.
        return float(str(np.float32(best)))

    def add_metrics(self, new: Metrics) -> None:
        """Write down a report.

        What earlier stays of the trial have reported from there on does not count any more: the
        trial has gone back to a checkpoint before it.

        Raises:
            Conflict: This stay has reported the same metrics for the same batch already.
        """
        with self.changed:
            for old in self.metrics:
                if old.trial_id == new.trial_id and old.run_id < new.run_id:
                    repeated = old.group == new.group and old.steps_completed == new.steps_completed
                    old.archived |= repeated or old.steps_completed > new.steps_completed
            standing = self.reported(new.group, new.trial_id).get(new.steps_completed, {})
            if twice := sorted(standing.keys() & new.metrics.keys()):
                raise Conflict(f"overwriting existing metric keys: {twice}")
            self.metrics.append(new)

    def create_trial(
        self,
        config: dict[str, Any],
        hparams: dict[str, Any],
        context: bytes,
        experiment_id: int | None = None,
    ) -> Trial:
        """A new trial, of a new experiment unless one is named. `config` has to be complete."""
        with self.changed:
            experiment_id = experiment_id or self.free_experiment_id()
            task_id = f"{experiment_id}.{uuid.uuid4().hex[:12]}"
            # Other numbers than the experiments have, so that nobody can take one for the other.
            trial_id = 101 + len(self.trials)
            trial = Trial(trial_id, experiment_id, task_id, config, hparams, context)
            self.trials[trial_id] = trial
        return trial

    def allocate(self, trial: Trial, slots: int) -> Allocation:
        """A new stay on the cluster, beginning from the trial's latest checkpoint."""
        latest = self.latest_checkpoint(trial.id)
        with self.changed:
            run_id = len(trial.allocations) + 1
            allocation = Allocation(
                id=f"{trial.task_id}.{run_id}",
                run_id=run_id,
                slots=slots,
                session_token=f"allocation-{uuid.uuid4().hex}",
                resources_id=str(uuid.uuid4()),
                # Somebody else's checkpoint is one to begin from, but none of its batches count.
                latest_checkpoint=(
                    latest.uuid if latest else trial.config["searcher"]["source_checkpoint_uuid"]
                ),
                steps_completed=latest.steps_completed if latest else 0,
            )
            trial.allocations.append(allocation)
        return allocation

    def free_experiment_id(self) -> int:
        """A number that no experiment has."""
        with self.changed:
            taken = [trial.experiment_id for trial in self.trials.values()]
            taken += [submission.experiment_id for submission in self.submissions]
        return max(taken, default=0) + 1

    def wait_until(self, condition: Callable[[], bool], timeout: float = 900.0) -> None:
        """Wait until a condition on the books holds; it is looked at after each request.

        Raises:
            TimeoutError: It does not hold after `timeout` seconds.
        """
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise TimeoutError(f"the master has waited {timeout} s in vain")
