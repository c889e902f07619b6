"""The experiment's YAML on this machine: overrides, defaults, picks, entrypoints."""

import pathlib
import sys
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from model_hub.errors import UserError
from model_hub.experiment import document, search_space, trial_class, yaml_io
from model_hub.experiment.config import apply_overrides, fill_defaults
from model_hub.experiment.entrypoint import trial_spec
from model_hub.experiment.schema.fields import experiment_findings
from model_hub.experiment.schema.plain import plain_findings

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False)
    # What YAML allows in a quoted text; line breaks of other alphabets it folds.
    | st.text(st.characters(codec="ascii", min_codepoint=32)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=12,
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), PLAIN))
def test_dumped_configuration_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("yaml") / "config.yaml"
    file.write_text(yaml_io.dump_config(config), encoding="utf-8")
    assert document.read_config(file) == config or not config


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("hyperparameters.learning_rate=3e-5", {"hyperparameters": {"learning_rate": 3e-5}}),
        ("a.b.c=true", {"a": {"b": {"c": True}}}),
        ("name=x=y", {"name": "x=y"}),
        ("searcher.vals=1,2", {"searcher": {"vals": [1, 2]}}),
        ("searcher={name: single, metric: f1}", {"searcher": {"name": "single", "metric": "f1"}}),
        ("data.train_file=a b.json", {"data": {"train_file": "a b.json"}}),
        ("data.train_file=null", {"data": {"train_file": None}}),
    ],
)
def test_override(assignment: str, expected: dict[str, Any]) -> None:
    config: dict[str, Any] = {}
    assert apply_overrides(config, [assignment]) == expected
    assert config == {}


def test_override_keeps_the_neighbours() -> None:
    config = {"data": {"a": 1, "b": 2}, "searcher": None}
    changed = apply_overrides(config, ["data.b=3", "searcher.metric=f1", "data.b=4"])
    assert changed == {"data": {"a": 1, "b": 4}, "searcher": {"metric": "f1"}}


@pytest.mark.parametrize(
    ("assignments", "hyperparameters", "searcher", "period"),
    [
        ([], {"max_steps": 9, "lr": 1}, {"max_length": {"epochs": 1}}, {"epochs": 1}),
        (["min_validation_period.batches=5"], ..., ..., {"batches": 5}),
        (["min_validation_period={batches: 5}"], ..., ..., {"batches": 5}),
        (["hyperparameters.num_train_epochs=2"], {"num_train_epochs": 2, "lr": 1}, {}, ...),
        (["hyperparameters.max_steps=2"], {"max_steps": 2, "lr": 1}, {}, ...),
        (["searcher.max_length.batches=3"], {"lr": 1}, {"max_length": {"batches": 3}}, ...),
        (["hyperparameters.num_train_epochs=null"], ..., ..., ...),
    ],
)
def test_what_excludes_each_other_is_said_anew(
    assignments: list[str], hyperparameters: Any, searcher: Any, period: Any
) -> None:
    before: dict[str, Any] = {
        "hyperparameters": {"max_steps": 9, "lr": 1},
        "searcher": {"max_length": {"epochs": 1}},
        "min_validation_period": {"epochs": 1},
    }
    changed = apply_overrides(before, assignments)
    for key, expected in zip(before, (hyperparameters, searcher, period), strict=True):
        said = {name: value for name, value in changed[key].items() if value is not None}
        assert said == (before[key] if expected is ... else expected)


def test_a_period_is_not_merged_with_the_default() -> None:
    config = fill_defaults({"min_validation_period": {"epochs": 1}})
    assert config["min_validation_period"] == {"epochs": 1}
    assert config["min_checkpoint_period"] == {"batches": 0}


