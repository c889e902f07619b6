"""The YAML and the README.md of a new project."""

import collections
import textwrap

from model_hub.new.tasks import Task, read_example
from model_hub.new.tiny_models import FAMILIES

_YAML_HEADER = """\
# {0.name}: a small {1} from scratch, on made-up data.
# Expected: {0.expectation}, after about ten seconds without a GPU.
#
# Comments such as `# learning_rate: 5e-5` are settings for a pretrained model and a data
# set of the Hugging Face Hub: write them in place of the settings below them.
name: {0.short_name}"""


def experiment_yaml(task: Task) -> str:
    """Return the example's YAML with the settings of the small model and the sample data.

    A setting of the example that is changed or removed stays as a comment, and what takes its place
    follows. The comments above a setting that is removed are dropped: they explain how to do so.
    """
    added: dict[str, list[str]] = collections.defaultdict(list)
    for key, value in task.settings.items():
        section, _, name = key.rpartition(".")
        if value is not None and name not in (task.config[section] if section else task.config):
            added[section].append(f"  {name}: {value}" if section else f"{name}: {value}")
    lines, comments, section = [_YAML_HEADER.format(task, FAMILIES[task.family].title)], [], ""
    body = read_example(task.example).decode("utf-8").partition("\nname: ")[2]
    for line in body.splitlines()[1:]:
        if line.lstrip().startswith("#"):
            comments.append(line)
            continue
        name, _, value = line.strip().partition(": ")
        changed = task.settings.get(f"{section}.{name}", value)
        if changed is not None:
            lines += [*added.pop(section, []), *comments] if section else comments
        lines.append(line if changed == value else f"  # {name}: {value}")
        if changed not in (value, None):
            lines.append(f"  {name}: {changed}")
        if not line.startswith(" "):
            section = name.rstrip(":")
        comments = []
    return "\n".join([*lines, *added[""]]) + "\n"


def readme_text(task: Task, title: str, first_row: str, validation_rows: int) -> str:
    """Return the text of README.md; ``title`` is the folder's name."""
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
            f"A model learns to {task.summary}. `model-hub new {task.name}` wrote this folder, and "
            "everything in it runs unchanged: the data is made up, and the model is a small one."
        ),
        f"""\
| file | what it is |
|---|---|
| `{yaml}` | the experiment: which model, which data, how long |
| `{task.module}.py` | the trial: what happens, in order; change what you like |
| `train.{extension}`, `validation.{extension}` | {task.rows} and {validation_rows} rows |
| `model/` | configuration and tokenizer of a small {FAMILIES[task.family].title}, without weights |
| `.detignore`, `.gitignore` | keep `runs/` from being sent to a cluster, and out of git |""",
        "## Commands",
        _code("shell", *(f"# {comment}\n{line}" for line, comment in commands.items())),
        _paragraph(
            f"The training should end with {task.expectation}. "
            + (
                "The first validation is of the untrained model."
                if task.first_validation
                else "Before it begins, it logs the score of a baseline without a model."
            )
        ),
        "## Your own data",
        _paragraph(
            f"Name your files in section `data` of `{yaml}`: csv, json, jsonl, parquet, arrow"
            f"{' or txt' if extension == 'txt' else ''}. A row holds {task.row_format}. The first "
            "of the sample data:"
        ),
        _code("json" if extension == "jsonl" else "text", first_row),
        _paragraph(f"`model-hub check {yaml}` then reads your files as the training will."),
        "## A real model",
        _paragraph(
            "The small model knows the words of the made-up rows and nothing else. The comments in "
            f"`{yaml}` say what to write for "
            f"{task.config['hyperparameters']['pretrained_model_name_or_path']}, or another model "
            "of its kind: its name on the Hugging Face Hub, or a folder that `save_pretrained` "
            "wrote."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _prediction(task: Task) -> dict[str, str]:
    """Return the commands that try ``model-hub predict``, and a comment for each."""
    if not task.predicts:
        return {}
    file, commands = f"validation.{task.extension}", {}
    if task.question is not None:
        file = f"questions.{task.extension}"
        commands[f"echo '{task.question}' > {file}"] = "An input for the model."
    command = f"model-hub predict runs/first --input {file} --output answers.jsonl"
    return {**commands, command: "A prediction for each row."}


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _code(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```"])
