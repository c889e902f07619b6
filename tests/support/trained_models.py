"""A tiny training for every task: a run's folder, rows to ask, and the trial as it ended."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import text_models
import tiny
import tiny_seq2seq
import tiny_xlnet
import torch
from workspaces import ROOT

from model_hub import cli
from model_hub.huggingface.checkpoint import saving

EXAMPLES = ROOT / "examples" / "huggingface"
WORDS = ["the cat sat", "the dog ran", "where the dog sat", "cat", "the cat ran the dog sat where"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """How a task is trained.

    Attributes:
        trial: folder below the examples, module and class.
        mode: ``model_mode``.
        model: writes configuration and tokenizer.
        rows: of the training; also those to ask.
        data: further keys of section ``data``.
        metric: ``searcher.metric``.
        hparams: further hyperparameters.
    """

    trial: tuple[str, str, str]
    mode: str
    model: Callable[[pathlib.Path], Any]
    rows: list[Row]
    data: dict[str, Any]
    metric: str
    hparams: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def writes_answers(self) -> bool:
        """Whether the validation writes what it answers into a file."""
        return self.trial[0] in ("question-answering", "seq2seq")


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that has ended; its data and base model are no longer where they were.

    Attributes:
        run: its folder.
        rows: what it was trained and validated on.
        trial: as it ended.
        answers: what the last validation answered, if the task writes that.
    """

    run: pathlib.Path
    rows: list[Row]
    trial: Any
    answers: dict[str, Any]


def _questions() -> list[Row]:
    return [
        {
            "id": f"q{n}",
            "question": "where",
            "context": f"{'the ' * (n % 5)}{WORDS[n % 5]}",
            "answers": {"text": ["cat"], "answer_start": [0]} if WORDS[n % 5] == "cat" else None,
        }
        for n in range(12)
    ]


def _bert(folder: pathlib.Path) -> None:
    tiny.save(folder, "bert", initializer_range=0.5)


def _gpt2(folder: pathlib.Path, template: str | None = None) -> None:
    tokenizer = text_models.byte_level_tokenizer(WORDS, 300)
    tokenizer.chat_template = template
    text_models.save_gpt2(folder, tokenizer, width=16, initializer_range=0.5)


def _texts(length: int = 17) -> list[str]:
    return [f"{'the ' * (n % 3)}{WORDS[n % 5]}" for n in range(length)]


_PAIRS = [
    {"en": f"{text} {number}", "ro": f"{number} {text}"} for number, text in enumerate(_texts())
]
_PAIR_TEXTS = [text for pair in _PAIRS for text in pair.values()]