def test_null_is_not_said() -> None:
    config = fill_defaults(
        {
            "optimizations": {"aggregation_frequency": None},
            "searcher": {"smaller_is_better": None, "metric": None},
            "perform_initial_validation": None,
            "scheduling_unit": None,
            "min_validation_period": None,
            "checkpoint_storage": {"save_trial_latest": None, "save_trial_best": 0},
            "reproducibility": None,
        }
    )
    assert config["optimizations"]["aggregation_frequency"] == 1
    assert config["searcher"]["smaller_is_better"] is True
    assert config["perform_initial_validation"] is False
    assert "scheduling_unit" not in config
    assert config["min_validation_period"] == {"batches": 0}
    assert config["checkpoint_storage"] == {"save_trial_best": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizations": {"aggregation_frequency": 0}},
            "optimizations.aggregation_frequency is 0",
        ),
        ({"optimizations": {"aggregation_frequency": "x"}}, "aggregation_frequency is 'x'"),
        ({"optimizations": [1]}, "optimizations is [1], but should be a mapping"),
        ({"scheduling_unit": 0}, "scheduling_unit is 0, but should be a whole number of 1 or more"),
        ({"scheduling_unit": True}, "scheduling_unit is true"),
        ({"checkpoint_storage": {"save_trial_latest": -1}}, "checkpoint_storage.save_trial_latest"),
        ({"checkpoint_storage": {"save_trial_best": "all"}}, "checkpoint_storage.save_trial_best"),
        ({"searcher": "single"}, "searcher is 'single', but should be a mapping"),
        ({"searcher": {"metric": ["f1"]}}, "searcher.metric is ['f1'], but should be text"),
        ({"searcher": {"smaller_is_better": "no"}}, "searcher.smaller_is_better is 'no'"),
        ({"perform_initial_validation": 1}, "perform_initial_validation is 1, but should be true"),
        ({"min_validation_period": 3}, "min_validation_period is 3, but should be one of batches"),
        (
            {"min_checkpoint_period": {"epochs": -1}},
            "min_checkpoint_period.epochs is -1, but should",
        ),
        ({"min_checkpoint_period": {"epochs": None}}, "min_checkpoint_period.epochs is null"),
        ({"min_checkpoint_period": {}}, "min_checkpoint_period is {}, but should be one of"),
        ({"scheduling_unit": 2.0}, "scheduling_unit is 2.0; write the whole number 2"),
        ({"reproducibility": 5}, "reproducibility is 5, but should be a mapping"),
        ({"data": 3}, "data is 3, but should be a mapping"),
    ],
)
def test_top_level(changes: dict[str, Any], message: str) -> None:
    found = [finding for finding in experiment_findings(changes) if not finding.missing]
    assert [message in finding.message for finding in found] == [True]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("name: 2024-01-01", "name is 2024-01-01, a date to YAML; put it in quotes: '2024-01-01'"),
        ("data: {a: [2024-01-01T10:00:00]}", "data.a[0] is 2024-01-01T10:00:00, a date to YAML"),
        ("hyperparameters: {2024-01-01: 1}", "hyperparameters has the key 2024-01-01, but"),
        ("hyperparameters: {? [a, b] : 1}", "hyperparameters has the key ['a', 'b'], but a key"),
        ("? [a, b]\n: 1", "the file has the key ['a', 'b'], but a key should be text"),
        ("data: {a: !!binary aGFsbG8=}", "data.a is binary data, but should be text"),
        ("data: {a: !!set {b, c}}", "data.a is a set, but should be text"),
    ],
)
def test_what_json_cannot_hold(config: str, message: str) -> None:
    (finding,) = plain_findings(document.Document(config).value)
    assert message in finding.message


def test_plain_values_and_keys() -> None:
    text = "{a: [1, 2.5, x, null, true], 1: {b: .inf}, true: x, null: y}"
    assert not list(plain_findings(document.Document(text).value))


@pytest.mark.parametrize(
    ("assignment", "right"),
    [
        ("hyperparameters..learning_rate=1", "write hyperparameters.learning_rate=1."),
        (".hyperparameters.learning_rate=1", "write hyperparameters.learning_rate=1."),
        ("hyperparameters.=1", "write hyperparameters=1."),
        ("..=1", "write hyperparameters.learning_rate=1."),
    ],
)
def test_override_with_a_dot_too_many(assignment: str, right: str) -> None:
    with pytest.raises(UserError) as caught:
        apply_overrides({}, [assignment])
    assert right in str(caught.value)


