"""What the documentation says is what is there: code runs, YAML is read, commands exist."""

import argparse
import ast
import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterator

import options_table
import pages
import pytest
import ruamel.yaml
import tiny
import transformers
from determined.cli import cli as det
from pages import DOCS, PAGES, ROOT, Block
from workspaces import ENTRYPOINT, EXAMPLE, Workspace, changed, make_workspace, metrics_of

import model_hub.huggingface as hf
from model_hub import cli
from model_hub.experiment import entrypoint, search_space
from model_hub.experiment.config import fill_defaults
from model_hub.experiment.document import read_config
from model_hub.huggingface.config.fields import HYPERPARAMETER_TYPES
from model_hub.huggingface.config.hparams import check_hparams, training_length
from model_hub.huggingface.config.key_names import KnownKeys, unknown_keys
from model_hub.huggingface.config.options import OptionKwargs
from model_hub.huggingface.runner import log_setup

CODE = DOCS / "code"


def named(block: Block) -> str:
    return block.where


# ------------------------------------------------------------------------------------------ Python


@pytest.mark.parametrize("block", pages.blocks("python"), ids=named)
def test_python_runs(block: Block, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # The models that the commands of the pages would have trained.
    tiny.save(
        tmp_path / "runs" / "tutorial" / "model",
        "bert",
        transformers.AutoModelForQuestionAnswering,
    )
    tiny.save(tmp_path / "my-model", "bert", transformers.AutoModelForSequenceClassification)
    exec(compile(block.text, block.where, "exec"), {"__name__": "documentation"})


def test_included_code_is_tested_code() -> None:
    """The examples by their own tests, the package by all, what stands below docs/ in this file."""
    folders = (EXAMPLE, ROOT / "model_hub", CODE)
    for block in pages.blocks("literalinclude"):
        file = (block.page.parent / block.argument).resolve()
        assert file.is_file() and any(file.is_relative_to(f) for f in folders), block.where


@pytest.fixture
def workspace(corpus: pathlib.Path, tmp_path: pathlib.Path) -> Workspace:
    made = make_workspace(corpus, tmp_path / "context")
    for file in CODE.glob("*.py"):
        (made.root / file.name).write_bytes(file.read_bytes())
    return made


@pytest.mark.parametrize(
    ("trial", "mode", "metric"),
    [
        ("sure_trial:SureTrial", "question-answering", "sure_starts"),
        ("own_model_trial:OwnModelTrial", "base", "f1"),
    ],
)
def test_trials_of_the_pages_train(
    trial: str,
    mode: str,
    metric: str,
    workspace: Workspace,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The command sets up logging for its process, which here is that of all tests.
    monkeypatch.setattr(log_setup, "set_up_logging", lambda **_: None)
    config = changed(
        workspace.config,
        entrypoint=ENTRYPOINT.replace("qa_trial:QATrial", trial),
        hyperparameters__model_mode=mode,
        hyperparameters__num_train_epochs=...,
        hyperparameters__max_steps=3,
        searcher__metric=metric,
    )
    run = tmp_path / "run"
    yaml = workspace.write_yaml(config)
    assert cli.main(["check", str(yaml)]) == 0
    assert cli.main(["train", str(yaml), "--strict", "--output-dir", str(run)]) == 0
    (validation,) = (r for r in metrics_of(run) if r["group"] == "validation")
    assert 0 <= validation[metric] <= 100


def test_every_trial_of_the_pages_is_trained() -> None:
    trained = {"sure_trial.py", "own_model_trial.py"}
    assert {file.name for file in CODE.glob("*.py")} == trained


# -------------------------------------------------------------------------------------------- YAML


def data_types() -> tuple[type, ...]:
    return tuple(cls for classes in options_table.data_types().values() for cls in classes)


@pytest.mark.parametrize("block", pages.blocks("yaml"), ids=named)
def test_yaml_is_understood(block: Block) -> None:
    config = ruamel.yaml.YAML(typ="safe", pure=True).load(block.text)
    complete = fill_defaults(config)
    hparams, _ = search_space.pick_hyperparameters(complete["hyperparameters"], seed=0)
    known = KnownKeys(data_types=data_types(), declares_data=True)
    assert not list(unknown_keys(hparams, complete["data"], known))
    # Of a part of an experiment only what is there can be read.
    steps = {} if "num_training_steps" in hparams else {"num_training_steps": 1}
    hf.parse_dict_to_dataclasses(HYPERPARAMETER_TYPES, {**hparams, **steps})
    hf.parse_dict_to_dataclasses(data_types(), complete["data"])
    if "entrypoint" in config:
        assert entrypoint.trial_spec(config["entrypoint"])
        check_hparams(hparams, complete)


def test_the_search_trains_as_long_as_the_searcher_says() -> None:
    config = read_config(EXAMPLE / "squad_search.yaml")
    searcher = config["searcher"]
    hparams, picked = search_space.pick_hyperparameters(config["hyperparameters"], seed=0)
    length = training_length(hparams, config)
    assert length == (searcher["time_metric"], searcher["max_time"])
    assert set(picked) == {"learning_rate", "warmup_ratio", "weight_decay"}
    # The page shows what is printed for seed 0.
    shown = f"learning_rate={hparams['learning_rate']:.4g}, warmup_ratio="
    assert shown in (DOCS / "how-to" / "search.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------- Commands


def commands() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the words of each command in a shell block."""
    for block in pages.blocks("shell"):
        text = block.text.replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            # What comes behind is the shell's.
            for stop in ("|", "2>&1", "&&"):
                words = words[: words.index(stop)] if stop in words else words
            if words:
                yield block.where, words


COMMANDS = list(commands())
# Programs whose arguments are not ours to check.
OTHERS = {"(cd", "cd", "docker", "export", "for", "done", "hf", "pip", "python3"}


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[f"{w}-{c[0]}" for w, c in COMMANDS])
def test_commands_exist(where: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    program, *arguments = words
    if program == "torchrun":
        module = arguments.index("-m")
        assert arguments[module + 1] == "model_hub"
        program, arguments = "model-hub", arguments[module + 2 :]
    if program == "model-hub":
        options = cli._parser().parse_args(arguments)
        # Of the other commands the files are made by the commands before them.
        config_file = getattr(options, "config_file", None)
        assert config_file is None or list(EXAMPLE.parent.glob(f"*/{config_file}"))
    elif program == "det":
        parser = det.make_parser()
        det.cli.add_args(parser, det.all_args_description)
        assert parser.parse_args(arguments).func
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE)
    elif program == "python":
        assert pathlib.Path(arguments[0]).is_file()
    else:
        assert program in OTHERS, f"{where}: what is {program}?"


def options_of(command: str) -> set[str]:
    (subparsers,) = (
        action
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {
        text for action in subparsers.choices[command]._actions for text in action.option_strings
    }


def test_commands_in_the_text_exist() -> None:
    for page in PAGES:
        for span in pages.spans(pages.prose(page)):
            if span.startswith("model-hub ") and len(span.split()) > 1:
                used = set(re.findall(r"--[\w-]+", span))
                command = span.split()[1]
                known = {"--help", "--version"} if command in used else options_of(command)
                assert used <= known, f"{page.name}: {span}"


# ------------------------------------------------------------------------------ Links and messages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    for target in pages.links(page):
        file, _, anchor = target.partition("#")
        to = (page.parent / file).resolve() if file else page
        assert to.is_file(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", pages.prose(to), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name}: {target}"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = {
        line
        for block in pages.blocks("toctree")
        for line in block.text.split()
        if not line.startswith(":")
    }
    there = {p.relative_to(DOCS).with_suffix("").as_posix() for p in PAGES if p.parent != ROOT}
    assert there - {"index"} <= listed


def messages() -> list[str]:
    """All texts of the package, their values as ``…``."""

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        return node.value if isinstance(node, ast.Constant) else "…"

    found = []
    for path in (ROOT / "model_hub").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str)
            ):
                found.append(text(node))
    return found


def test_messages_of_the_page_are_those_of_the_code() -> None:
    table = pages.section(DOCS / "how-to" / "debugging.md", "## What frequent errors mean")
    known = messages()
    quoted = [pages.spans(cells[0])[0] for cells in pages.rows(table)]
    assert len(quoted) > 10
    for message in quoted:
        pattern = ".*?".join(re.escape(piece) for piece in message.split("…"))
        assert any(re.search(pattern, text, re.DOTALL) for text in known), message


# ------------------------------------------------------------------------------ Options, old keys


def test_every_key_is_described() -> None:
    for section in ("hyperparameters", "data"):
        assert options_table.markdown(section)
    classes = [cls for group in options_table.HYPERPARAMETERS.values() for cls in group]
    assert set(classes) == set(HYPERPARAMETER_TYPES)
    for cls in (*classes, *data_types()):
        for row in options_table.rows((cls,)):
            assert row.description and row.type != "any", f"{cls.__name__}.{row.name}"


def test_no_key_is_told_twice() -> None:
    """A table holds the keys of its class but those of the table above that it refers to."""
    tables = options_table.markdown("data").split("### ")[1:]
    told = {table.splitlines()[0]: {c[0].strip("`") for c in pages.rows(table)} for table in tables}
    for table, (title, classes) in zip(tables, options_table.data_types().items(), strict=True):
        (above,) = re.findall(r"All keys of \*(.*)\*", table) or [None]
        shared = told[above] if above else set()
        assert told[title] and not told[title] & shared, title
        fields = {field.name for cls in classes for field in dataclasses.fields(cls) if field.init}
        assert told[title] | shared == fields, title
    assert told["Masked language modeling"] == {"mlm_probability"}


def test_tests_named_by_the_pages_exist() -> None:
    there = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= {path.stem, *re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
    for page in PAGES:
        # Of the code on a page only what is not a file of its own.
        text = re.sub(r"```\{code-block\}.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        named = re.findall(r"\btest_\w+", text)
        assert set(named) <= there, page.name


def test_releases_name_keys_that_exist() -> None:
    known = known_keys(HYPERPARAMETER_TYPES) | known_keys(data_types())
    written_down = set(options_table.OLD_LIBRARY).union(*options_table.SINCE.values())
    assert written_down <= known


def known_keys(classes: tuple[type, ...]) -> set[str]:
    return {name for cls in classes for name in getattr(cls, "__dataclass_fields__", {})}


MIGRATION = DOCS / "migration.md"


@pytest.mark.parametrize("section", ["hyperparameters", "data"])
def test_old_keys_are_known(section: str) -> None:
    table = pages.section(MIGRATION, f"### Keys of section `{section}`")
    told = {key for cells in pages.rows(table) for key in pages.spans(cells[0])}
    known = known_keys(HYPERPARAMETER_TYPES if section == "hyperparameters" else data_types())
    # Some old files have data.cache_dir, which was never read.
    assert told - {"cache_dir"} <= known
    assert {key for key in options_table.OLD_LIBRARY if key in known} <= told


def test_names_of_trainer_are_known() -> None:
    arguments = set(transformers.TrainingArguments.__dataclass_fields__)
    hyperparameters = known_keys(HYPERPARAMETER_TYPES)
    same = pages.section(MIGRATION, "## From `Trainer`").split("`gradient_accumulation_steps`")[0]
    listed = [n for line in re.findall(r"^- (.*)", same, re.MULTILINE) for n in pages.spans(line)]
    assert len(listed) > 15
    for name in listed:
        assert name in arguments, name
        assert name in hyperparameters or f"also says `{name}`" in same, name
    # Those of another name are in the table that the code has.
    others = {
        name for cells in pages.rows(options_table.counterparts()) for name in pages.spans(cells[0])
    }
    assert len(arguments & others) > 40


def test_old_names_in_python_are_told() -> None:
    table = pages.section(MIGRATION, "### Names in Python")
    told = {name for cells in pages.rows(table) for name in pages.spans(cells[0])}
    for name in told - {"model_hub.utils", "check_hparams"}:
        assert hasattr(hf, name) or hasattr(__import__("model_hub.utils").utils, name), name


def test_every_switch_says_what_it_costs() -> None:
    """But those that only say more closely what another one does."""
    closer = {"gradient_checkpointing_kwargs", "torch_compile_backend", "torch_compile_mode",
              "early_stopping_threshold"}  # fmt: skip
    described = {row.name: row for row in options_table.rows((OptionKwargs,))}
    assert closer < set(described)
    for name, row in described.items():
        assert ("Costs" in row.description) == (name not in closer), name
        assert row.default and (row.since or name == "use_apex_amp"), name  # The old library's.
