"""Settings of Determined's client that a training on a cluster needs."""

import json
import os

# A master that restarts answers with these for a while. `allowed_methods: false` is all methods.
_PATIENCE = {
    "total": 20,
    # Answers with an error: a minute or two, for an error that stays must not keep a GPU busy.
    "status": 8,
    "backoff_factor": 0.5,
    "status_forcelist": [500, 502, 503, 504],
    "allowed_methods": False,
}


def be_patient() -> None:
    """Lets a training sit out a master that answers with errors for some minutes.

    By default Determined repeats requests that found no master, and ends the training at the first
    one that was answered with an error. What stands in ``DET_RETRY_CONFIG`` already counts.
    """
    os.environ.setdefault("DET_RETRY_CONFIG", json.dumps(_PATIENCE))
