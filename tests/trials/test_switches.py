"""Switches that one of the tasks, and not question answering, may trip over; and what is said
before anything is loaded."""

from typing import Any

import pytest
import torch
from option_runs import Project, new_project

from model_hub import cli
from model_hub.huggingface.runner import run
from model_hub.huggingface.runner.run import _batches_per_epoch

CLASSES, TAGS, SUMMARIES = "text-classification", "token-classification", "summarization"
BEAMS = "question-answering-beam-search"


pytestmark = pytest.mark.usefixtures("probes_run_through")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    root = tmp_path_factory.mktemp("projects")
    made = {task: new_project(task, root / task) for task in (CLASSES, TAGS, SUMMARIES, BEAMS)}
    # What the others are probed for, this one does not have.
    (made[SUMMARIES].folder / "probe_trial.py").write_text(
        "from summarization_trial import SummarizationTrial as ProbeTrial\n"
    )
    return made


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_half_precision(dtype: str, projects: dict[str, Project]) -> None:
    """Losses and metrics of them are numbers that numpy has."""
    project = projects[CLASSES]
    project.job(dtype, dtype=dtype, max_steps=4).run()
    assert {str(each.dtype) for each in project.weights(dtype).values()} == {f"torch.{dtype}"}
    assert len(project.validations(dtype)) == 1


def test_xlnet_needs_autocast_beside_them(
    projects: dict[str, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    project = projects[BEAMS]
    assert cli.main(project.job("half", dtype="bfloat16").words) == 2
    assert "Write bf16: true beside it" in capsys.readouterr().err
    project.job("both", dtype="bfloat16", bf16=True, max_steps=1).run()


@pytest.mark.parametrize("task", [TAGS, SUMMARIES])
def test_every_token_counts_the_same(task: str, projects: dict[str, Project]) -> None:
    """Two batches of 8 whose gradients are summed up are one of 16, whatever their lengths."""
    project = projects[task]
    # No step of it is larger because a gradient is small. Dropout would be drawn otherwise.
    plain = {
        "optim": "sgd",
        "learning_rate": 0.5,
        "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant",
    }
    config = project.folder / "model" / "config.json"
    before = config.read_text()
    config.write_text(before.replace("0.1", "0.0"))
    try:
        project.job("one", **plain, global_batch_size=16, max_steps=2).run()
        project.job(
            "two", **plain, global_batch_size=8, max_steps=4, gradient_accumulation_steps=2
        ).run()
        project.job("start", **{**plain, "learning_rate": 0.0}, max_steps=1).run()
    finally:
        config.write_text(before)
    one, two, start = (project.weights(run) for run in ("one", "two", "start"))
    moved = max(float((one[n] - start[n]).abs().max()) for n in one)
    apart = max(float((one[n] - two[n]).abs().max()) for n in one)
    # A mean of the batches' means is further away.
    assert apart < 1e-4 * moved


def test_a_backend_turns_compilation_on(
    projects: dict[str, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kwargs: calls.append(kwargs))
    projects[CLASSES].job("backend", torch_compile_backend="eager", max_steps=1).run()
    assert calls == [{"backend": "eager"}]


def test_batches_that_fill_no_group(
    projects: dict[str, Project],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = projects[CLASSES]
    project.job("rest", gradient_accumulation_steps=3, max_steps=4).run()
    assert "the last 1 of 4 batches change nothing" in capsys.readouterr().err
    # Four batches an epoch.
    counts: list[int] = []
    count = _batches_per_epoch

    def counted(*args: Any) -> int:
        counts.append(count(*args))
        return counts[-1]

    # A loader may take long to build.
    monkeypatch.setattr(run, "_batches_per_epoch", counted)
    words = project.job(
        "none", gradient_accumulation_steps=9, max_steps=None, num_train_epochs=2
    ).words
    assert cli.main(words) == 2
    assert "is 9, but the whole training has 8 batches" in capsys.readouterr().err
    assert counts == [4]


def test_a_compiler_is_asked_for_before_data_is_loaded(
    projects: dict[str, Project],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU needs no C++ compiler")
    cpp_builder = pytest.importorskip("torch._inductor.cpp_builder")
    project = projects[CLASSES]
    nowhere = {"data.train_file": "nowhere.jsonl"}
    monkeypatch.setenv("PATH", "")
    # What was found earlier is remembered.
    cpp_builder.cpp_compiler_search.cache_clear()
    try:
        with torch._inductor.config.patch("cpp.cxx", (None, "g++")):
            for backend, missing in ((None, True), ("inductor", True), ("eager", False)):
                job = project.job(
                    "no-g++", torch_compile_backend=backend, torch_compile=True, **nowhere
                )
                assert cli.main(job.words) == 2
                errors = capsys.readouterr().err
                assert ("needs a C++ compiler" in errors) == missing == ("nowhere" not in errors)
                assert "Traceback" not in errors
    finally:
        cpp_builder.cpp_compiler_search.cache_clear()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"fp16": True},
            "hyperparameters.fp16 is true, but the device is 'cpu'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has float16"),
        ),
        (
            {"torch_compile_backend": "nonsense"},
            "torch_compile_backend is 'nonsense', but torch has",
        ),
        (
            {"torch_compile_mode": "fast"},
            "torch_compile_mode is 'fast', but should be one of default",
        ),
        (
            {"gradient_accumulation_steps": 2, "optimizations.aggregation_frequency": 3},
            "they mean the same",
        ),
        ({"peft": {"rank": 3}}, "hyperparameters.peft.rank is not known to LORA"),
        ({"load_in_4bit": True}, "quantized weights cannot be trained"),
        ({"freeze": [1]}, "hyperparameters.freeze is [1]"),
        ({"early_stopping_threshold": -1.0}, "early_stopping_threshold is -1.0"),
    ],
)
def test_it_is_said_before_data_is_loaded(
    settings: dict[str, Any],
    message: str,
    projects: dict[str, Project],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The data, which the trial loads before its model, is a file that is not there."""
    project = projects[CLASSES]
    words = project.job("said", **settings, **{"data.train_file": "nowhere.jsonl"}).words
    assert cli.main(words) == 2
    errors = capsys.readouterr().err
    assert message in errors and "nowhere" not in errors and "Traceback" not in errors
