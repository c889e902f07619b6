"""Splits, columns, the cache of prepared data, the order of the loaders, and who goes first."""

import functools
import inspect
import os
import pathlib
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrdict
import datasets
import determined
import ports
import pytest
import tiny
import torch
import transformers
from determined import core, pytorch

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.huggingface.data.prepare import source_code
from model_hub.huggingface.tasks import question_answering
from model_hub.utils import AttrDict

ROWS = {"text": [f"row {number}" for number in range(40)], "label": list(range(40))}


@pytest.fixture
def train_file(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "train.csv"
    datasets.Dataset.from_dict(ROWS).to_csv(path)
    return str(path)


class TestLoadDataset:
    @pytest.mark.parametrize("form", [dict, attrdict.AttrDict, AttrDict])
    def test_two_files(
        self, form: Callable[[Any], Mapping[str, Any]], train_file: str, tmp_path: pathlib.Path
    ) -> None:
        validation_file = tmp_path / "validation.jsonl"
        validation_file.write_text('{"text": "x", "label": 1}\n')
        splits = hf.default_load_dataset(
            form(
                {
                    "train_file": train_file,
                    "validation_file": str(validation_file),
                    # A validation file that is there is not added to.
                    "validation_split_percentage": 10,
                    "max_seq_length": 384,
                }
            )
        )
        assert set(splits) == {"train", "validation"}
        assert splits["train"].to_dict() == ROWS
        assert splits["validation"].to_dict() == {"text": ["x"], "label": [1]}

    @pytest.mark.parametrize(
        ("percentage", "count"), [(10, 4), (50, 20), (2.5, 1), ("12.5", 5), (0.1, 1), (97.5, 39)]
    )
    def test_part_of_the_training_data(
        self, percentage: float, count: int, train_file: str
    ) -> None:
        splits = hf.default_load_dataset(
            {"train_file": train_file, "validation_split_percentage": percentage}
        )
        assert set(splits) == {"train", "validation"}
        assert splits["validation"]["label"][:] == list(range(count))
        assert splits["train"]["label"][:] == list(range(count, 40))

    @pytest.mark.parametrize("percentage", [0, 100, -5, 120, 99.9])
    def test_wrong_percentage(self, percentage: float, train_file: str) -> None:
        config = {"train_file": train_file, "validation_split_percentage": percentage}
        with pytest.raises(UserError, match=r"data\.validation_split_percentage"):
            hf.default_load_dataset(config)

    def test_no_validation_data(self, train_file: str) -> None:
        with pytest.raises(UserError, match=r"validation_file.*validation_split_percentage"):
            hf.default_load_dataset({"train_file": train_file})

    @pytest.mark.parametrize(
        ("name", "today"),
        [("conll2003", "tomaarsen/conll2003"), ("glue", "nyu-mll/glue"), ("mine", "mine")],
    )
    def test_old_name_becomes_one_that_loads(
        self, name: str, today: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def load(name: str, *_: object, **__: object) -> datasets.DatasetDict:
            asked.append(name)
            rows = datasets.Dataset.from_dict({"tokens": [["a"]]})
            return datasets.DatasetDict({"train": rows, "validation": rows})

        monkeypatch.setattr(datasets, "load_dataset", load)
        hf.default_load_dataset({"dataset_name": name})
        assert asked == [today]

    @pytest.mark.parametrize("config", [{}, {"dataset_name": None}, {"validation_file": "x.csv"}])
    def test_nothing_named(self, config: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"data\.dataset_name.*data\.train_file"):
            hf.default_load_dataset(config)

    def test_name_and_file(self, train_file: str) -> None:
        with pytest.raises(UserError, match="both set; remove one"):
            hf.default_load_dataset({"dataset_name": "x", "train_file": train_file})

    def test_the_wrong_file_is_named(self, train_file: str) -> None:
        with pytest.raises(UserError, match=r"data\.validation_file: there is no file 'no\.csv'"):
            hf.default_load_dataset({"train_file": train_file, "validation_file": "no.csv"})

    def test_file_for_validation_beside_a_name(
        self, train_file: str, tmp_path: pathlib.Path
    ) -> None:
        datasets.Dataset.from_dict(ROWS).select([3]).to_csv(tmp_path / "validation.csv")
        whole = datasets.Dataset.from_dict(ROWS)
        datasets.DatasetDict(train=whole, validation=whole).save_to_disk(tmp_path / "saved")
        config = {
            "dataset_name": str(tmp_path / "saved"),
            "validation_file": str(tmp_path / "validation.csv"),
        }
        loaded = hf.default_load_dataset(config)
        assert len(loaded["train"]) == 40
        assert loaded["validation"].to_dict() == {"text": ["row 3"], "label": [3]}
        sources = hf.split_sources(config)
        assert sources["train"].startswith("data.dataset_name")
        assert sources["validation"].startswith("data.validation_file")

    def test_folder_of_a_dataset_dict(self, tmp_path: pathlib.Path) -> None:
        dataset = datasets.Dataset.from_dict(ROWS)
        splits = datasets.DatasetDict(train=dataset, validation=dataset.select([1]))
        splits.save_to_disk(tmp_path / "saved")
        loaded = hf.default_load_dataset({"dataset_name": str(tmp_path / "saved")})
        assert {name: split.to_dict() for name, split in loaded.items()} == {
            "train": ROWS,
            "validation": {"text": ["row 1"], "label": [1]},
        }

    def test_folder_of_a_dataset(self, tmp_path: pathlib.Path) -> None:
        datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
        config = {"dataset_name": str(tmp_path / "saved"), "validation_split_percentage": 25}
        loaded = hf.default_load_dataset(config)
        assert loaded["validation"]["label"][:] == list(range(10))
        assert loaded["train"]["label"][:] == list(range(10, 40))

    def test_folder_of_files(self, train_file: str) -> None:
        config = {"dataset_name": os.path.dirname(train_file), "validation_split_percentage": 5}
        assert len(hf.default_load_dataset(config)["train"]) == 38

    def test_several_validation_splits(self, tmp_path: pathlib.Path) -> None:
        dataset = datasets.Dataset.from_dict(ROWS)
        names = ("train", "validation_matched", "validation_mismatched")
        datasets.DatasetDict(dict.fromkeys(names, dataset)).save_to_disk(tmp_path)
        config = {"dataset_name": str(tmp_path)}
        assert set(hf.default_load_dataset(config)) == set(names)
        # Who wants part of the training data instead says so.
        splits = hf.default_load_dataset({**config, "validation_split_percentage": 50})
        assert len(splits["validation"]) + len(splits["train"]) == len(dataset)

    def test_no_training_split(self, tmp_path: pathlib.Path) -> None:
        datasets.DatasetDict(test=datasets.Dataset.from_dict(ROWS)).save_to_disk(tmp_path)
        with pytest.raises(UserError, match=r"no split 'train', only \['test'\]"):
            hf.default_load_dataset({"dataset_name": str(tmp_path)})

    def test_not_within_reach(self) -> None:
        with pytest.raises(UserError, match=r"data\.dataset_name: cannot load 'a/b' \(c\): "):
            hf.default_load_dataset({"dataset_name": "a/b", "dataset_config_name": "c"})
        with pytest.raises(UserError, match=r"data\.dataset_name: cannot load 'no/such/folder'"):
            hf.default_load_dataset({"dataset_name": "no/such/folder"})

    def test_script(self, tmp_path: pathlib.Path) -> None:
        script = tmp_path / "old.py"
        script.write_text("import datasets\n")
        with pytest.raises(UserError, match=r"data\.dataset_revision: refs/convert/parquet"):
            hf.default_load_dataset({"dataset_name": str(script)})

    def test_broken_folder(self, tmp_path: pathlib.Path) -> None:
        datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path)
        next(tmp_path.glob("*.arrow")).write_bytes(b"broken")
        with pytest.raises(UserError, match=r"data\.dataset_name: cannot load"):
            hf.default_load_dataset({"dataset_name": str(tmp_path)})

    def test_name_revision_and_configuration_reach_datasets(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load_dataset(path: str, name: str | None = None, **kwargs: Any) -> Any:
            assert (path, name, kwargs) == ("a/b", "mnli", {"revision": "v1"})
            return datasets.DatasetDict(train=datasets.Dataset.from_dict(ROWS))

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        hf.default_load_dataset(
            {
                "dataset_name": "a/b",
                "dataset_config_name": "mnli",
                "dataset_revision": "v1",
                "validation_split_percentage": 5,
            }
        )


COLUMNS = ("input_ids", "attention_mask", "label", "label_ids", "text", "extra")


class TestRemoveUnusedColumns:
    @pytest.fixture
    def dataset(self) -> datasets.Dataset:
        return datasets.Dataset.from_dict({name: [[1], [2]] for name in COLUMNS})

    @pytest.fixture
    def model(self) -> torch.nn.Module:
        return transformers.BertModel(tiny.bert_config())

    KEPT = {"input_ids", "attention_mask", "label", "label_ids"}  # noqa: RUF012

    def test_in_place(self, model: torch.nn.Module, dataset: datasets.Dataset) -> None:
        dataset.set_format("torch")
        assert hf.remove_unused_columns(model, dataset) is None
        assert set(dataset[0]) == self.KEPT
        assert dataset.format["type"] == "torch"
        assert set(dataset.column_names) == set(COLUMNS)  # Nothing is lost.

    def test_keep(self, model: torch.nn.Module, dataset: datasets.Dataset) -> None:
        hf.remove_unused_columns(model, dataset, keep=("extra", "not_there"))
        assert set(dataset[0]) == self.KEPT | {"extra"}

    def test_through_wrappers(self, model: torch.nn.Module, dataset: datasets.Dataset) -> None:
        hf.remove_unused_columns(torch.compile(model), dataset)
        assert set(dataset[0]) == self.KEPT
        dataset.reset_format()
        wrapped = pytorch.PyTorchTrialContext.autocast_forward_pass(types.SimpleNamespace(), model)
        # What makes it special: its own signature says nothing.
        assert list(inspect.signature(wrapped.forward).parameters) == ["arg", "kwarg"]
        hf.remove_unused_columns(wrapped, dataset)
        assert set(dataset[0]) == self.KEPT

    def test_through_torchs_distributed_wrapper(
        self, model: torch.nn.Module, dataset: datasets.Dataset, tmp_path: pathlib.Path
    ) -> None:
        store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
        try:
            wrapped = torch.nn.parallel.DistributedDataParallel(model)
            hf.remove_unused_columns(wrapped, dataset)
        finally:
            torch.distributed.destroy_process_group()
        assert set(dataset[0]) == self.KEPT

    def test_nothing_left(self, model: torch.nn.Module) -> None:
        dataset = datasets.Dataset.from_dict({"text": ["a"]})
        with pytest.raises(UserError, match=r"\['text'\].*BertModel.*'input_ids'"):
            hf.remove_unused_columns(model, dataset)


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


NUMBERS = datasets.Dataset.from_dict({"number": list(range(18))})


def collate(rows: list[dict[str, int]]) -> list[int]:
    return [row["number"] for row in rows]


def batches(
    loader: pytorch.DataLoader, count: int, slots: int = 1, rank: int = 0, skip: int = 0
) -> list[list[int]]:
    """The first batches that Determined's loop draws from a training loader."""
    torch_loader = loader.get_data_loader(repeat=True, skip=skip, num_replicas=slots, rank=rank)
    iterator = iter(torch_loader)
    return [next(iterator) for _ in range(count)]


class TestTrainingDataLoader:
    def loader(self, **context: Any) -> pytorch.DataLoader:
        return hf.training_data_loader(new_context(**context), NUMBERS, collate)

    def test_every_epoch_is_another_order_of_all_rows(self) -> None:
        loader = self.loader()
        assert len(loader) == 5
        drawn = batches(loader, 15)
        assert [len(batch) for batch in drawn] == [4, 4, 4, 4, 2] * 3
        epochs = [[n for batch in drawn[i : i + 5] for n in batch] for i in (0, 5, 10)]
        assert all(sorted(epoch) == list(range(18)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in [*epochs, range(18)]}) == 4

    def test_order_follows_from_the_seed_alone(self) -> None:
        first = batches(self.loader(), 12)
        torch.manual_seed(123)
        assert batches(self.loader(), 12) == first
        assert batches(self.loader(seed=6), 12) != first

    def test_after_a_pause_it_goes_on(self) -> None:
        drawn = batches(self.loader(), 12)
        for skip in (1, 5, 7):
            assert batches(self.loader(), 12 - skip, skip=skip) == drawn[skip:]

    def test_slots_share_one_order(self) -> None:
        shares = [batches(self.loader(slots=2, rank=r), 9, slots=2, rank=r) for r in (0, 1)]
        assert all(len(batch) == 2 for share in shares for batch in share)
        together = [n for pair in zip(*shares, strict=True) for batch in pair for n in batch]
        assert sorted(together[:18]) == sorted(together[18:]) == list(range(18))
        # The order is that of one slot with the same seed.
        one = [n for batch in batches(self.loader(), 10) for n in batch]
        assert together == one

    def test_drop_last(self) -> None:
        loader = hf.training_data_loader(new_context(), NUMBERS, collate, drop_last=True)
        assert {len(batch) for batch in batches(loader, 12)} == {4}

    def test_worker_processes_change_nothing(self) -> None:
        loader = hf.training_data_loader(new_context(), NUMBERS, collate, num_workers=2)
        assert batches(loader, 7) == batches(self.loader(), 7)

    def test_nothing_to_train_on(self) -> None:
        with pytest.raises(UserError, match="no training data left"):
            hf.training_data_loader(new_context(), NUMBERS.select([]), collate)

    @pytest.mark.parametrize(
        ("seed", "config", "expected"),
        [
            (5, {"reproducibility": {"experiment_seed": 7}}, 5),
            (0, {"reproducibility": {"experiment_seed": 7}}, 0),
            (None, {"reproducibility": {"experiment_seed": 7}}, 7),
            (None, {"reproducibility": None}, 0),
            (None, {}, 0),
            (None, None, 0),
        ],
    )
    def test_seed(self, seed: int | None, config: dict[str, Any] | None, expected: int) -> None:
        assert hf.trial_seed(new_context(seed=seed, config=config)) == expected


class TestValidationDataLoader:
    def test_once_in_order(self) -> None:
        loader = hf.validation_data_loader(new_context(), NUMBERS, collate)
        assert [n for batch in loader for n in batch] == list(range(18))
        assert [len(batch) for batch in loader] == [4, 4, 4, 4, 2]

    def test_slots_get_every_row_once(self) -> None:
        rows = []
        for rank in (0, 1, 2):
            loader = hf.validation_data_loader(new_context(slots=2, rank=0), NUMBERS, collate)
            share = loader.get_data_loader(repeat=False, num_replicas=3, rank=rank)
            rows += [n for batch in share for n in batch]
        assert sorted(rows) == list(range(18))

    def test_nothing_to_validate_on(self) -> None:
        with pytest.raises(UserError, match="no validation data left"):
            hf.validation_data_loader(new_context(), NUMBERS.select([]), collate)


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
