"""`model-hub export`: the trained model, without the trial's data, code and base model."""

import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import huggingface_hub
import pytest
import tiny
import torch
import trained_models
import transformers
import yaml
from task_runs import write_rows
from trained_models import TASKS, Trained

from model_hub import cli
from model_hub.huggingface.export import model_card

Capture = pytest.CaptureFixture[str]
Get = Callable[[str], Trained]
LORA = {"peft_type": "LORA", "r": 2, "target_modules": ["query", "value"]}
LABELS = {0: "even", 1: "odd"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Get]:
    """Return a function that trains a model for a task, once."""
    known: dict[str, Trained] = {}

    def get(name: str) -> Trained:
        if name not in known:
            known[name] = trained_models.train(name, tmp_path_factory.mktemp(name))
        return known[name]

    yield get


def export(source: pathlib.Path | str, target: pathlib.Path, *options: str, code: int = 0) -> None:
    assert cli.main(["export", str(source), str(target), *options]) == code


def model_in(folder: pathlib.Path) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder)
    (architecture,) = config.architectures
    return getattr(transformers, architecture).from_pretrained(folder).eval()


def checkpoint_of(run: pathlib.Path) -> pathlib.Path:
    (folder,) = {path.parent for path in (run / "checkpoints").glob("*/state_dict.pth")}
    return folder


def same_outputs(one: Any, other: Any) -> bool:
    """Return whether weights are equal to the last bit, and outputs nearly.

    The order in which torch adds up depends on where the weights are in memory.
    """
    weights, others = one.state_dict(), other.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    pairs = zip(trained_models.outputs(one), trained_models.outputs(other), strict=True)
    return all(torch.allclose(*pair, rtol=1e-6, atol=1e-6) for pair in pairs)


def front_matter(folder: pathlib.Path) -> dict[str, Any]:
    _, front, _ = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(front)
    return loaded


@pytest.mark.parametrize("name", TASKS)
def test_the_exported_model_is_the_trained_one(
    name: str, trained: Get, tmp_path: pathlib.Path
) -> None:
    """To the last bit; with tokenizer, metadata, and a model card without secrets."""
    result = trained(name)
    export(result.run, tmp_path / "out")
    assert same_outputs(model_in(tmp_path / "out"), result.trial.model)
    assert (tmp_path / "out" / "model.safetensors").exists()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    pair = ("the cat sat", "where")
    assert tokenizer(*pair).data == result.trial.tokenizer(*pair).data
    assert tokenizer.chat_template == result.trial.tokenizer.chat_template
    settings = json.loads((tmp_path / "out" / "model_hub.json").read_text())
    assert TASKS[name].data.items() <= settings["data"].items()
    front = front_matter(tmp_path / "out")
    assert front["library_name"] == "transformers"
    results = front["model-index"][0]["results"][0]
    reported = {metric["type"]: metric["value"] for metric in results["metrics"]}
    assert TASKS[name].metric in reported
    content = "".join(
        path.read_text("utf-8")
        for folder in (tmp_path / "out", checkpoint_of(result.run) / "model_hub")
        for path in folder.iterdir()
        if path.suffix in (".json", ".md")
    )
    assert "hf_aSecret" not in content and str(tmp_path.parent) not in content


def test_names_of_labels_and_pipeline_tags(trained: Get, tmp_path: pathlib.Path) -> None:
    tags = {}
    for name in ("glue", "summarization", "translation"):
        export(checkpoint_of(trained(name).run), tmp_path / name)
        tags[name] = front_matter(tmp_path / name)["pipeline_tag"]
    assert tags == {
        "glue": "text-classification",
        "summarization": "summarization",
        "translation": "translation",
    }
    assert model_in(tmp_path / "glue").config.id2label == LABELS
    assert (tmp_path / "summarization" / "generation_config.json").exists()


def test_the_best_and_the_latest(tmp_path: pathlib.Path) -> None:
    result = trained_models.train("glue", tmp_path, max_steps=3)
    run = result.run
    latest = checkpoint_of(run)
    index = json.loads((run / "checkpoints" / "index.json").read_text())
    # As if an earlier checkpoint were the better one.
    better = latest.with_name("00000000-0000-0000-0000-000000000001")
    shutil.copytree(latest, better)
    content = torch.load(better / "state_dict.pth", map_location="cpu")
    state = content["models_state_dict"][0]
    state["classifier.bias"] += 1
    torch.save(content, better / "state_dict.pth")
    (better / "metadata.json").write_text(json.dumps({"steps_completed": 1}))
    index.insert(0, {"uuid": better.name, "steps_completed": 1})
    (run / "checkpoints" / "index.json").write_text(json.dumps(index))
    record = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    with (run / "metrics.jsonl").open("a") as file:
        # searcher.smaller_is_better is false.
        file.write(json.dumps({**record, "steps_completed": 1, "accuracy": 2.0}) + "\n")
    export(run, tmp_path / "best")
    export(run, tmp_path / "latest", "--which", "latest")
    bias = result.trial.model.state_dict()["classifier.bias"]
    assert torch.equal(model_in(tmp_path / "latest").classifier.bias, bias)
    assert torch.equal(model_in(tmp_path / "best").classifier.bias, bias + 1)
    assert "| accuracy | 2 |" in (tmp_path / "best" / "README.md").read_text()


