"""The README.md of a new project."""

import textwrap
from collections.abc import Mapping

from model_hub.new.tasks import Settings, Task
from model_hub.new.tiny_models import FAMILIES


def readme_text(task: Task, title: str, first_row: str, validation_rows: int) -> str:
    """The text.

    Args:
        task: the task.
        title: the folder's name.
        first_row: the first line of the training data.
        validation_rows: rows of the validation data.
    """
    yaml, extension = f"{task.short_name}.yaml", task.extension
    commands = {
        f"model-hub check {yaml}": "Finds mistakes; trains nothing.",
        f"model-hub train {yaml} --output-dir runs/first": "About ten seconds.",
        **_prediction(task),
        f"det experiment create {yaml} .": "On a cluster whose image has model-hub.",
    }
    if task.packages:
        commands = {f"pip install {task.packages}": "For the metrics.", **commands}
    parts = [
        f"# {title}",
        _paragraph(
            f"A model learns to {task.summary}. `model-hub new {task.name}` has written this "
            "folder, and all of it runs as it is: the data is made up, and the model is a small "
            "one."
        ),
        f"""\
| file | what it is |
|---|---|
| `{yaml}` | the experiment: which model, which data, how long |
| `{task.module}.py` | the trial: what happens, in order; change it as you like |
| `train.{extension}`, `validation.{extension}` | {task.rows} and {validation_rows} rows |
| `model/` | configuration and tokenizer of a small {FAMILIES[task.family].title}, without weights |
| `.detignore`, `.gitignore` | keep `runs/` from being sent to a cluster, and out of git |""",
        "## Commands",
        _code("shell", *(f"# {what}\n{words}" for words, what in commands.items())),
        _paragraph(
            f"The training should end with {task.expectation}. "
            + (
                "Its first validation is that of the untrained model."
                if task.first_validation
                else "Before it begins, it says what is reached without a model (baseline)."
            )
        ),
        "## Your own data",
        _paragraph(
            f"Name your files in section `data` of `{yaml}`. A row holds {task.own_rows}. The "
            "first of ours:"
        ),
        _code("json" if extension == "jsonl" else "text", first_row),
        _paragraph(f"`model-hub check {yaml}` then looks at the first rows of yours."),
        "## A real model",
        _paragraph(
            "The small model knows the words of the made-up rows and nothing else. The comments in "
            f"`{yaml}` say what to write for {task.real_model}, or another model of its kind."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _prediction(task: Task) -> dict[str, str]:
    if not task.predicts:
        return {}
    file, commands = f"validation.{task.extension}", {}
    if task.question is not None:
        file = f"questions.{task.extension}"
        commands[f"echo '{task.question}' > {file}"] = "Something to ask it."
    words = f"model-hub predict runs/first --input {file} --output answers.jsonl"
    return {**commands, words: "An answer for each row."}


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _code(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def experiment_yaml(task: Task) -> str:
    """The YAML's text.

    What a real model, or data of the Hub, needs otherwise stands in a comment right above.
    """
    small = {
        "pretrained_model_name_or_path": "./model",
        "use_pretrained_weights": "false",
    }
    real = {
        "pretrained_model_name_or_path": task.real_model,
        "use_pretrained_weights": "true",
    }
    length = {"num_train_epochs": str(task.epochs), "learning_rate": task.learning_rate}
    files = {f"{split}_file": f"{split}.{task.extension}" for split in ("train", "validation")}
    lines = [
        f"# {task.name}: a small {FAMILIES[task.family].title} from scratch, on made-up data.",
        f"# Expected: {task.expectation}, after some ten seconds without a GPU.",
        "#",
        "# Comments such as `# learning_rate: 5e-5` stand where a real model, or data of the",
        "# Hugging Face Hub, needs something else: write them in the place of the lines below.",
        f"name: {task.short_name}",
        "entrypoint: >-",
        "  python3 -m determined.launch.torch_distributed",
        f"  python3 -m model_hub.huggingface.train {task.trial}",
        "hyperparameters:",
        f"  model_mode: {task.model_mode}",
        *_keys(task.hyperparameters),
        *_comments({k: v for k, v in task.real_hyperparameters.items() if k not in length}),
        "  # A model of the Hub, or a folder that save_pretrained or a training has written.",
        *_comments(real),
        *_keys(small),
        "  # Rows of a batch, over all slots.",
        "  global_batch_size: 16",
        *_comments({k: v for k, v in task.real_hyperparameters.items() if k in length}),
        *_keys(length),
        "data:",
        "  # Your own files, in these formats: csv, json, jsonl, parquet, arrow"
        + (", txt." if task.extension == "txt" else "."),
        *_comments(task.real_data),
        *_keys(files),
        *_comments(task.real_data_settings),
        *_keys(task.data),
        "searcher:",
        "  name: single",
        f"  metric: {task.metric}",
        f"  smaller_is_better: {str(task.smaller_is_better).lower()}",
    ]
    if task.first_validation:
        lines += [
            "# The score of the untrained model, to compare with.",
            "perform_initial_validation: true",
        ]
    lines += [
        "min_validation_period:",
        "  # epochs: 1",
        f"  epochs: {task.epochs // 2}",
        "resources:",
        "  slots_per_trial: 1",
        "max_restarts: 2",
    ]
    return "\n".join(lines) + "\n"


def _keys(settings: Settings) -> list[str]:
    return [f"  {key}: {value}" for key, value in settings.items()]


def _comments(settings: Mapping[str, str]) -> list[str]:
    return [f"  # {key}: {value}" for key, value in settings.items()]
