"""Adapters from the training to the answers: stopped and continued, exported, asked."""

import json
import os
import pathlib
import shutil
import signal
from typing import Any

import pytest
import torch
import transformers
from option_runs import Project, new_project, run_on_two_slots
from safetensors.torch import load_file

from model_hub import cli
from model_hub.huggingface.checkpoint import saving
from model_hub.huggingface.runner import local

CLASSES, CLM = "text-classification", "causal-language-modeling"
LORA = {"r": 2}
# Ranks are taken away from the second update to the last but one.
ADALORA = {
    "peft_type": "ADALORA",
    "total_step": 9,
    "tinit": 1,
    "tfinal": 1,
    "deltaT": 1,
    "init_r": 8,
    "target_r": 3,
}
PROMPT = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}


pytestmark = pytest.mark.usefixtures("probes_run_through")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Two projects with pretrained weights beside them; those of a classifier lack its pooler."""
    root = tmp_path_factory.mktemp("projects")
    made = {}
    for task, cls in (
        (CLASSES, transformers.AutoModelForMaskedLM),
        (CLM, transformers.AutoModelForCausalLM),
    ):
        project = made[task] = new_project(task, root / task)
        base = project.folder / "base"
        shutil.copytree(project.folder / "model", base)
        config = transformers.AutoConfig.from_pretrained(base)
        torch.manual_seed(1)
        cls.from_config(config).save_pretrained(base)
    return made


def pretrained(project: Project, **settings: Any) -> dict[str, Any]:
    return {
        "use_pretrained_weights": True,
        "pretrained_model_name_or_path": str(project.folder / "base"),
        **settings,
    }


def weights(folder: pathlib.Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*model.safetensors")
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def export(project: Project, run: str, target: pathlib.Path, *options: str, code: int = 0) -> None:
    words = ["export", str(project.folder / run), str(target), "--which", "latest", *options]
    assert cli.main(words) == code


def train_with_a_stop(batch: int, project: Project, run: str, **settings: Any) -> None:
    train_batch = local._LocalController._train_batch

    def stop(self: Any, batch_: Any, epoch_idx: int, batch_idx: int) -> Any:
        if batch_idx == batch:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_batch(self, batch_, epoch_idx, batch_idx)

    first, resumed = project.stopped(run, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            local._LocalController,
            "_train_batch",
            lambda self, batch, epoch_idx, batch_idx: stop(self, batch, epoch_idx, batch_idx),
        )
        assert cli.main(first.words) == 128 + signal.SIGTERM
    resumed.run()


@pytest.mark.parametrize("peft", [LORA, {**LORA, "modules_to_save": ["classifier"]}])
def test_the_exported_model_is_the_trained_one(
    peft: dict[str, Any], projects: dict[str, Project], tmp_path: pathlib.Path
) -> None:
    """Also where weights within the model were not pretrained: a pooler, drawn at random."""
    project = projects[CLASSES]
    run = f"masked-{len(peft)}"
    project.job(run, **pretrained(project, peft=peft)).run()
    export(project, run, tmp_path / "out")
    final = weights(project.folder / run / "model")
    assert same(weights(tmp_path / "out"), final) and "bert.pooler.dense.weight" in final
    alone = "modules_to_save" not in peft
    export(project, run, tmp_path / "alone", "--no-merge", code=0 if alone else 2)
    if not alone:
        return
    answers = []
    for folder in (tmp_path / "out", tmp_path / "alone"):
        output = tmp_path / f"{folder.name}.jsonl"
        rows = project.folder / "validation.jsonl"
        words = ["predict", str(folder), "--input", str(rows), "--output", str(output)]
        assert cli.main(words) == 0
        answers.append([json.loads(line)["score"] for line in output.read_text().splitlines()])
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


def test_on_weights_that_came_from_nowhere(
    projects: dict[str, Project], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = projects[CLM]
    project.job("nowhere", peft=LORA, use_pretrained_weights=False).run()
    export(project, "nowhere", tmp_path / "out")
    assert same(weights(tmp_path / "out"), weights(project.folder / "nowhere" / "model"))
    export(project, "nowhere", tmp_path / "alone", "--no-merge", code=2)
    assert "Leave --no-merge out" in capsys.readouterr().err
    # Of a prompt there would be nothing else to save.
    job = project.job("prompt-nowhere", peft=PROMPT, use_pretrained_weights=False)
    assert cli.main(job.words) == 2
    assert "are new and would be lost" in capsys.readouterr().err


def test_a_start_that_is_drawn_is_exported(
    projects: dict[str, Project], tmp_path: pathlib.Path
) -> None:
    project = projects[CLASSES]
    peft = {**LORA, "init_lora_weights": "pissa_niter_2", "target_modules": ["query"]}
    project.job("drawn", **pretrained(project, peft=peft)).run()
    export(project, "drawn", tmp_path / "out")
    trained, exported = weights(project.folder / "drawn" / "model"), weights(tmp_path / "out")
    assert all(torch.allclose(trained[name], exported[name], atol=1e-6) for name in trained)


@pytest.mark.parametrize(
    ("task", "peft", "stop"),
    [(CLASSES, ADALORA, 5), (CLASSES, ADALORA, 8), (CLM, ADALORA, 3), (CLM, PROMPT, 4)],
)
def test_stopped_in_the_middle_it_ends_the_same(
    task: str, peft: dict[str, Any], stop: int, projects: dict[str, Project], tmp_path: pathlib.Path
) -> None:
    project = projects[task]
    name = f"{peft['peft_type']}-{stop}"
    settings = pretrained(project, peft=peft)
    project.job(f"{name}-whole", **settings).run()
    train_with_a_stop(stop, project, f"{name}-stopped", **settings)
    whole = weights(project.folder / f"{name}-whole" / "model")
    assert same(whole, weights(project.folder / f"{name}-stopped" / "model"))
    assert project.validations(f"{name}-whole") == project.validations(f"{name}-stopped")
    export(project, f"{name}-stopped", tmp_path / "out")
    exported = weights(tmp_path / "out")
    assert all(torch.allclose(whole[n], exported[n], atol=1e-6) for n in whole)


@pytest.mark.slow
def test_on_two_slots(projects: dict[str, Project], tmp_path: pathlib.Path) -> None:
    """Slots whose ranks differed would be alike after a stop, and go on otherwise."""
    jobs, runs = [], []
    for task, peft in ((CLASSES, ADALORA), (CLM, PROMPT)):
        project, settings = projects[task], pretrained(projects[task], peft=peft)
        whole, stopped = (project.folder / f"{peft['peft_type']}-{n}-of-two" for n in "ws")
        runs.append((whole, stopped))
        jobs += [project.job(whole.name, **settings), *project.stopped(stopped.name, **settings)]
    run_on_two_slots(jobs, tmp_path)
    for whole, stopped in runs:
        assert same(weights(whole / "model"), weights(stopped / "model"))


def test_ranks_are_taken_away(
    projects: dict[str, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projects[CLASSES]
    trials: list[Any] = []
    export_trial = saving.export_trial
    monkeypatch.setattr(
        saving, "export_trial", lambda t, folder: trials.append(t) or export_trial(t, folder)
    )
    project.job("ranks", **pretrained(project, peft=ADALORA)).run()
    ranks = {
        name: int((weight != 0).sum())
        for name, weight in trials[0].model.named_parameters()
        if "lora_E" in name
    }
    # target_r is what is left of init_r, on the average.
    assert len(ranks) == 2 and sum(ranks.values()) == ADALORA["target_r"] * len(ranks)

    def orthogonality() -> float:
        squares = [
            torch.linalg.matrix_norm(w @ w.T - torch.eye(len(w), device=w.device))
            for name, w in trials[-1].model.named_parameters()
            if "lora_A" in name
        ]
        return float(torch.stack(squares).mean().detach())

    distances = []
    for weight in (0.0, 50.0):
        peft = {**ADALORA, "orth_reg_weight": weight}
        project.job(f"orth{weight}", **pretrained(project, peft=peft)).run()
        distances.append(orthogonality())
    assert distances[1] < distances[0]


def test_what_was_weighed_is_not_lost_at_a_stop(projects: dict[str, Project]) -> None:
    project = projects[CLASSES]
    settings = pretrained(project, peft={**ADALORA, "total_step": 40})
    project.job("weighed", **settings).run()
    train_with_a_stop(5, project, "weighed-stopped", **settings)
    states = []
    for run in ("weighed", "weighed-stopped"):
        files = (project.folder / run / "checkpoints").glob("*/state_dict.pth")
        last = max(files, key=lambda file: file.stat().st_mtime_ns)
        states.append(torch.load(last)["callbacks"]["rank_allocation_0"])
    one, other = states
    assert one["updates"] == other["updates"] == 9
    for scores in ("exp_avg_ipt", "exp_avg_unc"):
        assert one[scores] and same(one[scores], other[scores])
