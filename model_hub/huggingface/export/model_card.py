"""Write the model card of an exported model: its data, training and metrics."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import huggingface_hub
import transformers

from model_hub._hub import is_secret
from model_hub.experiment import yaml_io
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.export import architectures
from model_hub.huggingface.export.find import FoundCheckpoint
from model_hub.huggingface.model import unwrap
from model_hub.huggingface.tasks import TASKS

# Sections of the experiment that the card shows. Others (environment, checkpoint_storage,
# registry_auth) are about the cluster and may hold passwords.
_SECTIONS = (
    "name",
    "description",
    "entrypoint",
    "hyperparameters",
    "data",
    "searcher",
    "optimizations",
    "min_validation_period",
    "min_checkpoint_period",
    "checkpoint_policy",
    "perform_initial_validation",
    "reproducibility",
)
_TOKEN = re.compile(r"\b(hf|api)_[A-Za-z0-9]{16,}\b")
_HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")

_SHELL_USAGE = """\
```shell
model-hub predict FOLDER --input rows.jsonl --output answers.jsonl
```"""
_PYTHON_USAGE = """\
```python
from transformers import AutoTokenizer, {architecture}

model = {architecture}.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```"""
_UNKNOWN = "Not known from the checkpoint."
_TEXT = """\

# {name}

{introduction}

## Data

{data}

## Results

{results}

## Training

```shell
{command}
```

with this `experiment.yaml`:

```yaml
{experiment}```

## Use

{use}

## Versions

{versions}
"""


def write_model_card(
    checkpoint: FoundCheckpoint,
    model: Any,
    folder: pathlib.Path,
    *,
    name: str,
) -> None:
    """Write ``README.md``, without access tokens and without paths of the training's machine.

    ``folder`` holds the exported model with its metadata.
    """
    settings = metadata.read_task_metadata(folder)
    architecture = type(unwrap.strip_adapter(model)).__name__
    hparams = strip_local_paths(checkpoint.hparams)
    data = strip_local_paths(checkpoint.config.get("data") or settings.get("data") or {})
    base_model = hparams.get("model_name") or hparams.get("pretrained_model_name_or_path")
    metrics = evaluation_results(checkpoint.metrics)
    dataset = data.get("dataset_name") or data.get("train_file")
    task = _task(architecture, data)
    front = huggingface_hub.ModelCardData(
        base_model=base_model if _is_hub_name(base_model) else None,
        datasets=[dataset] if _is_hub_name(dataset) and "dataset_name" in data else None,
        library_name="peft" if unwrap.has_adapter(model) else "transformers",
        pipeline_tag=task,
        tags=["model-hub", "determined"],
        metrics=[*metrics] or None,
        model_name=name,
        eval_results=[
            huggingface_hub.EvalResult(
                task_type=task or "other",
                dataset_type=str(dataset or "unknown"),
                dataset_name=str(dataset or "unknown"),
                dataset_config=data.get("dataset_config_name"),
                dataset_split="validation",
                metric_type=metric,
                metric_value=value,
            )
            for metric, value in metrics.items()
        ]
        or None,
    )
    purpose = f" for {task}" if task else ""
    steps = checkpoint.steps_completed
    duration = "" if steps is None else f", after {steps} batches"
    text = _TEXT.format(
        name=name,
        introduction=f"A `{architecture}`{purpose}, {_origin(hparams, base_model)}{duration}.",
        data=_list(data) or _UNKNOWN,
        results=_results_table(checkpoint, metrics),
        command=checkpoint.command,
        experiment=_experiment_text(checkpoint, hparams),
        use=_usage(model, architecture, task),
        versions=_list(settings.get("versions") or metadata.versions()),
    )
    (folder / "README.md").write_text(f"---\n{front.to_yaml()}\n---\n{text}", encoding="utf-8")


def strip_local_paths(value: Any, key: str = "") -> Any:
    """Return a value without access tokens, and with only the last part of absolute paths."""
    if isinstance(value, Mapping):
        return {k: strip_local_paths(v, k) for k, v in value.items() if not is_secret(str(k), v)}
    if isinstance(value, (list, tuple)):
        return [strip_local_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    if _TOKEN.search(value):
        return _TOKEN.sub("***", value)
    if re.fullmatch(r"(/|~|[A-Za-z]:\\)\S*", value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value


def _task(architecture: str, data: Mapping[str, Any]) -> str | None:
    tag = architectures.task_of(architecture)
    infos = (info for info in TASKS if info.pipeline_tag == tag and info.card_tag)
    return next((info.card_tag(data) for info in infos if info.card_tag), tag)


def _origin(hparams: Mapping[str, Any], base_model: Any) -> str:
    if not base_model:
        return "fine-tuned"
    if hparams.get("use_pretrained_weights") is False:
        return f"trained from scratch with the configuration of `{base_model}`"
    return f"fine-tuned from `{base_model}`"


def _is_hub_name(name: Any) -> bool:
    """Return whether this may be ``owner/name`` on the Hub, and is no local folder or file."""
    is_name = isinstance(name, str) and _HUB_NAME.fullmatch(name) is not None
    return is_name and not pathlib.Path(name).exists()


def evaluation_results(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are numbers, but not NaN."""
    return {
        name: round(value, 6)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and name not in ("batches", "epochs") and value == value
    }


def _results_table(checkpoint: FoundCheckpoint, metrics: Mapping[str, float]) -> str:
    if not metrics:
        return _UNKNOWN
    lines = [f"| {name} | {value:g} |" for name, value in metrics.items()]
    title = f"On the validation data, after {checkpoint.validated_after} batches:"
    return "\n".join([title, "", "| metric | value |", "|---|---|", *lines])


def _list(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {k}: `{v}`" for k, v in values.items() if v is not None)


def _experiment_text(checkpoint: FoundCheckpoint, hparams: Mapping[str, Any]) -> str:
    config = {**checkpoint.config, "hyperparameters": hparams}
    sections = {name: config[name] for name in _SECTIONS if config.get(name) is not None}
    return yaml_io.dump_config(strip_local_paths(sections))


def _usage(model: Any, architecture: str, task: str | None) -> str:
    examples = [_SHELL_USAGE] if task else []
    if isinstance(model, transformers.PreTrainedModel):
        examples.append(_PYTHON_USAGE.format(architecture=architecture))
    return "\n\n".join(examples)
