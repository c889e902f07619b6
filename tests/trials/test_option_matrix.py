"""Every switch, alone and as people combine them, on question answering and on a causal language
model, on one slot and two: a run that is stopped in the middle and continued ends the same.

On two slots test_two_slots.py has some of them beside other trainings, in less time.
"""

import pathlib

import pytest
import torch
from option_runs import Project, new_project, run_on_two_slots, switches_of, tolerance

QA, CLM = "question-answering", "causal-language-modeling"
ON_GPU = torch.cuda.is_available()

pytestmark = pytest.mark.usefixtures("probes_run_through")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    root = tmp_path_factory.mktemp("projects")
    return {task: new_project(task, root / task) for task in (QA, CLM)}


def assert_same_end(project: Project, whole: str, stopped: str, atol: float) -> None:
    assert project.same(whole, stopped, atol)
    assert [v["steps_completed"] for v in project.validations(stopped)] == [4, 8, 9]
    if not atol:
        assert project.validations(whole) == project.validations(stopped)


# Of the causal language model test_resume_of_tasks.py has those that people combine most often.
@pytest.mark.parametrize("name", switches_of(QA, gpu=ON_GPU))
@pytest.mark.parametrize("task", [QA, pytest.param(CLM, marks=pytest.mark.slow)])
def test_stopped_in_the_middle_it_ends_the_same(
    task: str, name: str, projects: dict[str, Project]
) -> None:
    project, switches = projects[task], switches_of(task, gpu=ON_GPU)[name]
    project.job(f"{name}-whole", **switches).run()
    for job in project.stopped(f"{name}-stopped", **switches):
        job.run()
    assert_same_end(project, f"{name}-whole", f"{name}-stopped", tolerance(name))


@pytest.mark.slow
def test_on_two_slots(projects: dict[str, Project], tmp_path: pathlib.Path) -> None:
    jobs = []
    two_gpus = torch.cuda.device_count() > 1
    for task, project in projects.items():
        for name, switches in switches_of(task, gpu=two_gpus).items():
            jobs += [
                project.job(f"{name}-whole2", **switches),
                *project.stopped(f"{name}-stopped2", **switches),
            ]
    # Workers are forked, which threads of earlier jobs may disturb: those with workers come first.
    jobs.sort(key=lambda job: not any("workers" in word for word in job.words))
    run_on_two_slots(jobs, tmp_path)
    for task, project in projects.items():
        for name in switches_of(task, gpu=two_gpus):
            assert_same_end(project, f"{name}-whole2", f"{name}-stopped2", tolerance(name))
