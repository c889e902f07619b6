"""Generation on several slots: the metrics of one slot, also where a slot has nothing to do."""

import json
import pathlib
from typing import Any

import pytest
import tiny_seq2seq
from agent import Agent
from master import Master
from workspaces import ENTRYPOINT, ROOT

EXAMPLE = ROOT / "examples" / "huggingface" / "seq2seq"
PAIRS = [("the cat sat", "cat"), ("a dog ran", "dog"), ("where is it", "it"), ("one two", "two")]


# With 3 rows rank 0 has a batch more than rank 1; with 1 row rank 1 has nothing to do.
@pytest.mark.parametrize("count", [3, 1])
def test_metrics_are_those_of_one_slot(
    count: int, tmp_path: pathlib.Path, master: Master, agent: Agent
) -> None:
    def write(name: str, rows: list[tuple[str, str]]) -> str:
        lines = [json.dumps({"document": text, "summary": short}) + "\n" for text, short in rows]
        (tmp_path / name).write_text("".join(lines))
        return str(tmp_path / name)

    # BART has a buffer, which DDP would send from rank 0 to the others at each forward.
    model = tiny_seq2seq.save(tmp_path / "model", "bart", [text for pair in PAIRS for text in pair])
    config: dict[str, Any] = {
        "name": "seq2seq",
        "entrypoint": ENTRYPOINT.replace(
            "qa_trial:QATrial", "summarization_trial:SummarizationTrial"
        ),
        "hyperparameters": {
            "model_mode": "seq2seq-lm",
            "pretrained_model_name_or_path": str(model),
            "use_pretrained_weights": False,
            "global_batch_size": 2 if count == 3 else 4,
            "max_steps": 2,
            "learning_rate": 1e-3,
        },
        "data": {
            "train_file": write("train.json", PAIRS),
            "validation_file": write("validation.json", PAIRS[:count]),
            "max_target_length": 8,
            "num_beams": 2,
        },
        "searcher": {"name": "single", "metric": "rouge1", "smaller_is_better": False},
        "perform_initial_validation": True,
        "scheduling_unit": 1,
    }
    found: list[dict[int, dict[str, float]]] = []
    for slots in (1, 2):
        output = tmp_path / f"predictions{slots}"
        run = agent.start(
            {**config, "data": {**config["data"], "output_dir": str(output)}}, EXAMPLE, slots=slots
        )
        run.wait()
        found.append(master.reported("validation", run.trial.id))
        predictions = json.loads((output / "predictions.json").read_text())
        assert list(predictions) == [str(row) for row in range(count)]
    one, two = found
    assert set(one) == set(two) == {0, 2}
    names = {"rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len", "validation_loss"}
    assert names <= set(one[0])
    for name in names:
        # The same weights; batches of other sizes may round a loss otherwise.
        assert two[0][name] == pytest.approx(one[0][name], rel=1e-5), name
        # After steps on the same global batches.
        assert two[2][name] == pytest.approx(one[2][name], rel=1e-2), name
