"""The real `det` against the stand-in master."""

import os
import pathlib
import subprocess
import sys
from typing import Any

from master import Master
from records import Submission
from ruamel.yaml import YAML


def det(master: Master, home: pathlib.Path, *arguments: str, cwd: pathlib.Path) -> str:
    """Run the real command line; its output."""
    environment = {
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.defpath]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "DET_MASTER": master.url,
    }
    result = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "det"), *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def submit(
    master: Master, home: pathlib.Path, yaml: str, folder: pathlib.Path, *options: str
) -> Submission:
    """`det experiment create X.yaml .` in a folder."""
    before = len(master.submissions)
    output = det(master, home, "experiment", "create", yaml, ".", *options, cwd=folder)
    assert len(master.submissions) == before + 1
    submission = master.submissions[-1]
    assert f"Created experiment {submission.experiment_id}" in output
    assert master.unknown == [] and master.unauthorized == []
    return submission


def read_yaml(text: str) -> dict[str, Any]:
    """As `det` and a master do: YAML 1.2."""
    config: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return config
