"""Predict the rows of a file with a trained model."""

import dataclasses
import logging
import pathlib
import time

import datasets
from tqdm.auto import tqdm

from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.data import files
from model_hub.huggingface.data.data_file import ReadOptions
from model_hub.huggingface.export import architectures
from model_hub.huggingface.inference import load
from model_hub.huggingface.inference.output import check_output, open_writer
from model_hub.huggingface.tasks import TASKS
from model_hub.huggingface.tasks._common.predictor import InferenceSetup, Predictor

logger = logging.getLogger("model_hub")

# Batches in memory at a time: enough rows to group them by length.
_BATCHES_AT_A_TIME = 64


@dataclasses.dataclass(frozen=True)
class PredictResult:
    """What :func:`predict` has done.

    Attributes:
        rows: number of rows.
        task: the task.
        output: the file with the predictions.
        seconds: duration, without loading the model.
    """

    rows: int
    task: str
    output: pathlib.Path
    seconds: float

    def summary(self) -> str:
        """Return the line to print."""
        speed = self.rows / max(self.seconds, 1e-9)
        return (
            f"{self.output}: {self.rows} rows of {self.task} in {self.seconds:.1f} s, "
            f"{speed:.0f} a second"
        )


def predict(
    name: str,
    input_file: str,
    output: pathlib.Path,
    *,
    task: str | None = None,
    which: str | None = None,
    master: str | None = None,
    batch_size: int = 16,
    device: str | None = None,
    max_new_tokens: int | None = None,
    num_beams: int | None = None,
) -> PredictResult:
    """Predict the rows of a file; the output has one row for each, in the same order.

    Args:
        name: an exported model, a run's folder, a checkpoint's folder or the UUID of one on a
            cluster, or the name of a model on the Hugging Face Hub.
        input_file: the rows, with the columns of the training data; labels are not needed.
        output: a file of type jsonl, csv or parquet; it appears when it is complete.
        task: the task, for a model whose class belongs to none.
        which: of a run, the ``best`` or ``latest`` checkpoint; None takes its final model if there
            is one, or else the best.
        master: address of the cluster's master.
        batch_size: rows per batch.
        device: device of the model; None is a GPU if there is one, else the CPU.
        max_new_tokens: most tokens to generate; None is the task's default.
        num_beams: beams of the search for generated text; None is the number of the training.

    Raises:
        UserError: when the model cannot be loaded, or rows or settings are wrong.
    """
    counts = {"batch-size": batch_size, "max-new-tokens": max_new_tokens, "num-beams": num_beams}
    for option, count in counts.items():
        if count is not None and count < 1:
            raise UserError(f"--{option} is {count}, but should be at least 1.")
    task = None if task is None else architectures.check_task(task)
    check_output(output, input_file)
    torch_device = load.parse_device(device)
    source = f"--input {input_file!r}"
    # The cells of csv files stay as they are: 007 is an id, not a number.
    rows = files.load_file("--input", input_file, ReadOptions(typed_columns=()))
    with load.exported_model(name, which, master) as folder:
        model, tokenizer, task = load.load_model(folder, task, torch_device)
        training = metadata.read_task_metadata(pathlib.Path(folder))
        setup = InferenceSetup(
            model,
            tokenizer,
            data=training.get("data") or {},
            finetuning_task=training.get("finetuning_task"),
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            num_beams=num_beams,
        )
        predictor = _predictor(setup, task, rows)
        prepared = predictor.check_columns(rows, source)
        start = time.monotonic()
        _predict_rows(predictor, rows, prepared, output)
    message = predictor.finish()
    if message:
        logger.warning(message)
    return PredictResult(len(rows), task, output, time.monotonic() - start)


def _predict_rows(
    predictor: Predictor,
    rows: datasets.Dataset,
    prepared: datasets.Dataset,
    output: pathlib.Path,
) -> None:
    """Write the predictions part by part, so that memory does not grow with the rows."""
    columns = dict(predictor.columns)
    id_column = predictor.id_column
    has_id = id_column in rows.column_names
    if has_id:
        columns = {"id": rows.features.arrow_schema.field(id_column).type, **columns}
    size = predictor.setup.batch_size * _BATCHES_AT_A_TIME
    with (
        open_writer(output, columns) as write,
        tqdm(total=len(rows), unit=" rows", disable=None, leave=False) as bar,
    ):
        for first in range(0, len(prepared), size):
            last = min(first + size, len(prepared))
            predictions = predictor.predict(prepared[first:last])
            if has_id:
                ids = rows.select_columns([id_column])[first:last][id_column]
                predictions = [{"id": i, **p} for i, p in zip(ids, predictions, strict=True)]
            write(predictions)
            bar.update(last - first)


def _predictor(setup: InferenceSetup, task: str, rows: datasets.Dataset) -> Predictor:
    predictors = (p for info in TASKS if info.pipeline_tag == task for p in info.predictors)
    return next(predictor for predictor in predictors if predictor.supports(setup, rows))(setup)