TASKS: dict[str, Task] = {
    "qa": Task(
        ("question-answering", "qa_trial", "QATrial"),
        "question-answering",
        _bert,
        [{**row, "answers": row["answers"] or {"text": ["the"], "answer_start": [0]}}
         for row in _questions() if row["context"].startswith(("the", "cat"))],
        {"max_seq_length": 14, "doc_stride": 4},
        "f1",
    ),
    "beam": Task(
        ("question-answering", "qa_beam_search_trial", "QABeamSearchTrial"),
        "question-answering",
        lambda folder: tiny_xlnet.save(folder, [*WORDS, "where"]),
        [{**row, "answers": {"text": [], "answer_start": []}} for row in _questions()],
        {"max_seq_length": 16, "doc_stride": 4, "version_2_with_negative": True},
        "f1",
    ),
    "glue": Task(
        ("text-classification", "glue_trial", "GLUETrial"),
        "sequence-classification",
        _bert,
        [{"id": n, "body": text, "label": "odd" if n % 2 else "even"}
         for n, text in enumerate(_texts())],
        {"max_seq_length": 12},
        "accuracy",
    ),
    "regression": Task(
        ("text-classification", "glue_trial", "GLUETrial"),
        "sequence-classification",
        _bert,
        [{"sentence1": text, "sentence2": "where", "label": n / 2}
         for n, text in enumerate(_texts())],
        {"max_seq_length": 12},
        "mse",
    ),
    "ner": Task(
        ("token-classification", "ner_trial", "NERTrial"),
        "token-classification",
        _bert,
        [{"tokens": words, "ner_tags": ["B-cat" if word == "cat" else "O" for word in words]}
         for words in map(str.split, _texts())],
        {"max_seq_length": 24},
        "f1",
    ),
    "swag": Task(
        ("multiple-choice", "swag_trial", "SWAGTrial"),
        "multiple-choice",
        _bert,
        [{"sent1": text, "ending0": "the cat", "ending1": "ran", "label": n % 2,
          "ending2": [None, "the dog sat where"][n % 2]} for n, text in enumerate(_texts())],
        {},
        "accuracy",
    ),
    "clm": Task(
        ("language-modeling", "clm_trial", "CLMTrial"),
        "causal-lm",
        _gpt2,
        [{"text": text} for text in _texts()],
        {"max_seq_length": 16},
        "perplexity",
    ),
    "mlm": Task(
        ("language-modeling", "mlm_trial", "MLMTrial"),
        "masked-lm",
        _bert,
        [{"text": text.replace("cat", "[MASK]")} for text in _texts()],
        {"max_seq_length": 16},
        "perplexity",
    ),
    "sft": Task(
        ("instruction-tuning", "sft_trial", "SFTTrial"),
        "causal-lm",
        lambda folder: _gpt2(folder, TEMPLATE),
        [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "cat"}]}
         for text in _texts()],
        {"max_seq_length": 48},
        "perplexity",
    ),
    "summarization": Task(
        ("seq2seq", "summarization_trial", "SummarizationTrial"),
        "seq2seq-lm",
        lambda folder: tiny_seq2seq.save(folder, "t5", _PAIR_TEXTS),
        [{"document": text, "summary": text[:7]} for text in _texts()],
        {"max_target_length": 12, "source_prefix": "sum: ", "num_beams": 2},
        "validation_loss",
    ),
    "translation": Task(
        ("seq2seq", "translation_trial", "TranslationTrial"),
        "seq2seq-lm",
        lambda folder: tiny_seq2seq.save(folder, "marian", _PAIR_TEXTS),
        [{"translation": pair} for pair in _PAIRS],
        {"max_target_length": 12, "source_lang": "en", "target_lang": "ro"},
        "validation_loss",
    ),
}  # fmt: skip


def write(task: Task, folder: pathlib.Path, answers: pathlib.Path) -> pathlib.Path:
    """Model, rows, trial and YAML in the folder; the path of the YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    task.model(folder / "model")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in task.rows), encoding="utf-8")
    example, module, trial = task.trial
    shutil.copy(EXAMPLES / example / f"{module}.py", folder)
    config = {
        "name": "tiny",
        "entrypoint": f"{module}:{trial}",
        "hyperparameters": {
            "model_mode": task.mode,
            "pretrained_model_name_or_path": str(folder / "model"),
            "use_pretrained_weights": False,
            "global_batch_size": 8,
            "max_steps": 2,
            "learning_rate": 1e-2,
            "token": "hf_aSecretThatNobodyMaySee",
            **task.hparams,
        },
        "data": {
            "train_file": str(rows),
            "validation_file": str(rows),
            **({"output_dir": str(answers)} if task.writes_answers else {}),
            **task.data,
        },
        "searcher": {"name": "single", "metric": task.metric, "smaller_is_better": False},
    }
    yaml = folder / "tiny.yaml"
    yaml.write_text(json.dumps(config))
    return yaml


def train(name: str, folder: pathlib.Path, **hparams: Any) -> Trained:
    """Trains for two batches in this process, and takes data and base model away."""
    task = dataclasses.replace(TASKS[name], hparams=hparams)
    context = folder / "context"
    yaml = write(task, context, folder / "answers")
    trials: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        export = saving.export_trial

        def seen(trial: Any, target: pathlib.Path) -> bool:
            trials.append(trial)
            exported = export(trial, target)
            # The last that happens; tests compare it with models that were loaded.
            trial.model.cpu()
            return exported

        patch.setattr(saving, "export_trial", seen)
        assert cli.main(["train", str(yaml), "--output-dir", str(folder / "run")]) == 0
    shutil.rmtree(context)
    (trial,) = trials
    file = folder / "answers" / "predictions.json"
    answers = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return Trained(folder / "run", task.rows, trial, answers)


@torch.no_grad()
def outputs(model: Any) -> list[torch.Tensor]:
    """What a model gives for some tokens: all tensors, in their order."""
    ids = torch.arange(24).reshape(2, 12) % 11
    arguments: dict[str, torch.Tensor] = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        arguments["decoder_input_ids"] = ids
    if "MultipleChoice" in type(model).__name__:
        arguments["input_ids"] = ids[None]
    found = model.eval()(**arguments)
    return [value for value in found.to_tuple() if isinstance(value, torch.Tensor)]
