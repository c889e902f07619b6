"""What a master gets when a user submits an experiment with the real `det`."""

import pathlib
import re
import shutil

import pytest
from agent import Agent
from master import Master
from submitting import read_yaml, submit

REPOSITORY = pathlib.Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
YAMLS = sorted(path for ending in ("yaml", "yml") for path in EXAMPLES.rglob(f"*.{ending}"))
# What tools and runs may leave beside an example, and what nobody wants to upload.
REMAINS = {"__pycache__", "runs", ".ipynb_checkpoints"}


def trial_module(entrypoint: str | list[str]) -> str:
    """The module of the trial class that an entrypoint of either style names."""
    words = entrypoint.split() if isinstance(entrypoint, str) else entrypoint
    named = [word for word in words if re.fullmatch(r"[\w.]+:\w+", word)]
    assert len(named) == 1, f"no single module:Class in {entrypoint!r}"
    return named[0].split(":")[0]


def test_there_are_examples_to_submit() -> None:
    assert YAMLS, f"no YAML file below {EXAMPLES.name}/"


def context_directory(yaml: pathlib.Path, module: str) -> pathlib.Path:
    """The folder that an example is submitted from: the nearest one that has its trial."""
    for folder in yaml.parents:
        if (folder / f"{module}.py").exists():
            return folder
        if folder == EXAMPLES:
            break
    raise AssertionError(f"no {module}.py, which {yaml.name} names, beside it or above it")


@pytest.mark.parametrize(
    "yaml", [pytest.param(path, id=path.relative_to(EXAMPLES).as_posix()) for path in YAMLS]
)
def test_every_example_can_be_submitted(
    yaml: pathlib.Path, master: Master, tmp_path: pathlib.Path
) -> None:
    config = read_yaml(yaml.read_text(encoding="utf-8"))
    module = trial_module(config["entrypoint"])
    original = context_directory(yaml, module)
    # From a copy, so that what a developer's own runs have left there does not matter.
    folder = tmp_path / "example"
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns(*REMAINS))
    name = yaml.relative_to(original).as_posix()
    submission = submit(master, tmp_path / "home", name, folder)

    assert submission.config_text == yaml.read_text(encoding="utf-8")
    on_disk = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert submission.files.items() <= on_disk.items()
    if not (folder / ".detignore").exists():
        assert submission.files.keys() == on_disk.keys()
    # All that runs on the cluster has to be there.
    assert {name for name in on_disk if name.endswith(".py") and "/" not in name} <= (
        submission.files.keys()
    )
    assert f"{module}.py" in submission.files
    # A master refuses an experiment without these.
    assert config["name"] and config["searcher"]["name"] and config["searcher"]["metric"]


def test_what_was_submitted_runs(master: Master, agent: Agent, tmp_path: pathlib.Path) -> None:
    """From the command line of a user to the exit of the trial, through nothing but the master."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "run.yaml").write_text(
        "# kept as it is written\n"
        "name: greeting\n"
        "entrypoint: python3 say.py\n"
        "hyperparameters: {learning_rate: 3e-5}\n"
        "searcher: {name: single, metric: none}\n"
        "environment: {environment_variables: ['GREETING=hello = hi']}\n"
    )
    (folder / "say.py").write_text(
        "import os\n"
        "import determined as det\n"
        "print('greeting', os.environ['GREETING'])\n"
        "print('learning rate', repr(det.get_cluster_info().trial.hparams['learning_rate']))\n"
    )
    (folder / "data").mkdir()
    (folder / "data" / "rows.bin").write_bytes(bytes(range(256)))
    (folder / "notes").mkdir()
    (folder / "notes" / "private.txt").write_text("not for the cluster")
    (folder / ".detignore").write_text("notes/\n")

    submission = submit(master, tmp_path / "home", "run.yaml", folder)
    assert submission.config_text == (folder / "run.yaml").read_text()
    assert submission.files.keys() == {"run.yaml", "say.py", "data/rows.bin"}
    assert submission.directories == ["data"]

    unpacked = submission.unpack(tmp_path / "unpacked")
    run = agent.start(
        read_yaml(submission.config_text), unpacked, experiment_id=submission.experiment_id
    )
    run.wait()
    assert "learning rate 3e-05" in run.output()
    assert "greeting hello = hi" in run.output()
    assert (run.workdir / "data" / "rows.bin").read_bytes() == bytes(range(256))
    assert run.trial.experiment_id == submission.experiment_id
