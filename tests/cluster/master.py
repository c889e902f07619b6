"""A stand-in for Determined's master: the part of its REST API that a trial and `det` use.

It keeps the rules of the real one that a training can notice: who may ask (tokens), which metrics
a restarted trial takes back, what is the best validation so far, where a restart begins (`books`).
"""

import base64
import dataclasses
import time
import uuid
from collections.abc import Callable

import determined as det
from books import Books, Conflict
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
from server import FOREVER, Answer, Fault, Request, Server

FILE, DIRECTORY = ord("0"), ord("5")  # as tar names them
# The preemption is known to the trial's process a moment after we have answered. Where all cores
# are busy, the thread that reads our answer has to wait for one.
SECONDS_TO_LET_IT_SINK_IN = 2.0
# What comes well within a second on an idle machine, and comes at all unless it is lost.
SECONDS_TO_DELIVER_A_PREEMPTION = 300.0
SECONDS_TO_WAIT_FOR_METRICS = 60.0

Action = Callable[[Allocation], None]


@dataclasses.dataclass
class _Appointment:
    batch: int
    trial_id: int | None
    action: Action


class Master(Books):
    """Listens from its creation until `close`; what it was told stands in its attributes.

    A trial is made known with `create_trial`, each start of it with `allocate`: `agent.Agent` does
    both. All that may go wrong on the way here (`fail`, `drop`, `slow`, `vanish`) goes wrong for
    every trial.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cluster_id = str(uuid.uuid4())
        self._appointments: list[_Appointment] = []
        self._user_token = f"user-{uuid.uuid4().hex}"
        self._server = Server(self._answer)

    @property
    def url(self) -> str:
        return self._server.url

    def close(self) -> None:
        """Stop listening and end all requests that still wait."""
        self._server.close()
        with self.changed:
            self.changed.notify_all()

    def __enter__(self) -> "Master":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a test can tell it to do.

    def at_batch(self, batch: int, action: Action, trial_id: int | None = None) -> None:
        """Do something, once, when a trial reports that it has trained `batch` batches or more.

        The trial waits for the answer to that report meanwhile, so that it is stopped between two
        batches. It reports every `scheduling_unit` batches.
        """
        with self.changed:
            self._appointments.append(_Appointment(batch, trial_id, action))

    def preempt_at(self, batch: int, trial_id: int | None = None) -> None:
        """Preempt a trial at its report of `batch` batches: it saves these and no more."""
        self.at_batch(batch, self.preempt, trial_id)

    def preempt(self, allocation: Allocation) -> None:
        """Tell a trial to stop. Outside of a report, it gets to know that some time later."""
        with self.changed:
            allocation.preempted = True
            self.changed.notify_all()

    def fail(
        self,
        status: int = 500,
        path: str = "",
        times: float = FOREVER,
        seconds: float = FOREVER,
    ) -> Fault:
        """Answer requests whose path matches the expression `path` with an error.

        For the next `times` of them, or from the first one on for so many `seconds`.
        """
        fault = Fault("status", path=path, times=times, seconds=seconds, status=status)
        return self._server.add_fault(fault)

    def drop(
        self,
        path: str = "",
        times: float = FOREVER,
        seconds: float = FOREVER,
        acted_on: bool = False,
    ) -> Fault:
        """Break the connection instead of answering, before or after the request is acted on."""
        fault = Fault(
            "lose answer" if acted_on else "lose request", path=path, times=times, seconds=seconds
        )
        return self._server.add_fault(fault)

    def slow(
        self,
        delay: float,
        path: str = "",
        times: float = FOREVER,
        seconds: float = FOREVER,
    ) -> Fault:
        """Let requests wait `delay` seconds."""
        fault = Fault("delay", path=path, times=times, seconds=seconds, delay=delay)
        return self._server.add_fault(fault)

    def vanish(self, seconds: float) -> None:
        """Cut all connections and refuse new ones for so long; returns at once."""
        self._server.vanish(seconds)
        with self.changed:
            self.changed.notify_all()

    # The REST API.

    def _answer(self, request: Request) -> Answer:
        public = _PUBLIC.get((request.method, request.path))
        if public is not None:
            return public(self, request)

        user_token, token = (
            request.headers.get(name, "").removeprefix("Bearer ")
            for name in ("authorization", "grpc-metadata-x-allocation-token")
        )
        with self.changed:
            sender = next(
                (
                    (trial, allocation)
                    for trial in self.trials.values()
                    for allocation in trial.allocations
                    if allocation.session_token == token
                ),
                None,
            )
        if sender is None and user_token != self._user_token:
            self.unauthorized.append(request)
            return Answer({"error": {"message": "invalid token"}}, 401)

        answer = None
        if sender is None:
            user = _USER.get((request.method, request.path))
            answer = user and user(self, request)
        else:
            # A trial may only ask about itself, so only its own numbers can stand in the path.
            trial, allocation = sender
            for (method, path), task in _TASK.items():
                own = path.format(
                    trial=trial.id,
                    experiment=trial.experiment_id,
                    task=trial.task_id,
                    allocation=allocation.id,
                    resources=allocation.resources_id,
                )
                if (method, own) == (request.method, request.path):
                    answer = task(self, request, trial, allocation)
        with self.changed:
            if answer is None:
                self.unknown.append(request)
            self.changed.notify_all()
        return answer or Answer({"error": {"message": "the stand-in does not know this"}}, 404)

    def _info(self, _: Request) -> Answer:
        versions = {"version": det.__version__, "master_id": "stand-in"}
        return Answer({"cluster_id": self.cluster_id, "cluster_name": "stand-in", **versions})

    def _login(self, request: Request) -> Answer:
        user = {"active": True, "admin": False, "username": request.body["username"]}
        return Answer({"token": self._user_token, "user": user})

    def _me(self, _: Request) -> Answer:
        return Answer({"user": {"active": True, "admin": False, "username": "determined"}})

    def _create_experiment(self, request: Request) -> Answer:
        entries = request.body["modelDefinition"]
        with self.changed:
            submission = Submission(
                experiment_id=self.free_experiment_id(),
                config_text=request.body["config"],
                files={
                    entry["path"]: base64.b64decode(entry["content"])
                    for entry in entries
                    if entry["type"] == FILE
                },
                directories=[entry["path"] for entry in entries if entry["type"] == DIRECTORY],
                modes={entry["path"]: entry["mode"] for entry in entries},
                body=request.body,
            )
            self.submissions.append(submission)
        experiment = {
            "archived": False,
            "config": {},
            "id": submission.experiment_id,
            "jobId": str(uuid.uuid4()),
            "name": "stand-in",
            "numTrials": 0,
            "originalConfig": submission.config_text,
            "projectId": 1,
            "projectOwnerId": 1,
            "searcherType": "single",
            "startTime": "2025-01-01T00:00:00Z",
            "state": "STATE_ACTIVE",
            "username": "determined",
        }
        return Answer({"config": {}, "experiment": experiment})

    def _context_directory(self, _: Request, trial: Trial, __: Allocation) -> Answer:
        return Answer({"b64Tgz": base64.b64encode(trial.context).decode()})

    def _accelerators(self, request: Request, _: Trial, __: Allocation) -> Answer:
        self.accelerators.append(request.body["acceleratorData"])
        return Answer()

    def _rendezvous(self, _: Request, __: Trial, allocation: Allocation) -> Answer:
        info = {"addresses": ["127.0.0.1"], "rank": 0, "slots": [allocation.slots]}
        return Answer({"rendezvousInfo": info})

    def _start(self, _: Request, __: Trial, ___: Allocation) -> Answer:
        return Answer({"storageId": 1})

    def _trial(self, _: Request, trial: Trial, __: Allocation) -> Answer:
        steps = max(self.reported("validation", trial.id), default=None)
        latest = None if steps is None else {"totalBatches": steps}
        return Answer({"trial": {"id": trial.id, "latestValidation": latest}})

    def _status(self, request: Request, trial: Trial, allocation: Allocation) -> Answer:
        with self.changed:
            self.statuses.append(Status(trial.id, allocation.run_id, request.body["state"]))
        return Answer()

    def _metrics(self, request: Request, trial: Trial, allocation: Allocation) -> Answer:
        report = request.body["metrics"]
        new = Metrics(
            trial_id=report["trialId"],
            run_id=report["trialRunId"],
            group=request.body["group"],
            steps_completed=report["stepsCompleted"],
            # JSON has no word for these, so the harness sends them in quotes.
            metrics={
                name: float(value) if value in ("NaN", "Infinity", "-Infinity") else value
                for name, value in report["metrics"]["avgMetrics"].items()
            },
            batch_metrics=report["metrics"].get("batchMetrics"),
        )
        try:
            self.add_metrics(new)
        except Conflict as error:
            return Answer({"error": {"message": str(error)}}, 500)
        with self.changed:
            allocation.fresh_reports += new.group == "training"
        return Answer()

    def _progress(self, request: Request, trial: Trial, allocation: Allocation) -> Answer:
        generation = self._server.generation
        with self.changed:
            fraction = float(request.body["progress"])
            self.progress.append(Progress(trial.id, allocation.run_id, fraction))
            # Which batch that is, the metrics tell. They have been sent before, but from a thread.
            self.changed.wait_for(
                lambda: allocation.fresh_reports > 0 or self._server.generation != generation,
                timeout=SECONDS_TO_WAIT_FOR_METRICS,
            )
            allocation.fresh_reports = 0
            batch = max(self.reported("training", trial.id), default=0)
            due = [
                appointment
                for appointment in self._appointments
                if appointment.batch <= batch and appointment.trial_id in (None, trial.id)
            ]
            self._appointments = [other for other in self._appointments if other not in due]
        for appointment in due:
            appointment.action(allocation)
        if due and allocation.preempted:
            with self.changed:
                told = self.changed.wait_for(
                    lambda: allocation.told, timeout=SECONDS_TO_DELIVER_A_PREEMPTION
                )
            if told:
                time.sleep(SECONDS_TO_LET_IT_SINK_IN)
        return Answer()

    def _best_validation(self, _: Request, trial: Trial, __: Allocation) -> Answer:
        best = self.best_validation(trial.experiment_id)
        if best is None:
            return Answer({"error": {"message": "no validations for experiment"}}, 404)
        return Answer({"metric": best})

    def _checkpoint(self, request: Request, trial: Trial, allocation: Allocation) -> Answer:
        body = request.body
        saved = Checkpoint(
            uuid=body["uuid"],
            trial_id=trial.id,
            allocation_id=body["allocationId"],
            steps_completed=body["metadata"]["steps_completed"],
            metadata=body["metadata"],
            resources={name: int(size) for name, size in body["resources"].items()},
        )
        with self.changed:
            self.checkpoints.append(saved)
        return Answer()

    def _early_exit(self, request: Request, trial: Trial, allocation: Allocation) -> Answer:
        with self.changed:
            self.early_exits.append(EarlyExit(trial.id, allocation.run_id, request.body["reason"]))
        return Answer()

    def _preemption(self, request: Request, _: Trial, allocation: Allocation) -> Answer:
        generation = self._server.generation
        with self.changed:
            self.changed.wait_for(
                lambda: allocation.preempted or self._server.generation != generation,
                timeout=float(request.query.get("timeout_seconds", 60)),
            )
            allocation.told |= allocation.preempted
        return Answer({"preempt": allocation.preempted})

    def _acknowledge(self, _: Request, __: Trial, allocation: Allocation) -> Answer:
        with self.changed:
            allocation.acknowledged = True
        return Answer()


_V1 = "/api/v1"
_ALLOCATION = f"{_V1}/allocations/{{allocation}}"
_TRIAL = f"{_V1}/trials/{{trial}}"
_BEST = f"{_V1}/experiments/{{experiment}}/searcher/best_searcher_validation_metric"

# Whom the master answers: everybody, somebody who has logged in, a trial about itself.
_PUBLIC: dict[tuple[str, str], Callable[[Master, Request], Answer]] = {
    ("GET", "/info"): Master._info,
    ("POST", f"{_V1}/auth/login"): Master._login,
}
_USER: dict[tuple[str, str], Callable[[Master, Request], Answer]] = {
    ("GET", f"{_V1}/me"): Master._me,
    ("POST", f"{_V1}/experiments"): Master._create_experiment,
}
_TASK: dict[tuple[str, str], Callable[[Master, Request, Trial, Allocation], Answer]] = {
    ("GET", f"{_V1}/tasks/{{task}}/context_directory"): Master._context_directory,
    ("POST", f"{_ALLOCATION}/acceleratorData"): Master._accelerators,
    ("GET", f"{_ALLOCATION}/resources/{{resources}}/rendezvous"): Master._rendezvous,
    ("GET", f"{_ALLOCATION}/signals/preemption"): Master._preemption,
    ("POST", f"{_ALLOCATION}/signals/ack_preemption"): Master._acknowledge,
    ("POST", f"{_V1}/runs/start"): Master._start,
    ("GET", _TRIAL): Master._trial,
    ("POST", f"{_TRIAL}/runner/metadata"): Master._status,
    ("POST", f"{_TRIAL}/metrics"): Master._metrics,
    ("POST", f"{_TRIAL}/progress"): Master._progress,
    ("POST", f"{_TRIAL}/early_exit"): Master._early_exit,
    ("GET", _BEST): Master._best_validation,
    ("POST", f"{_V1}/checkpoints"): Master._checkpoint,
}
