"""What tests of several folders start from."""

import json
import pathlib
import subprocess
import sys

import pytest
from workspaces import EXAMPLE


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """``train.json``, ``validation.json`` and ``model/`` of the demo, small."""
    folder = tmp_path_factory.mktemp("corpus")
    sizes = ["--train-rows", "80", "--validation-rows", "30"]
    script = EXAMPLE / "demo" / "make_corpus.py"
    subprocess.run(
        [sys.executable, str(script), "--output-dir", str(folder), "--seed", "5", *sizes],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # With dropout, so that a run which forgets the random state is found out.
    model_config = folder / "model" / "config.json"
    settings = json.loads(model_config.read_text())
    settings.update(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, hidden_size=32)
    settings.update(num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    settings.update(embedding_size=32)
    model_config.write_text(json.dumps(settings))
    return folder