def test_adapters(tmp_path: pathlib.Path, capsys: Capture) -> None:
    """Merged or alone; with the base model of the training, or one given by --base-model."""
    base = tiny.save(
        tmp_path / "base", "bert", transformers.AutoModelForSequenceClassification, num_labels=2
    )
    result = trained_models.train(
        "glue",
        tmp_path,
        peft={**LORA, "task_type": "SEQ_CLS"},
        use_pretrained_weights=True,
        pretrained_model_name_or_path=str(base),
    )
    export(result.run, tmp_path / "merged")
    export(result.run, tmp_path / "adapter", "--no-merge")
    expected = trained_models.outputs(result.trial.model)
    for found in (
        model_in(tmp_path / "merged"),
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "adapter"),
    ):
        torch.testing.assert_close(trained_models.outputs(found), expected)
    assert front_matter(tmp_path / "adapter")["library_name"] == "peft"
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    # Asked, both say the same.
    file = write_rows(tmp_path / "rows.jsonl", result.rows)
    answers = []
    for name in ("merged", "adapter"):
        output = tmp_path / f"{name}.jsonl"
        words = ["predict", str(tmp_path / name), "--input", file, "--output", str(output)]
        assert cli.main(words) == 0
        answers.append([json.loads(line) for line in output.read_text().splitlines()])
    assert [row["label"] for row in answers[0]] == [row["label"] for row in answers[1]]
    base.rename(tmp_path / "moved")
    export(result.run, tmp_path / "lost", code=2)
    assert "--base-model" in capsys.readouterr().err and not (tmp_path / "lost").exists()
    export(result.run, tmp_path / "found", "--base-model", str(tmp_path / "moved"))
    assert same_outputs(model_in(tmp_path / "found"), model_in(tmp_path / "merged"))


def test_a_checkpoint_without_configuration(
    trained: Get, tmp_path: pathlib.Path, capsys: Capture
) -> None:
    """As the old library wrote them, also with the prefix of DistributedDataParallel."""
    result = trained("ner")
    old = tmp_path / "old"
    shutil.copytree(checkpoint_of(result.run), old)
    shutil.rmtree(old / "model_hub")
    content = torch.load(old / "state_dict.pth")
    content["models_state_dict"] = [
        {f"module.{name}": value for name, value in content["models_state_dict"][0].items()}
    ]
    content["models_state_dict"][0]["module.bert.embeddings.position_ids"] = torch.arange(32)[None]
    torch.save(content, old / "state_dict.pth")
    export(old, tmp_path / "out", code=2)
    assert "pretrained_model_name_or_path" in capsys.readouterr().err
    # The configuration is needed, where it was.
    saved = json.loads((old / "load_data.json").read_text())
    saved["hparams"]["pretrained_model_name_or_path"] = str(tiny.save(tmp_path / "base", "bert"))
    (old / "load_data.json").write_text(json.dumps(saved))
    export(old, tmp_path / "out")
    assert same_outputs(model_in(tmp_path / "out"), result.trial.model)


OWN_MODEL = '''
import transformers
from glue_trial import GLUETrial


class OwnModel(transformers.BertForSequenceClassification):
    """A class that transformers does not know."""


class OwnTrial(GLUETrial):
    def __init__(self, context):
        original = transformers.AutoModelForSequenceClassification.from_config
        transformers.AutoModelForSequenceClassification.from_config = OwnModel
        try:
            super().__init__(context)
        finally:
            transformers.AutoModelForSequenceClassification.from_config = original
'''


