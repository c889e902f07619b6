"""A question-answering trial that tells what its processes do, and a run of it on two slots."""

import dataclasses
import json
import pathlib
import shutil

from agent import Agent
from master import Master
from workspaces import ENTRYPOINT, EXAMPLE, Config

TRIALS = pathlib.Path(__file__).parent / "trials"
TWO_SLOT_ROWS = 21


def write_context(folder: pathlib.Path) -> pathlib.Path:
    shutil.copy(TRIALS / "probing_trial.py", folder)
    shutil.copy(EXAMPLE / "qa_trial.py", folder)
    return folder


def probing_config(corpus: pathlib.Path) -> Config:
    """Question answering by `probing_trial`, which tells what its processes do."""
    return {
        "name": "probing",
        "entrypoint": ENTRYPOINT.replace("qa_trial:QATrial", "probing_trial:ProbingTrial"),
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 4,
            "max_steps": 4,
            "learning_rate": 1e-3,
        },
        "data": {
            "train_file": str(corpus / "train.json"),
            "validation_file": str(corpus / "validation.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "perform_initial_validation": True,
        "scheduling_unit": 2,
        "reproducibility": {"experiment_seed": 1234},
    }


@dataclasses.dataclass(frozen=True)
class TwoSlotRun:
    """A run on two slots that has ended; its data and base model are no longer there.

    Attributes:
        output: What its processes have printed.
        validations: Their metrics, by `steps_completed`.
        uuid: Of its last checkpoint.
        storage: The folder of its checkpoints.
        predictions: The folder of what its last validation has written.
    """

    output: str
    validations: dict[int, dict[str, float]]
    uuid: str
    storage: pathlib.Path
    predictions: pathlib.Path


def train_on_two_slots(folder: pathlib.Path, corpus: pathlib.Path, context: pathlib.Path) -> None:
    """Make the folder that `read` reads."""
    data = folder / "data"
    shutil.copytree(corpus, data)
    rows = (data / "validation.json").read_text("utf-8").splitlines(keepends=True)
    (data / "validation.json").write_text("".join(rows[:TWO_SLOT_ROWS]), "utf-8")
    config = probing_config(data)
    config["data"]["output_dir"] = str(folder / "predictions")
    env = {"GROUP_TIMEOUT": "20", "SECONDS_TO_PREPARE": "30"}
    env |= {"NOTE_WRITING": "1", "PYTHONWARNINGS": "always"}
    with Master() as master, Agent(master, folder / "agent") as agent:
        run = agent.start(config, context, slots=2, env=env)
        run.wait()
        latest = master.latest_checkpoint(run.trial.id)
        assert latest is not None
        found = {
            "output": run.output(),
            "validations": list(master.reported("validation", run.trial.id).items()),
            "uuid": latest.uuid,
        }
    (folder / "found.json").write_text(json.dumps(found), "utf-8")
    shutil.rmtree(data)


def read(folder: pathlib.Path) -> TwoSlotRun:
    found = json.loads((folder / "found.json").read_text("utf-8"))
    return TwoSlotRun(
        output=found["output"],
        validations=dict(found["validations"]),
        uuid=found["uuid"],
        storage=folder / "agent" / "checkpoints",
        predictions=folder / "predictions",
    )
