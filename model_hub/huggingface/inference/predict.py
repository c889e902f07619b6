"""A trained model answers the rows of a file, and the answers go to another file as they come."""

import dataclasses
import logging
import pathlib
import time

import datasets
from tqdm.auto import tqdm

from model_hub.errors import UserError
from model_hub.huggingface.checkpoint import metadata
from model_hub.huggingface.data import files
from model_hub.huggingface.export import architectures
from model_hub.huggingface.inference import load
from model_hub.huggingface.inference.output import check_output, open_writer
from model_hub.huggingface.tasks._common.predictor import InferenceSetup, Predictor
from model_hub.huggingface.tasks.instruction_tuning.predict import ChatPredictor
from model_hub.huggingface.tasks.language_modeling.predict import (
    FillMaskPredictor,
    TextGenerationPredictor,
)
from model_hub.huggingface.tasks.multiple_choice.predict import MultipleChoicePredictor
from model_hub.huggingface.tasks.question_answering.predict import (
    BeamSearchPredictor,
    QuestionAnsweringPredictor,
)
from model_hub.huggingface.tasks.seq2seq.predict import Seq2SeqPredictor
from model_hub.huggingface.tasks.text_classification.predict import (
    RegressionPredictor,
    TextClassificationPredictor,
)
from model_hub.huggingface.tasks.token_classification.predict import TokenClassificationPredictor

logger = logging.getLogger("model_hub")

_PREDICTORS: dict[str, type[Predictor]] = {
    "question-answering": QuestionAnsweringPredictor,
    "text-classification": TextClassificationPredictor,
    "token-classification": TokenClassificationPredictor,
    "multiple-choice": MultipleChoicePredictor,
    "text2text-generation": Seq2SeqPredictor,
    "text-generation": TextGenerationPredictor,
    "fill-mask": FillMaskPredictor,
}
# Heads that search themselves; their outputs are not start and end logits.
_BEAM_SEARCH = ("XLNetForQuestionAnswering",)
# Rows in memory at a time, in batches: enough to put such of similar length together.
_BATCHES_AT_A_TIME = 64


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    """How to ask.

    Attributes:
        batch_size: rows that go through the model together.
        device: where the model computes; None takes a GPU if there is one.
        max_new_tokens: most tokens to generate; None is the task's default.
        num_beams: beams of the search for generated text; None is what the training said.

    Raises:
        UserError: when a number is below 1.
    """

    batch_size: int = 16
    device: str | None = None
    max_new_tokens: int | None = None
    num_beams: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_new_tokens", "num_beams"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = name.replace("_", "-")
                raise UserError(f"--{option} is {value}, but should be at least 1.")


@dataclasses.dataclass(frozen=True)
class PredictResult:
    """What was done.

    Attributes:
        rows: how many rows were answered.
        task: the task.
        output: the file with the answers.
        seconds: what answering took.
    """

    rows: int
    task: str
    output: pathlib.Path
    seconds: float

    def summary(self) -> str:
        """What to tell."""
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
    settings: PredictSettings | None = None,
) -> PredictResult:
    """Answers the rows of a file, one row of output for each, in the same order.

    Args:
        name: an exported model, a run's folder, a checkpoint's folder or the UUID of one on a
            cluster, or the name of a model on the Hugging Face Hub.
        input_file: the rows; the columns are those of the training data, labels are not needed.
        output: jsonl, csv or parquet by its extension; it appears when it is whole.
        task: what the model is for, if its class does not tell.
        which: of a run, the ``best`` or ``latest`` checkpoint; None takes its final model if there
            is one, or else the best.
        master: address of the cluster's master.
        settings: how to ask.

    Raises:
        UserError: when model, rows or settings are not as they should be.
    """
    settings = settings or PredictSettings()
    task = None if task is None else architectures.check_task(task)
    check_output(output, input_file)
    device = load.parse_device(settings.device)
    source = f"--input {input_file!r}"
    rows = files.load_file("--input", input_file)
    with load.is_exported(name, which, master) as folder:
        model, tokenizer, task = load.load_model(folder, task, device)
        known = metadata.read_task_metadata(pathlib.Path(folder))
        asked = InferenceSetup(
            model,
            tokenizer,
            data=known.get("data") or {},
            finetuning_task=known.get("finetuning_task"),
            batch_size=settings.batch_size,
            max_new_tokens=settings.max_new_tokens,
            num_beams=settings.num_beams,
        )
        predictor = _predictor(asked, task, rows)
        prepared = predictor.check(rows, source)
        began = time.monotonic()
        _predict_rows(predictor, rows, prepared, output)
    message = predictor.finish()
    if message:
        logger.warning(message)
    return PredictResult(len(rows), task, output, time.monotonic() - began)


def _predict_rows(
    predictor: Predictor,
    rows: datasets.Dataset,
    prepared: datasets.Dataset,
    output: pathlib.Path,
) -> None:
    """Writes the answers part by part; memory does not grow with the rows."""
    columns = dict(predictor.columns)
    has_id = "id" in rows.column_names
    if has_id:
        columns = {"id": rows.features.arrow_schema.field("id").type, **columns}
    size = predictor.asked.batch_size * _BATCHES_AT_A_TIME
    with (
        open_writer(output, columns) as write,
        tqdm(total=len(rows), unit=" rows", disable=None, leave=False) as bar,
    ):
        for first in range(0, len(prepared), size):
            last = min(first + size, len(prepared))
            answers = predictor.predict(prepared[first:last])
            if has_id:
                ids = rows.select_columns(["id"])[first:last]["id"]
                answers = [{"id": i, **a} for i, a in zip(ids, answers, strict=True)]
            write(answers)
            bar.update(last - first)


def _predictor(asked: InferenceSetup, task: str, rows: datasets.Dataset) -> Predictor:
    predictor = _PREDICTORS[task]
    config = asked.model.config
    if predictor is QuestionAnsweringPredictor and any(
        name in _BEAM_SEARCH for name in config.architectures or []
    ):
        predictor = BeamSearchPredictor
    if predictor is TextClassificationPredictor and (
        config.problem_type == "regression" or config.num_labels == 1
    ):
        predictor = RegressionPredictor
    if predictor is TextGenerationPredictor:
        messages = asked.data.get("messages_column") or "messages"
        if messages in rows.column_names and asked.tokenizer.chat_template:
            predictor = ChatPredictor
    return predictor(asked)
