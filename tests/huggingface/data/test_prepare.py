"""The cache of prepared data: what it depends on, and which process fills it."""

import functools
import importlib
import inspect
import os
import pathlib
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import datasets
import ports
import pytest
import tiny
import transformers
from determined import core

from model_hub import huggingface as hf
from model_hub.huggingface.data.prepare import source_code
from model_hub.huggingface.tasks import question_answering

PREPARATION = '''
"""A preparation function as in a trial file, which records its calls."""

import os


def tokenize(rows, tokenizer, length=8):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("x")
    return {"input_ids": tokenizer(rows["text"], truncation=True, max_length=length)["input_ids"]}
'''

# A run that uses it, for a new process.
RUN = """
import sys
import transformers
from model_hub import huggingface as hf
sys.path.insert(0, sys.argv[1])
import preparation
splits = hf.default_load_dataset({"train_file": sys.argv[2], "validation_split_percentage": 10})
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[3])
for split in splits.values():
    prepared = hf.prepare_dataset(split, preparation.tokenize, tokenizer=tokenizer, length=6)
    print(prepared._fingerprint)
"""


class TestPrepareDataset:
    @pytest.fixture
    def calls(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        """Return the number of calls of the preparation since the last such question."""
        path = tmp_path / "calls"
        path.touch()
        monkeypatch.setenv("CALLS", str(path))

        def count() -> int:
            number = path.stat().st_size
            path.write_text("")
            return number

        return count

    @pytest.fixture
    def tokenize(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[..., Any]]:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "preparation.py").write_text(PREPARATION)
        monkeypatch.syspath_prepend(str(tmp_path / "code"))
        import preparation  # Written just now.

        yield preparation.tokenize
        del sys.modules["preparation"]

    def test_second_process_in_another_folder_reads_the_cache(
        self,
        tokenize: Callable[..., Any],
        calls: Callable[[], int],
        train_file: str,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        tiny.word_tokenizer().save_pretrained(tmp_path / "tokenizer")
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / "one")
        # The same file, by a relative path.
        config = {"train_file": "../train.csv", "validation_split_percentage": 10}
        fingerprints = [
            hf.prepare_dataset(split, tokenize, tokenizer=tokenizer, length=6)._fingerprint
            for split in hf.default_load_dataset(config).values()
        ]
        assert calls() == 2
        cache = str(datasets.config.HF_DATASETS_CACHE)
        output = subprocess.run(
            [sys.executable, "-c", RUN, str(tmp_path / "code"), train_file, "../tokenizer"],
            cwd=tmp_path / "two",
            env={**os.environ, "HF_DATASETS_CACHE": cache, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        assert calls() == 0
        assert output.split() == fingerprints

    @pytest.fixture
    def rows(self, train_file: str) -> datasets.Dataset:
        config = {"train_file": train_file, "validation_split_percentage": 10}
        return hf.default_load_dataset(config)["train"]

    def test_result(
        self, rows: datasets.Dataset, tokenize: Callable[..., Any], calls: Callable[[], int]
    ) -> None:
        prepared = hf.prepare_dataset(rows, tokenize, tokenizer=tiny.word_tokenizer(), length=3)
        assert calls() == 1
        assert prepared.column_names == ["input_ids"]
        assert len(prepared) == len(rows)
        assert all(len(row["input_ids"]) == 3 for row in prepared)

    def test_cache_does_not_depend_on_calls_of_the_tokenizer(
        self, rows: datasets.Dataset, tokenize: Callable[..., Any], calls: Callable[[], int]
    ) -> None:
        tokenizer = tiny.word_tokenizer()
        first = hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer)
        assert calls() == 1
        tokenizer("the cat", padding="max_length", max_length=20, truncation=True)
        again = hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer)
        another = hf.prepare_dataset(rows, tokenize, tokenizer=tiny.word_tokenizer())
        assert calls() == 0
        assert first.to_dict() == again.to_dict() == another.to_dict()

    @pytest.mark.parametrize(
        "change",
        [
            {"length": 5},
            {"overwrite_cache": True},
            {"special": "[CLS]"},
            {"model_max_length": 16},
            {"padding_side": "left"},
            {"words": ["horse"]},
            {"rows": 3},
            {"code": "\n# changed\n"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_what_the_cache_depends_on(
        self,
        change: dict[str, Any],
        rows: datasets.Dataset,
        tokenize: Callable[..., Any],
        calls: Callable[[], int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        hf.prepare_dataset(rows, tokenize, tokenizer=tiny.word_tokenizer(), length=4)
        calls()
        tokenizer = tiny.word_tokenizer()
        if "special" in change:
            tokenizer.mask_token = change["special"]
        if "words" in change:
            tokenizer.add_tokens(change["words"])
        for name in ("model_max_length", "padding_side"):
            setattr(tokenizer, name, change.get(name, getattr(tokenizer, name)))
        if "rows" in change:
            rows = rows.select(range(change["rows"], len(rows)))
        if "code" in change:
            changed = PREPARATION + change["code"]
            monkeypatch.setattr(inspect, "getsource", lambda _: changed)
        arguments = {name: change[name] for name in ("length", "overwrite_cache") if name in change}
        hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer, **{"length": 4, **arguments})
        assert calls() == 1

    def test_overwriting_uses_as_many_processes_as_asked_for(
        self, rows: datasets.Dataset, tokenize: Callable[..., Any], calls: Callable[[], int]
    ) -> None:
        prepare = functools.partial(
            hf.prepare_dataset, rows, tokenize, tokenizer=tiny.word_tokenizer()
        )
        expected = prepare().to_dict()
        calls()
        # Each process maps its part in one batch.
        for count in (2, None, 2):
            assert prepare(num_proc=count, overwrite_cache=True).to_dict() == expected
            assert calls() == (count or 1)
            assert prepare(num_proc=count).to_dict() == expected
            assert prepare().to_dict() == expected
            assert calls() == 0

    def test_cache_depends_on_the_code_of_helpers(
        self,
        rows: datasets.Dataset,
        tokenize: Callable[..., Any],
        calls: Callable[[], int],
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        source = PREPARATION + "\nfrom one_helper import something\n"
        monkeypatch.setattr(inspect, "getsource", lambda _: source)
        (tmp_path / "code" / "one_helper.py").write_text("import other_helper\n")
        other = tmp_path / "code" / "other_helper.py"
        for code, expected in (("a = 1\n", 1), ("a = 1\n", 0), ("a = 2\n", 1)):
            other.write_text(code)
            hf.prepare_dataset(rows, tokenize, tokenizer=tiny.word_tokenizer(), length=4)
            assert calls() == expected

    def test_slow_tokenizer(
        self, rows: datasets.Dataset, tokenize: Callable[..., Any], calls: Callable[[], int]
    ) -> None:
        for ids, expected in ((100, 1), (100, 0), (90, 1)):
            tokenizer = transformers.ByT5Tokenizer(extra_ids=ids)
            hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer)
            assert calls() == expected

    def test_several_processes(
        self, rows: datasets.Dataset, tokenize: Callable[..., Any], calls: Callable[[], int]
    ) -> None:
        tokenizer = tiny.word_tokenizer()
        shared = hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer, length=7, num_proc=2)
        assert calls() == 2
        # The result does not depend on the number of processes, so the cache serves all.
        hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer, length=7)
        assert calls() == 0
        assert shared.to_dict() == tokenize(rows[:], tokenizer, length=7)


F = "def f(): ...\n"
# Files, the module with the preparation function, and the modules whose code decides about it.
PROJECTS: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "plain folder": (
        {
            "prep.py": f"import json\nimport helper\nfrom sub.deep import g\n{F}",
            "helper.py": "from other import x\n",
            "other.py": "x = 1\n",
            "sub/deep.py": "def g(): ...\n",
            "unused.py": "",
        },
        "prep",
        {"": "prep.py", "helper": "helper.py", "other": "other.py", "sub.deep": "sub/deep.py"},
    ),
    "plain folder that may become a package": (
        {
            "prep.py": f"try:\n    from .near import x\nexcept ImportError:\n    x = 1\n{F}",
            "near.py": "x = 2\n",
        },
        "prep",
        {"": "prep.py", "near": "near.py"},
    ),
    "nested package": (
        {
            "outside.py": "",
            "pkg/__init__.py": "VERSION = 1\n",
            "pkg/prep.py": f"import outside\nfrom . import VERSION\nfrom .inner import helper\n{F}",
            "pkg/inner/__init__.py": "",
            "pkg/inner/helper.py": "from ..shared import y\nfrom . import last\n",
            "pkg/inner/last.py": "",
            "pkg/shared.py": "y = 1\n",
        },
        "pkg.prep",
        {
            "": "pkg/prep.py",
            "__init__": "pkg/__init__.py",
            "inner": "pkg/inner/__init__.py",
            "inner.helper": "pkg/inner/helper.py",
            "inner.last": "pkg/inner/last.py",
            "shared": "pkg/shared.py",
        },
    ),
    "__init__ of a package": (
        {"pkg/__init__.py": f"from pkg.helper import x\n{F}", "pkg/helper.py": "x = 1\n"},
        "pkg",
        {"": "pkg/__init__.py", "helper": "pkg/helper.py"},
    ),
    "package below another": (
        {
            "pkg/__init__.py": "top = 1\n",
            "pkg/sub/prep.py": f"from pkg import top\nfrom pkg.sub.near import z\n{F}",
            "pkg/sub/near.py": "z = 1\n",
        },
        "pkg.sub.prep",
        {"": "pkg/sub/prep.py", "near": "pkg/sub/near.py"},
    ),
}


class TestSourceCode:
    @pytest.mark.parametrize(("files", "module", "expected"), PROJECTS.values(), ids=PROJECTS)
    def test_modules_in_and_below_the_folder(
        self,
        files: dict[str, str],
        module: str,
        expected: dict[str, str],
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for path, source in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        before = set(sys.modules)
        try:
            found = source_code(importlib.import_module(module).f)
        finally:
            for name in set(sys.modules) - before:
                del sys.modules[name]
        assert found == {name: files[path] for name, path in expected.items()}

    def test_task_of_this_library(self) -> None:
        found = source_code(question_answering.prepare_train_features)
        assert set(found) == {"", "question_answering.labels", "question_answering.rows"}


class TestLocalMainFirst:
    def run_slots(self, work: Callable[[int], None], slots: int = 3) -> list[BaseException | None]:
        """Run it in several slots: threads, connected as Determined connects processes."""
        pub_port, pull_port = ports.free_ports(2)
        errors: list[BaseException | None] = [None] * slots

        def slot(rank: int) -> None:
            distributed = core.DistributedContext(
                rank=rank,
                size=slots,
                local_rank=rank,
                local_size=slots,
                cross_rank=0,
                cross_size=1,
                pub_port=pub_port,
                pull_port=pull_port,
            )
            try:
                with hf.local_main_first(types.SimpleNamespace(distributed=distributed)):
                    work(rank)
            except ValueError as error:
                errors[rank] = error
            finally:
                distributed.allgather(None)
                distributed.close()

        threads = [threading.Thread(target=slot, args=(rank,)) for rank in range(slots)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        return errors

    def test_others_wait_for_the_first(self) -> None:
        events: list[str] = []

        def work(rank: int) -> None:
            events.append(f"{rank} begins")
            time.sleep(0.2 if rank == 0 else 0)
            events.append(f"{rank} ends")

        assert self.run_slots(work) == [None] * 3
        assert events[:2] == ["0 begins", "0 ends"]
        assert len(events) == 6

    def test_error_of_the_first_does_not_hold_up_the_others(self) -> None:
        def work(rank: int) -> None:
            if rank == 0:
                raise ValueError("no such file")

        errors = self.run_slots(work)
        assert isinstance(errors[0], ValueError)
        assert errors[1:] == [None, None]

    def test_alone(self) -> None:
        with hf.local_main_first(types.SimpleNamespace(distributed=core.DummyDistributedContext())):
            pass
