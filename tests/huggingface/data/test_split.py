"""Training rows that become validation rows: at random, by label, by group, or the first."""

import collections

import datasets
import pytest

from model_hub.errors import UserError
from model_hub.huggingface.data.split import split_rows


def rows(**columns: list[object]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns)


SORTED = rows(label=["a"] * 60 + ["b"] * 30 + ["c"] * 10, n=list(range(100)))


class TestSplit:
    def test_every_row_is_in_one_split_in_order(self) -> None:
        train, validation = split_rows(SORTED, 25)
        assert len(validation) == 25
        assert train["n"][:] == sorted(train["n"][:])
        assert validation["n"][:] == sorted(validation["n"][:]) != list(range(25))
        assert sorted(train["n"][:] + validation["n"][:]) == list(range(100))

    def test_depends_on_the_seed_alone(self) -> None:
        chosen = [split_rows(SORTED, 10, seed=seed)[1]["n"][:] for seed in (0, 0, 1)]
        assert chosen[0] == chosen[1] != chosen[2]

    def test_labels_have_the_same_shares(self) -> None:
        _, validation = split_rows(SORTED, 10, label_column="label")
        assert collections.Counter(validation["label"][:]) == {"a": 6, "b": 3, "c": 1}

    def test_a_label_of_one_row_stays_to_be_learned(self) -> None:
        data = rows(label=["rare", *["a", "b"] * 20])
        for seed in range(20):
            train, _ = split_rows(data, 40, seed=seed, label_column="label")
            assert "rare" in train["label"][:]

    def test_numbers_to_predict_are_no_classes(self) -> None:
        data = rows(label=[n / 7 for n in range(50)])
        assert len(split_rows(data, 20, label_column="label")[1]) == 10

    @pytest.mark.parametrize("label_column", [None, "label"])
    def test_groups_stay_together(self, label_column: str | None) -> None:
        patients = [f"p{n // 4}" for n in range(100)]
        data = rows(patient=patients, label=["a", "b"] * 50)
        train, validation = split_rows(data, 20, group_column="patient", label_column=label_column)
        assert not set(train["patient"][:]) & set(validation["patient"][:])
        assert len(validation) == 20

    def test_running_text_is_divided_in_two(self) -> None:
        train, validation = split_rows(SORTED, 10, contiguous=True)
        assert validation["n"][:] == list(range(10)) and train["n"][0] == 10

    def test_what_cannot_be(self) -> None:
        with pytest.raises(UserError, match="leaves nothing to train on"):
            split_rows(SORTED, 99.9)
        with pytest.raises(UserError, match=r"^data\.group_column is 'x', but the columns are"):
            split_rows(SORTED, 10, group_column="x")
        with pytest.raises(UserError, match=r"of the 1 groups in data\.group_column 'g'"):
            split_rows(rows(g=["a"] * 10), 10, group_column="g")
