"""Names of the tasks' packages that trial files may import."""

import importlib

from model_hub.huggingface import tasks
from model_hub.huggingface.tasks import text_classification, token_classification


def test_every_package_has_the_names_of_its_face() -> None:
    for task in tasks.TASKS:
        module = importlib.import_module(f"{tasks.__name__}.{task.package}")
        assert all(hasattr(module, name) for name in module.__all__)
        assert {cls.__name__ for cls in task.data_kwargs} <= {*module.__all__}


def test_former_names() -> None:
    assert token_classification.Tagging is token_classification.TaggingSchema
    for package in (text_classification, token_classification):
        assert package.fit_to_head is package.align_labels
