"""XLNet with its beam search on two slots: it trains, and its metrics are those of one slot."""

import json
import pathlib
from typing import Any

import pytest
import tiny_xlnet
from agent import Agent
from master import Master
from workspaces import ENTRYPOINT, EXAMPLE


def test_metrics_are_those_of_one_slot(
    corpus: pathlib.Path, tmp_path: pathlib.Path, master: Master, agent: Agent
) -> None:
    rows = (corpus / "validation.json").read_text("utf-8").splitlines(keepends=True)[:9]
    (tmp_path / "rows.json").write_text("".join(rows))
    texts = [json.loads(row)[name] for row in rows for name in ("context", "question")]
    config: dict[str, Any] = {
        "name": "beam-search",
        "entrypoint": ENTRYPOINT.replace(
            "qa_trial:QATrial", "qa_beam_search_trial:QABeamSearchTrial"
        ),
        "hyperparameters": {
            "model_mode": "question-answering",
            "pretrained_model_name_or_path": str(tiny_xlnet.save(tmp_path / "model", texts)),
            "use_pretrained_weights": False,
            "global_batch_size": 4,
            "max_steps": 3,
            "learning_rate": 1e-3,
        },
        "data": {
            "train_file": str(tmp_path / "rows.json"),
            "validation_file": str(tmp_path / "rows.json"),
            "max_seq_length": 96,
            "doc_stride": 32,
        },
        "searcher": {"name": "single", "metric": "f1", "smaller_is_better": False},
        "perform_initial_validation": True,
        "scheduling_unit": 1,
    }
    found = []
    for slots in (1, 2):
        # Beside the trial stands a folder with the demo, which is not needed here.
        context = tmp_path / f"context{slots}"
        context.mkdir()
        name = "qa_beam_search_trial.py"
        (context / name).write_bytes((EXAMPLE / name).read_bytes())
        run = agent.start(config, context, slots=slots)
        # A weight without a gradient would end DDP at the second step.
        run.wait()
        found.append(master.reported("validation", run.trial.id))
    one, two = found
    assert set(one) == set(two) == {0, 3}
    for name in ("f1", "exact_match"):
        assert two[0][name] == pytest.approx(one[0][name])
