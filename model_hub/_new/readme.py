"""The README.md of a new project."""

import textwrap

from model_hub._new.models import FAMILIES
from model_hub._new.task import Task


def readme(task: Task, title: str, first_row: str, validation_rows: int) -> str:
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
