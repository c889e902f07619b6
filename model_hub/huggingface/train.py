"""The script-style entrypoint of an experiment.

In the experiment's YAML::

    entrypoint: >-
      python3 -m determined.launch.torch_distributed
      python3 -m model_hub.huggingface.train qa_trial:QATrial

Off a cluster use ``model-hub train CONFIG.yaml``, which reads the same YAML.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

import determined as det
from determined import common

from model_hub import _terminal
from model_hub.errors import UserError
from model_hub.experiment import entrypoint
from model_hub.experiment.trial_class import import_trial
from model_hub.huggingface.runner import cluster


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the trial that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m model_hub.huggingface.train",
        description="Train a trial on a Determined cluster by its experiment's YAML.",
    )
    parser.add_argument(
        "trial", metavar="MODULE:CLASS", help="the trial class, for instance qa_trial:QATrial"
    )
    options = parser.parse_args(arguments)
    info = det.get_cluster_info()
    try:
        if info is None or info.task_type != "TRIAL":
            raise UserError(
                "this is the entrypoint of an experiment on a Determined cluster. To train on this "
                "machine, run: model-hub train CONFIG.yaml"
            )
        common.set_logger(info.trial._debug)
        trial_class = import_trial(entrypoint.trial_spec([options.trial]), pathlib.Path.cwd())
        cluster.run_on_cluster(trial_class, info)
    except UserError as error:
        _terminal.print_error(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
