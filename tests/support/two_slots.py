"""All that tests train on two slots, in one pair of processes (see ``option_runs``)."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import datasets
import lm_runs
import talks
import tiny
import tiny_seq2seq
import tiny_xlnet
import trained_models
import transformers
from option_runs import Job, Project, new_project, run_on_two_slots, stopping_trial, switches_of
from resuming import copy_trials, masking_config
from task_runs import write_rows
from workspaces import Config, Workspace, changed, make_workspace

PAIRS = [("the cat sat", "cat"), ("a dog ran", "dog"), ("where is it", "it"), ("one two", "two")]
CLASSES, QA, CLM = "text-classification", "question-answering", "causal-language-modeling"
# Those that do something else on several slots; test_option_matrix.py has all. Not the workers of
# a loader: they are forked, which the threads that earlier jobs have left may disturb.
SWITCHES = ("accumulation", "everything")
EARLY = {"early_stopping_patience": 2, "learning_rate": 0.0, "max_steps": 40}
# Trained on one slot too, with the same metrics.
COMPARED = ("classification", "summaries-3", "summaries-1", "answers", "beams", "masks")


CONVERSATIONS = ("conversations", "conversations-accumulated")


@dataclasses.dataclass(frozen=True)
class Trainings:
    """A folder with YAMLs, their ``data`` and ``context``, two projects, and ``runs``.

    Attributes:
        folder: the folder.
        outputs: what the processes have printed, by the name of the run.
    """

    folder: pathlib.Path
    outputs: dict[str, str]

    def project(self, task: str) -> Project:
        return Project(task, self.folder / task)

    def job(self, name: str, run: pathlib.Path, stop: int | None = None, **data: Any) -> Job:
        """A run of one of the YAMLs, with changes to section ``data``."""
        words = ["train", self.folder / f"{name}.yaml", self.folder / "context"]
        for key, value in data.items():
            words += ["--config", f"data.{key}={value}"]
        return Job([*map(str, words), "--output-dir", str(run)], stop)


def classification(data: pathlib.Path) -> Config:
    """MNLI's two splits for validation, 21 and 10 rows, and a model that does not learn."""
    parts = {}
    for split, count in {"train": 8, "validation_matched": 21, "validation_mismatched": 10}.items():
        numbers = range(count, 2 * count)
        parts[split] = datasets.Dataset.from_dict(
            {
                "premise": [("the cat", "the dog")[n // 3 % 2] for n in numbers],
                "hypothesis": ["the " * (n % 2) + ("sat", "ran", "where")[n % 3] for n in numbers],
                "label": [n % 3 for n in numbers],
            }
        )
    datasets.DatasetDict(parts).save_to_disk(data / "mnli")
    auto_class = transformers.AutoModelForSequenceClassification
    model = tiny.save(data / "bert", "bert", auto_class, num_labels=3, initializer_range=1.0)
    config = {
        "entrypoint": "glue_trial:GLUETrial",
        "hyperparameters": {
            "model_mode": "sequence-classification",
            "finetuning_task": "mnli",
            "pretrained_model_name_or_path": str(model),
            "use_pretrained_weights": True,
            "global_batch_size": 8,
            "learning_rate": 0,
        },
        "data": {"dataset_name": str(data / "mnli"), "max_seq_length": 16},
        "searcher": {"metric": "accuracy"},
    }
    return changed(config, hyperparameters__max_steps=1)


def summaries(data: pathlib.Path, count: int) -> Config:
    """With 3 rows rank 0 has a batch more than rank 1; with 1 row rank 1 has nothing to do."""
    rows = [{"document": text, "summary": short} for text, short in PAIRS]
    # BART has a buffer, which DDP would send from rank 0 to the others at each forward.
    model = tiny_seq2seq.save(data / "bart", "bart", [text for pair in PAIRS for text in pair])
    return {
        "entrypoint": "summarization_trial:SummarizationTrial",
        "hyperparameters": {
            "model_mode": "seq2seq-lm",
            "pretrained_model_name_or_path": str(model),
            "use_pretrained_weights": False,
            "global_batch_size": 2 if count == 3 else 4,
            "max_steps": 2,
        },
        "data": {
            "train_file": write_rows(data / "train.jsonl", rows),
            "validation_file": write_rows(data / f"{count}.jsonl", rows[:count]),
            "max_target_length": 8,
            "num_beams": 2,
        },
        "searcher": {"metric": "rouge1"},
    }


def answers(data: pathlib.Path, corpus: pathlib.Path) -> Config:
    """Rank 1 has no batch to validate."""
    rows = (corpus / "validation.json").read_text("utf-8").splitlines()[:3]
    return {
        "entrypoint": "qa_trial:QATrial",
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(corpus / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 1,
        },
        "data": {
            "train_file": str(corpus / "train.json"),
            "validation_file": write_rows(data / "three.jsonl", map(json.loads, rows)),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"metric": "f1"},
    }


def beams(data: pathlib.Path, corpus: pathlib.Path) -> Config:
    """A weight without a gradient would end DDP at the second step."""
    lines = (corpus / "validation.json").read_text("utf-8").splitlines()[:9]
    rows = [json.loads(line) for line in lines]
    texts = [row[name] for row in rows for name in ("context", "question")]
    return changed(
        answers(data, corpus),
        entrypoint="qa_beam_search_trial:QABeamSearchTrial",
        hyperparameters__pretrained_model_name_or_path=str(tiny_xlnet.save(data / "xlnet", texts)),
        hyperparameters__global_batch_size=4,
        hyperparameters__max_steps=3,
        data__train_file=write_rows(data / "nine.jsonl", rows),
        data__validation_file=str(data / "nine.jsonl"),
    )


def masks(data: pathlib.Path) -> Config:
    """XLNet has weights that the loss does not depend on, at which DDP stops in the second step.

    Validation has 13 rows in batches of 2 on a slot: an odd number, the last one smaller.
    """
    lines, model = lm_runs.LINES, lm_runs.tiny_model("plm", data / "plm-model")
    workspace = lm_runs.workspace_for("plm", data / "plm", model, lines, lines[:13])
    return changed(
        workspace.config,
        data__line_by_line=True,
        hyperparameters__max_steps=4,
        hyperparameters__global_batch_size=4,
    )


def conversations(data: pathlib.Path) -> dict[str, Config]:
    """Three updates of 8 conversations each, shared out in two ways."""
    config = talks.make_workspace(data / "sft").config
    halves = changed(
        config,
        hyperparameters__global_batch_size=4,
        hyperparameters__max_steps=6,
        optimizations__aggregation_frequency=2,
    )
    return {"conversations": config, "conversations-accumulated": halves}


def write(folder: pathlib.Path, corpus: pathlib.Path) -> None:
    """All YAMLs, and what they name."""
    data, context = folder / "data", folder / "context"
    data.mkdir()
    context.mkdir()
    for trial in trained_models.EXAMPLES.glob("*/*_trial.py"):
        shutil.copy(trial, context)
    configs = {
        "classification": classification(data),
        "summaries-3": summaries(data, 3),
        "summaries-1": summaries(data, 1),
        "answers": answers(data, corpus),
        "beams": beams(data, corpus),
        "masks": masks(data),
        **conversations(data),
    }
    for name, config in configs.items():
        config["name"] = name
        config["hyperparameters"].setdefault("learning_rate", 1e-3)
        config["searcher"] = {"name": "single", "smaller_is_better": False, **config["searcher"]}
        config |= {"perform_initial_validation": True, "scheduling_unit": 1}
        Workspace(folder, config).write_yaml(config, f"{name}.yaml")
    stateful = changed(
        masking_config(corpus),
        entrypoint=stopping_trial(copy_trials(context), "stateful_trial:StatefulTrial"),
        optimizations={"aggregation_frequency": 3},
    )
    Workspace(folder, stateful).write_yaml(stateful, "stateful.yaml")
    for task in (CLASSES, QA, CLM):
        new_project(task, folder / task)
    trained_models.write(trained_models.TASKS["glue"], folder / "glue", folder / "unused")


def run_all(folder: pathlib.Path, corpus: pathlib.Path) -> None:
    write(folder, corpus)
    made = Trainings(folder, {})
    runs = folder / "runs"
    jobs = {}
    for name in COMPARED:
        output = {"output_dir": folder / f"answers-of-{name}"} if writes_answers(name) else {}
        jobs[name] = made.job(name, runs / name, **output)
    for name in CONVERSATIONS:
        jobs[name] = made.job(name, runs / name)
    jobs["glue"] = Job(
        ["train", str(folder / "glue/tiny.yaml"), "--output-dir", str(runs / "glue")]
    )
    plain = make_workspace(corpus, folder / "plain")
    words = ["train", str(plain.write_yaml(plain.config)), "--output-dir"]
    jobs["plain"] = Job([*words, str(runs / "plain")])
    jobs["refused"] = Job([*words, "/proc/not/there"], code=2)
    jobs["stateful"] = made.job("stateful", runs / "stateful")
    # Between two updates, for which batches before the stop are computed again.
    jobs["stateful-stopped"] = made.job("stateful", runs / "stateful-stopped", 6)
    jobs["stateful-resumed"] = Job(["train", "--resume", str(runs / "stateful-stopped")])
    early = made.project(CLASSES)
    jobs["early"] = early.job("early", **EARLY)
    jobs["early-stopped"], jobs["early-resumed"] = early.stopped("early-stopped", **EARLY)
    for task in (QA, CLM):
        project = made.project(task)
        for name in SWITCHES:
            switches = switches_of(task, gpu=False)[name]
            jobs[f"{task} {name}"] = project.job(f"{name}-whole", **switches)
            jobs[f"{task} {name}, stopped"], jobs[f"{task} {name}, resumed"] = project.stopped(
                f"{name}-stopped", **switches
            )
    outputs = run_on_two_slots(list(jobs.values()), folder)
    # The exported model needs neither the data nor the base model.
    shutil.rmtree(folder / "glue")
    (folder / "outputs.json").write_text(json.dumps(dict(zip(jobs, outputs, strict=True))))


def writes_answers(name: str) -> bool:
    """Whether a validation writes what the model has answered."""
    return name not in ("classification", "masks")


def read(folder: pathlib.Path) -> Trainings:
    return Trainings(folder, json.loads((folder / "outputs.json").read_text()))
