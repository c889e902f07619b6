"""The YAML of a new project."""

from collections.abc import Mapping

from model_hub._new.models import FAMILIES
from model_hub._new.task import Settings, Task


def experiment(task: Task) -> str:
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