def test_whole_numbers_outside_of_the_trials_sections() -> None:
    config = {"scheduling_unit": 2.0, "searcher": {"divisor": 4.0, "x": [1.0]}, "data": {"a": 1.0}}
    filled = fill_defaults(config)
    found = (filled["scheduling_unit"], filled["searcher"]["x"][0], filled["data"]["a"])
    assert [type(value) for value in found] == [int, int, float]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"type": "double", "minval": None, "maxval": 1}, "minval is null, but should be a number"),
        ({"type": "int", "minval": 0, "maxval": [1]}, r"maxval is \[1\]"),
        ({"type": "double", "minval": 0, "maxval": float("inf")}, "maxval is inf, .*finite"),
        ({"type": "double", "minval": 0}, "maxval is missing; write a number"),
        ({"type": "int", "minval": 2, "maxval": 1}, "maxval is 1, .* above minval, 2"),
        ({"type": "log", "base": 0, "minval": -2, "maxval": -1}, "base is 0, .*above 0"),
        ({"type": "log", "base": "x", "minval": -2, "maxval": -1}, "base is 'x', .*a number"),
        ({"type": "log", "base": 10, "minval": 900, "maxval": 901}, "too large.*exponents"),
        ({"type": "categorical", "vals": None}, "vals is null"),
        ({"type": "categorical", "vals": []}, r"vals is \[\], but should be a list of values"),
    ],
)
def test_range_that_is_none(space: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"hyperparameters\.lr.*{message}"):
        search_space.pick_hyperparameters({"lr": space}, 0)


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        (5, "entrypoint: 5 names no trial class"),
        (None, "entrypoint: null names no trial class"),
        ({"a": 1}, "entrypoint: {a: 1} names no trial class"),
        ("python3 'qa_trial:QATrial", "(no closing quotation)"),
    ],
)
def test_entrypoint_that_is_none(entrypoint: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        trial_spec(entrypoint)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "null\n"])
def test_empty_file(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"but is empty\."):
        document.read_config(tmp_path / "config.yaml")


RANGES = {
    "a": {"type": "double", "minval": 0.25, "maxval": 0.5},
    "b": {"type": "int", "minval": 3, "maxval": 5},
    "c": {"type": "log", "base": 10, "minval": -5, "maxval": -3},
    "d": {"type": "categorical", "vals": ["x", "y"]},
    "e": {"type": "const", "val": 7},
    "f": {"g": {"type": "int", "minval": 1, "maxval": 2}, "h": [1]},
    "i": "plain",
}


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_picks_lie_in_their_ranges_and_follow_from_the_seed(seed: int) -> None:
    hparams, picked = search_space.pick_hyperparameters(RANGES, seed)
    assert 0.25 <= hparams["a"] <= 0.5 and hparams["b"] in (3, 4, 5)
    assert 1e-5 <= hparams["c"] <= 1e-3 and hparams["d"] in ("x", "y")
    assert hparams["e"] == 7 and hparams["f"]["g"] in (1, 2) and hparams["f"]["h"] == [1]
    assert hparams["i"] == "plain"
    assert set(picked) == {"a", "b", "c", "d", "f.g"}
    assert search_space.pick_hyperparameters(RANGES, seed) == (hparams, picked)
    # A pick does not change with the keys beside it.
    alone, _ = search_space.pick_hyperparameters({"c": RANGES["c"]}, seed)
    assert alone["c"] == hparams["c"]


def test_seeds_pick_differently() -> None:
    values = {search_space.pick_hyperparameters(RANGES, seed)[0]["a"] for seed in range(20)}
    assert len(values) == 20


@pytest.mark.parametrize(
    "entrypoint",
    [
        "qa_trial:QATrial",
        "python3 -m model_hub.huggingface.train qa_trial:QATrial",
        "python3 -m determined.launch.torch_distributed -- python3 -m model_hub.huggingface.train "
        "qa_trial:QATrial",
        ["python3", "-m", "model_hub.huggingface.train", "qa_trial:QATrial"],
        "python3 -m determined.launch.torch_distributed --trial qa_trial:QATrial",
        "python3 -m determined.launch.torch_distributed --trial=qa_trial:QATrial",
    ],
)
def test_trial_of_an_entrypoint(entrypoint: Any) -> None:
    assert trial_spec(entrypoint) == "qa_trial:QATrial"


def test_same_name_in_another_folder_is_another_module(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = (
        "from determined import pytorch\n\n\nclass Trial(pytorch.PyTorchTrial):\n    where = {!r}\n"
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "some_trial.py").write_text(source.format(name))
    for name in ("one", "two", "one"):
        trial: Any = trial_class.import_trial("some_trial:Trial", tmp_path / name)
        assert trial.where == name
    del sys.modules["some_trial"]


def test_an_import_error_inside_the_trial_is_the_authors(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "broken_trial.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        trial_class.import_trial("broken_trial:Trial", tmp_path)
    with pytest.raises(UserError, match=r"no module 'other_trial'.*broken_trial\.py"):
        trial_class.import_trial("other_trial:Trial", tmp_path)


def test_an_extra_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old trial of token classification imports seqeval, in a module beside its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "seqeval", None)
    (tmp_path / "tags_trial.py").write_text("import tags_utils\n")
    (tmp_path / "tags_utils.py").write_text("from seqeval import metrics\n")
    with pytest.raises(UserError, match=r"tags_trial imports.*pip install 'model-hub\[seqeval\]'"):
        trial_class.import_trial("tags_trial:Trial", tmp_path)