def test_a_custom_class_needs_run_trial_code(tmp_path: pathlib.Path, capsys: Capture) -> None:
    context = tmp_path / "context"
    file = trained_models.write(TASKS["glue"], context, tmp_path / "answers")
    (context / "own_trial.py").write_text(OWN_MODEL)
    config = {**json.loads(file.read_text()), "entrypoint": "own_trial:OwnTrial"}
    file.write_text(json.dumps(config))
    assert cli.main(["train", str(file), "--output-dir", str(tmp_path / "run")]) == 0
    export(tmp_path / "run", tmp_path / "out", code=2)
    error = capsys.readouterr().err
    assert "no model class 'OwnModel'" in error and "--run-trial-code" in error
    export(tmp_path / "run", tmp_path / "out", "--run-trial-code")
    weights = [
        transformers.BertForSequenceClassification.from_pretrained(folder).state_dict()
        for folder in (tmp_path / "out", tmp_path / "run" / "model")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


class Planted:
    """An object in a malicious checkpoint; unpickling it would run a command."""

    def __init__(self, marker: pathlib.Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_nothing_in_a_checkpoint_is_executed(
    trained: Get, tmp_path: pathlib.Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(checkpoint_of(trained("glue").run), bad)
    content = torch.load(bad / "state_dict.pth")
    torch.save({**content, "planted": Planted(tmp_path / "done")}, bad / "state_dict.pth")
    shutil.rmtree(bad / "code")
    (bad / "code").mkdir()
    (bad / "code" / "glue_trial.py").write_text(f"open({str(tmp_path / 'done')!r}, 'w')")
    export(bad, tmp_path / "out", code=2)
    assert "is refused" in capsys.readouterr().err
    assert not (tmp_path / "done").exists() and not (tmp_path / "out").exists()


def test_folders_in_use(trained: Get, tmp_path: pathlib.Path, capsys: Capture) -> None:
    run = trained("glue").run
    notes = tmp_path / "notes"
    notes.mkdir()
    export(run, notes)  # An empty one is taken.
    export(run, notes, code=2)
    assert "is not empty. Write another folder, or --overwrite." in capsys.readouterr().err
    (notes / "old.txt").write_text("")
    export(run, notes, "--overwrite")
    assert not (notes / "old.txt").exists() and (notes / "config.json").exists()
    (notes / "config.json").unlink()
    export(run, notes, "--overwrite", code=2)
    assert "holds no exported model" in capsys.readouterr().err
    assert (notes / "README.md").exists()


def test_a_folder_that_cannot_be_made(trained: Get, capsys: Capture) -> None:
    out = pathlib.Path("/proc/none/out")
    export(trained("glue").run, out, code=2)
    assert capsys.readouterr().err.startswith(f"model-hub: error: cannot write '{out}': No such")


def test_the_folder_of_several_runs(trained: Get, tmp_path: pathlib.Path, capsys: Capture) -> None:
    run = tmp_path / "project" / "runs" / "first"
    shutil.copytree(trained("glue").run, run)
    for folder in (run.parent, run.parents[1]):
        export(folder, tmp_path / "out", code=2)
        error = capsys.readouterr().err
        assert f"It holds runs; write one of them, for instance {os.path.relpath(run)}." in error


def test_messages_for_what_is_no_checkpoint(
    trained: Get, tmp_path: pathlib.Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    uuid = "8d45f621-8652-4268-8445-6ae9a735e453"
    damaged = tmp_path / "damaged"
    shutil.copytree(checkpoint_of(trained("qa").run), damaged)
    content = torch.load(damaged / "state_dict.pth")
    del content["models_state_dict"][0]["qa_outputs.bias"]
    torch.save(content, damaged / "state_dict.pth")
    for source, options, message in (
        (tmp_path / "none", [], "there is no folder"),
        (tmp_path, [], "is no checkpoint"),
        (trained("qa").run / "model", [], "an exported model already"),
        (damaged, [], "missing are qa_outputs.bias"),
        (uuid, ["--master", "http://127.0.0.1:9"], "no Determined master answers"),
        (damaged, ["--push-to-hub", "a b"], "--push-to-hub"),
    ):
        export(source, tmp_path / "out", *options, code=2)
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_upload(
    trained: Get, tmp_path: pathlib.Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("glue").run
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    export(run, tmp_path / "one", "--push-to-hub", "me/model", code=2)
    error = capsys.readouterr().err
    assert "--push-to-hub: the Hugging Face Hub cannot be reached" in error
    assert (tmp_path / "one" / "model.safetensors").exists()
    seen: list[Any] = []

    def create_repo(self: Any, repo_id: str, **options: Any) -> str:
        seen.append((repo_id, options))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self: Any, *, repo_id: str, folder_path: pathlib.Path, **_: Any) -> None:
        seen.append((repo_id, sorted(path.name for path in folder_path.iterdir())))

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    export(run, tmp_path / "two", "--push-to-hub", "me/model", "--private")
    assert "uploaded: https://huggingface.co/me/model" in capsys.readouterr().out
    assert seen[0] == ("me/model", {"private": True, "exist_ok": True})
    assert {"README.md", "model.safetensors", "tokenizer.json"} <= set(seen[1][1])


def test_the_card_hides_tokens_and_local_paths() -> None:
    shown = model_card.strip_local_paths(
        {
            "token": "hf_aSecretThatNobodyMaySee",
            "nested": {"use_auth_token": "secret", "note": "with hf_aSecretThatNobodyMaySee"},
            "train_file": "/home/someone/data/train.json",
            "pretrained_model_name_or_path": "google-bert/bert-base-uncased",
            "learning_rate": 1e-4,
        }
    )
    assert shown == {
        "nested": {"note": "with ***"},
        "train_file": "train.json",
        "pretrained_model_name_or_path": "google-bert/bert-base-uncased",
        "learning_rate": 1e-4,
    }
