"""The model card of an exported model: what it was trained on, how, and how well it does."""

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

# Sections of an experiment that say how it was trained. Others (environment, checkpoint_storage,
# registry_auth) belong to the cluster and may hold passwords.
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
# A name on the Hub, with its owner or, for the oldest ones, without.
_HUB_NAME = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")

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
    found: FoundCheckpoint,
    model: Any,
    settings: Mapping[str, Any],
    folder: pathlib.Path,
    *,
    name: str,
) -> None:
    """Writes ``README.md``, without access tokens and without folders of the training's machine.

    Args:
        found: the checkpoint.
        model: its model as it is exported.
        settings: what :func:`task_metadata` returns.
        folder: where to.
        name: what the model is called.
    """
    (folder / "README.md").write_text(model_card(found, model, settings, name), encoding="utf-8")


def model_card(found: FoundCheckpoint, model: Any, settings: Mapping[str, Any], name: str) -> str:
    """The text of the card; arguments as of :func:`write_model_card`."""
    base = unwrap.strip_adapter(model)
    architecture = type(base).__name__
    hparams = strip_local_paths(found.hparams)
    data = strip_local_paths(found.config.get("data") or settings.get("data") or {})
    base_model = hparams.get("model_name") or hparams.get("pretrained_model_name_or_path")
    trained_on = data.get("dataset_name") or data.get("train_file")
    task = _task(architecture, data)
    front = huggingface_hub.ModelCardData(
        base_model=base_model if _on_the_hub(base_model) else None,
        datasets=[trained_on] if _on_the_hub(trained_on) and "dataset_name" in data else None,
        library_name="peft" if unwrap.has_adapter(model) else "transformers",
        pipeline_tag=task,
        tags=["model-hub", "determined"],
        metrics=[*evaluation_results(found.metrics)] or None,
        model_name=name,
        eval_results=[
            huggingface_hub.EvalResult(
                task_type=task or "other",
                dataset_type=str(trained_on or "unknown"),
                dataset_name=str(trained_on or "unknown"),
                dataset_config=data.get("dataset_config_name"),
                dataset_split="validation",
                metric_type=metric,
                metric_value=value,
            )
            for metric, value in evaluation_results(found.metrics).items()
        ]
        or None,
    )
    trained = _trained(hparams, base_model)
    steps = found.steps_completed
    return f"---\n{front.to_yaml()}\n---\n" + _TEXT.format(
        name=name,
        introduction=f"A `{architecture}`{f' for {task}' if task else ''}, {trained}"
        + ("." if steps is None else f", after {steps} batches."),
        data=_list(data) or "The checkpoint does not tell.",
        results=_results(found),
        command=found.command,
        experiment=_experiment_text(found, hparams),
        use=_use(model, architecture, task),
        versions=_list(settings.get("versions") or metadata.versions()),
    )


def strip_local_paths(value: Any, key: str = "") -> Any:
    """A value without access tokens, and with the last parts of absolute paths alone."""
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


def _trained(hparams: Mapping[str, Any], base_model: Any) -> str:
    if not base_model:
        return "fine-tuned"
    if hparams.get("use_pretrained_weights") is False:
        return f"trained from scratch with the configuration of `{base_model}`"
    return f"fine-tuned from `{base_model}`"


def _on_the_hub(name: Any) -> bool:
    """Whether this may be a name on the Hub, and not that of a local folder or file."""
    if not isinstance(name, str) or not _HUB_NAME.fullmatch(name):
        return False
    return "/" in name and not pathlib.Path(name).exists()


def evaluation_results(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those of the results that are numbers."""
    return {
        name: round(value, 6)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and name not in ("batches", "epochs") and value == value
    }


def _results(found: FoundCheckpoint) -> str:
    values = evaluation_results(found.metrics)
    if not values:
        return "The checkpoint does not tell."
    lines = [f"| {name} | {value:g} |" for name, value in values.items()]
    when = f"On the validation data, after {found.validated_after} batches:"
    return "\n".join([when, "", "| metric | value |", "|---|---|", *lines])


def _list(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {k}: `{v}`" for k, v in values.items() if v is not None)


def _experiment_text(found: FoundCheckpoint, hparams: Mapping[str, Any]) -> str:
    known = {**found.config, "hyperparameters": hparams}
    kept = {
        name: strip_local_paths(known[name]) for name in _SECTIONS if known.get(name) is not None
    }
    return yaml_io.dump_config(kept)


def _use(model: Any, architecture: str, task: str | None) -> str:
    lines = [
        "```shell",
        "model-hub predict FOLDER --input rows.jsonl --output answers.jsonl",
        "```",
    ]
    if isinstance(model, transformers.PreTrainedModel):
        lines += [
            "",
            "```python",
            f"from transformers import AutoTokenizer, {architecture}",
            "",
            f'model = {architecture}.from_pretrained("FOLDER")',
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
            "```",
        ]
    return "\n".join(lines if task else lines[4:])
