"""The cache of prepared data, and which process prepares it."""

import functools
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
import determined
import ports
import pytest
import tiny
import transformers
from determined import core, pytorch

from model_hub import huggingface as hf
from model_hub.huggingface.data.prepare import source_code
from model_hub.huggingface.tasks import question_answering

ROWS = {"text": [f"row {number}" for number in range(40)], "label": list(range(40))}


@pytest.fixture
def train_file(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "train.csv"
    datasets.Dataset.from_dict(ROWS).to_csv(path)
    return str(path)


PREPARATION = '''
"""A task's preparation as a trial file has it, which tells when it is really called."""

import os


def tokenize(rows, tokenizer, length=8):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("x")
    return {"input_ids": tokenizer(rows["text"], truncation=True, max_length=length)["input_ids"]}
'''


# What a run does with it, in a process of its own.
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
        """How often the preparation was called since the last question."""
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
        # The same file, named from where one stands.
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

    def test_what_a_call_leaves_in_the_tokenizer_does_not_matter(
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
    def test_what_matters(
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
        further = {name: change[name] for name in ("length", "overwrite_cache") if name in change}
        hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer, **{"length": 4, **further})
        assert calls() == 1

    def test_overwriting_takes_as_many_processes_as_are_wanted(
        self, rows: datasets.Dataset, tokenize: Callable[..., Any], calls: Callable[[], int]
    ) -> None:
        prepare = functools.partial(
            hf.prepare_dataset, rows, tokenize, tokenizer=tiny.word_tokenizer()
        )
        expected = prepare().to_dict()
        calls()
        # Each process takes its part in one batch.
        for count in (2, None, 2):
            assert prepare(num_proc=count, overwrite_cache=True).to_dict() == expected
            assert calls() == (count or 1)
            assert prepare(num_proc=count).to_dict() == expected
            assert prepare().to_dict() == expected
            assert calls() == 0

    def test_code_of_helpers_matters(
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

    def test_helpers_of_question_answering(self) -> None:
        found = source_code(question_answering.prepare_train_features)
        assert set(found) == {"", "question_answering.rows"}

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
        # However many work on it: the result is the same, so the cache serves all.
        hf.prepare_dataset(rows, tokenize, tokenizer=tokenizer, length=7)
        assert calls() == 0
        assert shared.to_dict() == tokenize(rows[:], tokenizer, length=7)


def new_context(
    slots: int = 1, rank: int = 0, seed: int | None = 5, config: dict[str, Any] | None = None
) -> pytorch.PyTorchTrialContext:
    """A genuine context as the slot of that rank has it."""
    distributed = core.DummyDistributedContext()
    distributed.size, distributed.rank = slots, rank
    core_context = core.Context(
        distributed=distributed,
        checkpoint=core.DummyCheckpointContext(distributed, determined.common.storage),
        preempt=core.DummyPreemptContext(distributed),
        train=core.DummyTrainContext(pathlib.Path()),
    )
    return pytorch.PyTorchTrialContext(
        core_context=core_context,
        trial_seed=seed,
        hparams={"global_batch_size": 4},
        slots_per_trial=slots,
        num_gpus=0,
        exp_conf=config,
        aggregation_frequency=1,
        steps_completed=0,
        managed_training=True,
        debug_enabled=False,
    )


class TestLocalMainFirst:
    def run_slots(self, work: Callable[[int], None], slots: int = 3) -> list[BaseException | None]:
        """Runs it in that many slots, each a thread here, joined as Determined joins processes."""
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
        with hf.local_main_first(new_context()):
            pass
