"""model-hub for an image that does not have it: handed over with the experiment."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from typing import Any

import pytest
from agent import Agent, Run
from master import Master
from submitting import read_yaml, submit
from workspaces import ENTRYPOINT, ROOT, make_workspace

PACKAGE = ROOT / "model_hub"
HOOK = ROOT / "examples" / "huggingface" / "startup-hook.sh"
TRIAL = """
import model_hub
from qa_trial import QATrial

print("model_hub is", model_hub.__file__, flush=True)


class TellingTrial(QATrial):
    pass
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An environment that sees the packages of the tests' own, but can be installed into.

    A model-hub that the tests' environment has in editable mode is not seen: the file that would
    lead there is read by the interpreter of that environment only.
    """
    folder = tmp_path_factory.mktemp("image")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    outer = sysconfig.get_paths()
    lines = sorted({outer["purelib"], outer["platlib"]})
    (pathlib.Path(paths["purelib"]) / "outer.pth").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def experiment(corpus: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with `tiny.yaml`, whose trial tells where model_hub comes from."""
    workspace = make_workspace(corpus, tmp_path / "experiment")
    (workspace.root / "telling_trial.py").write_text(TRIAL)
    config: dict[str, Any] = workspace.config
    config["entrypoint"] = ENTRYPOINT.replace("qa_trial:QATrial", "telling_trial:TellingTrial")
    config["hyperparameters"]["max_steps"] = 2
    config["scheduling_unit"] = 2
    workspace.write_yaml(config)
    return workspace.root


def origin(run: Run) -> pathlib.Path:
    """The file of model_hub that a trial has imported."""
    found = set(re.findall(r"model_hub is (\S+)", run.output()))
    assert len(found) == 1, run.output()
    return pathlib.Path(found.pop())


def run_submitted(
    master: Master, agent: Agent, folder: pathlib.Path, image: pathlib.Path, *options: str
) -> Run:
    """From `det experiment create tiny.yaml .` to the end of the trial, in that environment."""
    submission = submit(master, folder.parent / "home", "tiny.yaml", folder, *options)
    run = agent.start(
        read_yaml(submission.config_text),
        submission.unpack(folder.parent / "unpacked"),
        experiment_id=submission.experiment_id,
        env={
            "PATH": os.pathsep.join([str(image / "bin"), os.defpath]),
            # What pip would have to fetch is not to be fetched, but missed.
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
        },
    )
    run.wait()
    return run


def test_an_included_package_is_imported_from_the_context(
    master: Master,
    agent: Agent,
    experiment: pathlib.Path,
    image: pathlib.Path,
) -> None:
    run = run_submitted(master, agent, experiment, image, "--include", str(PACKAGE))

    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    sent = master.submissions[-1].files
    assert sources <= sent.keys()
    assert not [name for name in sent if "__pycache__" in name]
    assert origin(run) == run.workdir / "model_hub" / "__init__.py"
    assert 2 in master.reported("validation", run.trial.id)


def test_the_startup_hook_installs_an_included_wheel(
    master: Master,
    agent: Agent,
    experiment: pathlib.Path,
    image: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    wheel = build_wheel(tmp_path)
    # The image has another state of the same version, which pip takes for what it is to install.
    purelib = pathlib.Path(sysconfig.get_paths(vars={"base": str(image)})["purelib"])
    with zipfile.ZipFile(wheel) as content:
        content.extractall(purelib)
    (purelib / "model_hub" / "__init__.py").write_text("raise ImportError('the image has this')\n")
    constraints = ROOT / "constraints.txt"
    options = [f"--include={path}" for path in (HOOK, wheel, constraints)]
    run = run_submitted(master, agent, experiment, image, *options)

    sent = master.submissions[-1].files
    assert {HOOK.name, wheel.name, constraints.name} <= sent.keys()
    assert not [name for name in sent if name.startswith("model_hub/")]
    # Not the one that the environment of the tests has, though that is of the same version.
    assert origin(run).is_relative_to(image)
    assert 2 in master.reported("validation", run.trial.id)


def build_wheel(folder: pathlib.Path) -> pathlib.Path:
    # From a copy: a build leaves files beside its sources.
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / "model_hub", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", str(folder), str(source)], check=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def start_with_hook(agent: Agent, folder: pathlib.Path, hook: str) -> Run:
    folder.mkdir()
    (folder / "startup-hook.sh").write_text(hook)
    (folder / "say.py").write_text("import os\nprint('greeting:', os.environ['GREETING'])\n")
    searcher = {"name": "single", "metric": "none"}
    config = {"name": "hook", "entrypoint": "python3 say.py", "searcher": searcher}
    return agent.start({**config, "hyperparameters": {}}, folder)


def test_what_a_startup_hook_exports_reaches_the_trial(
    agent: Agent, tmp_path: pathlib.Path
) -> None:
    run = start_with_hook(agent, tmp_path / "context", "export GREETING=hello\n")
    run.wait()
    assert "greeting: hello" in run.output()


def test_a_startup_hook_that_fails_ends_the_task(agent: Agent, tmp_path: pathlib.Path) -> None:
    hook = "export GREETING=hello\nfalse\ntrue\n"
    run = start_with_hook(agent, tmp_path / "context", hook)
    run.wait(expect=1)
    assert "greeting:" not in run.output()
