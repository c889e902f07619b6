"""Splits that section `data` names: by a name on the Hub, a folder, or local files."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import attrdict
import datasets
import pytest

from model_hub import huggingface as hf
from model_hub.errors import UserError
from model_hub.utils import AttrDict

ROWS = {"text": [f"row {number}" for number in range(40)], "label": list(range(40))}


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
                    # With a validation file, no training rows are used for validation.
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
        chosen = splits["validation"]["label"][:]
        assert len(chosen) == count and chosen == sorted(chosen)
        assert sorted(splits["train"]["label"][:] + chosen) == list(range(40))

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
        loaded = []

        def load(name: str, *_: object, **__: object) -> datasets.DatasetDict:
            loaded.append(name)
            rows = datasets.Dataset.from_dict({"tokens": [["a"]]})
            return datasets.DatasetDict({"train": rows, "validation": rows})

        monkeypatch.setattr(datasets, "load_dataset", load)
        hf.default_load_dataset({"dataset_name": name})
        assert loaded == [today]

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
        assert len(loaded["validation"]) == 10
        assert sorted(loaded["validation"]["label"][:] + loaded["train"]["label"][:]) == list(
            range(40)
        )

    def test_folder_of_files(self, train_file: str) -> None:
        config = {"dataset_name": os.path.dirname(train_file), "validation_split_percentage": 5}
        assert len(hf.default_load_dataset(config)["train"]) == 38

    def test_several_validation_splits(self, tmp_path: pathlib.Path) -> None:
        dataset = datasets.Dataset.from_dict(ROWS)
        names = ("train", "validation_matched", "validation_mismatched")
        datasets.DatasetDict(dict.fromkeys(names, dataset)).save_to_disk(tmp_path)
        config = {"dataset_name": str(tmp_path)}
        assert set(hf.default_load_dataset(config)) == set(names)
        # A percentage takes a part of the training data instead.
        splits = hf.default_load_dataset({**config, "validation_split_percentage": 50})
        assert len(splits["validation"]) + len(splits["train"]) == len(dataset)

    def test_no_training_split(self, tmp_path: pathlib.Path) -> None:
        datasets.DatasetDict(test=datasets.Dataset.from_dict(ROWS)).save_to_disk(tmp_path)
        with pytest.raises(UserError, match=r"no split 'train', only \['test'\]"):
            hf.default_load_dataset({"dataset_name": str(tmp_path)})

    def test_cannot_be_loaded(self) -> None:
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
