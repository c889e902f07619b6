"""The cache's key of a task's preparation covers every module of the tasks that it imports."""

import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest
from datasets.fingerprint import Hasher

from model_hub.huggingface import tasks
from model_hub.huggingface.data.prepare import source_code
from model_hub.huggingface.tasks import instruction_tuning as sft
from model_hub.huggingface.tasks import language_modeling as lm
from model_hub.huggingface.tasks import multiple_choice as mc
from model_hub.huggingface.tasks import question_answering as qa
from model_hub.huggingface.tasks import seq2seq as s2s
from model_hub.huggingface.tasks import text_classification
from model_hub.huggingface.tasks import token_classification as ner

Prepare = Callable[..., Any]
PADDING = "_common.padding"
# What seq2seq's rows import for their settings.
SEQ2SEQ = {"seq2seq.rows", "seq2seq.settings", "_common.tokenization", PADDING}
INSTRUCTION_TUNING = {
    *(f"instruction_tuning.{name}" for name in ("formats", "left_out", "messages", "samples")),
    *(f"instruction_tuning.{name}" for name in ("template", "tokens")),
    PADDING,
}
IMPORTED: list[tuple[Prepare, set[str]]] = [
    (qa.prepare_train_features, {"question_answering.labels", "question_answering.rows"}),
    (qa.prepare_validation_features, {"question_answering.labels", "question_answering.rows"}),
    (text_classification.prepare_features, {PADDING}),
    (ner.prepare_features, {"token_classification.schemes", PADDING}),
    (mc.prepare_features, {"multiple_choice.rows", PADDING}),
    (s2s.prepare_features, SEQ2SEQ),
    (sft.tokenize_conversations, INSTRUCTION_TUNING),
    (lm.tokenize_texts, {"language_modeling.documents"}),
    (lm.tokenize_lines, {"language_modeling.documents"}),
]
PACKAGES = {task.package for task in tasks.TASKS}


def test_all_tasks_are_listed() -> None:
    assert {prepare.__module__.split(".")[-2] for prepare, _ in IMPORTED} == PACKAGES


@pytest.mark.parametrize(("prepare", "imported"), IMPORTED)
def test_the_modules_that_a_preparation_imports(prepare: Prepare, imported: set[str]) -> None:
    assert set(source_code(prepare)) == {"", *imported}


@pytest.mark.parametrize(("prepare", "imported"), IMPORTED)
def test_an_edited_module_changes_the_fingerprint(
    prepare: Prepare, imported: set[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy of the tasks, in the place of the imported one."""
    folder = pathlib.Path(str(tasks.__file__)).parent
    shutil.copytree(folder, tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    module = sys.modules[prepare.__module__]
    copy = tmp_path / "tasks" / pathlib.Path(str(module.__file__)).relative_to(folder)
    monkeypatch.setattr(module, "__file__", str(copy))
    seen = {Hasher.hash(source_code(prepare))}
    for number, name in enumerate(sorted(imported), 2):
        file = (tmp_path / "tasks").joinpath(*name.split(".")).with_suffix(".py")
        with file.open("a") as text:
            text.write("\nEDITED = True\n")
        seen.add(Hasher.hash(source_code(prepare)))
        assert len(seen) == number
    # What it does not import does not make a cache useless.
    for other in ("_common/model_checks.py", "__init__.py", f"{copy.parent.name}/metrics.py"):
        with (tmp_path / "tasks" / other).open("a") as text:
            text.write("\nEDITED = True\n")
    assert Hasher.hash(source_code(prepare)) in seen and len(seen) == 1 + len(imported)
