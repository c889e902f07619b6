"""Arrays, downloads, training lengths, and ``AttrDict``."""

import concurrent.futures
import copy
import http.server
import json
import pathlib
import pickle
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrdict
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import model_hub.utils
from model_hub.errors import UserError
from model_hub.utils import (
    AttrDict,
    compute_num_training_steps,
    download_url,
    expand_like,
    numpify,
)

NESTED = {"a": {"b": {"c": 1}}, "rows": [{"x": 1}, [{"y": 2}]], "pair": ({"z": 3}, 4), "n": None}

# The three kinds of dicts that trials pass.
MAPPINGS = {"dict": dict, "attrdict": attrdict.AttrDict, "ours": AttrDict}


def test_public_names() -> None:
    assert set(model_hub.utils.__all__) == {
        "AttrDict",
        "compute_num_training_steps",
        "download_url",
        "expand_like",
        "numpify",
    }


class TestExpandLike:
    def test_pads_dimension_1_and_concatenates_dimension_0(self) -> None:
        arrays = [np.array([[1, 2]]), np.array([[3, 4, 5], [6, 7, 8]])]
        result = expand_like(arrays)
        np.testing.assert_array_equal(result, [[1, 2, -100], [3, 4, 5], [6, 7, 8]])
        assert result.dtype == np.int64

    def test_fill(self) -> None:
        arrays = [np.array([[1, 2]]), np.array([[3]])]
        np.testing.assert_array_equal(expand_like(arrays, fill=0), [[1, 2], [3, 0]])
        np.testing.assert_array_equal(expand_like(arrays, 7), [[1, 2], [3, 7]])

    def test_one_dimension(self) -> None:
        np.testing.assert_array_equal(expand_like([np.arange(2), np.arange(3)]), [0, 1, 0, 1, 2])

    def test_any_iterable(self) -> None:
        assert expand_like(np.ones((1, n)) for n in (1, 2)).shape == (2, 2)

    def test_further_dimensions(self) -> None:
        result = expand_like([np.ones((1, 2, 5)), np.zeros((2, 3, 5))])
        assert result.shape == (3, 3, 5)
        assert (result[0, 2] == -100).all()

    def test_nothing(self) -> None:
        with pytest.raises(ValueError, match="at least one array"):
            expand_like([])

    @pytest.mark.parametrize("lengths", [(1, 3), (2, 2)], ids=["padded", "same length"])
    @pytest.mark.parametrize("axes", [(), (5,)], ids=["2 dimensions", "3 dimensions"])
    @pytest.mark.parametrize(
        ("dtypes", "fill", "expected"),
        [
            (["float32", "float32"], -100, "float64"),
            (["float16", "float32"], -100, "float64"),
            (["float32", "float64"], -100.0, "float64"),
            (["int64", "float32"], -100, "float64"),
            (["int32", "int32"], -100, "int64"),
            (["uint8", "uint8"], -100, "int64"),
            (["bool", "bool"], -100, "int64"),
            (["int64", "int64"], float("nan"), "float64"),
            (["int32", "int64"], 0.5, "float64"),
        ],
    )
    def test_dtype(
        self,
        dtypes: list[str],
        fill: float,
        expected: str,
        axes: tuple[int, ...],
        lengths: tuple[int, int],
    ) -> None:
        """The dtype depends on those of the inputs alone, not on whether anything is padded."""
        arrays = [
            np.full((1, length, *axes), value).astype(dtype)
            for dtype, length, value in zip(dtypes, lengths, (0.75, 1), strict=True)
        ]
        result = expand_like(arrays, fill)
        assert result.dtype == expected
        np.testing.assert_equal(result[0, 0], arrays[0][0, 0].astype(expected))
        if lengths[0] < lengths[1]:
            np.testing.assert_equal(result[0, -1].ravel()[0], np.array(fill, expected))

    def test_items_of_floats_are_floats_for_json(self) -> None:
        result = expand_like([np.array([[0.5]], "float32"), np.array([[1, 2.25]], "float32")])
        assert json.dumps([*result[0], *result[1]]) == "[0.5, -100.0, 1.0, 2.25]"

    def test_one_dimension_keeps_the_dtype(self) -> None:
        assert expand_like([np.ones(2, "float32"), np.ones(1, "float32")]).dtype == "float32"

    @hypothesis.settings(max_examples=100, deadline=None)
    @hypothesis.given(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1), st.data()
    )
    def test_rows_come_back(self, shapes: list[tuple[int, int]], data: st.DataObject) -> None:
        values = st.integers(-5, 5)
        arrays = [data.draw(st_numpy.arrays("int32", shape, elements=values)) for shape in shapes]
        result = iter(expand_like(arrays, fill=-9))
        for array in arrays:
            for row in array:
                found = next(result)
                np.testing.assert_array_equal(found[: len(row)], row)
                assert (found[len(row) :] == -9).all()
        assert next(result, None) is None


class TestNumpify:
    @pytest.mark.parametrize(
        "value",
        [
            [[1.0, 2.0]],
            np.array([[1.0, 2.0]]),
            torch.tensor([[1.0, 2.0]]),
            torch.tensor([[1.0, 2.0]], requires_grad=True),
            torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16),
            torch.tensor([[1.0, 2.0]], dtype=torch.float16),
        ],
    )
    def test_becomes_an_array(self, value: Any) -> None:
        result = numpify(value)
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, [[1.0, 2.0]])

    def test_array_is_handed_through(self) -> None:
        array = np.arange(3)
        assert numpify(array) is array

    @pytest.mark.parametrize("value", [(1, 2), 3, None, "text", {"a": 1}])
    def test_anything_else(self, value: Any) -> None:
        with pytest.raises(TypeError, match=re.escape(type(value).__name__)):
            numpify(value)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Announces five bytes and sends as many as the query says."""

    answered = 0

    def do_GET(self) -> None:
        type(self).answered += 1
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"x" * int(self.path.rpartition("=")[2]))

    def log_message(self, *_: Any) -> None:
        pass


class TestDownloadUrl:
    @pytest.fixture
    def server(self) -> Iterator[str]:
        with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    def test_downloads_once(self, tmp_path: pathlib.Path) -> None:
        source = tmp_path / "source" / "data.bin"
        source.parent.mkdir()
        content = bytes(range(256)) * 20_000
        source.write_bytes(content)
        target = tmp_path / "not" / "there"
        path = download_url(str(target), source.as_uri())
        assert path == str(target / "data.bin")
        assert pathlib.Path(path).read_bytes() == content
        source.write_bytes(b"changed")
        assert download_url(str(target), source.as_uri()) == path
        assert pathlib.Path(path).read_bytes() == content

    def test_query_is_no_part_of_the_name(self, tmp_path: pathlib.Path, server: str) -> None:
        path = download_url(str(tmp_path), f"{server}/data.txt?bytes=5")
        assert pathlib.Path(path).name == "data.txt"
        assert pathlib.Path(path).read_bytes() == b"xxxxx"

    def test_many_at_a_time_download_once(self, tmp_path: pathlib.Path, server: str) -> None:
        _Handler.answered = 0
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            url = f"{server}/data.txt?bytes=5"
            paths = list(pool.map(lambda _: download_url(str(tmp_path), url), range(4)))
        assert paths == [str(tmp_path / "data.txt")] * 4
        assert _Handler.answered == 1

    def test_broken_off(self, tmp_path: pathlib.Path, server: str) -> None:
        with pytest.raises(OSError, match="only 4 of 5 bytes"):
            download_url(str(tmp_path), f"{server}/data.txt?bytes=4")
        assert not (tmp_path / "data.txt").exists()

    def test_failure_leaves_nothing(self, tmp_path: pathlib.Path) -> None:
        source = tmp_path / "data.bin"
        for _ in range(2):
            with pytest.raises(OSError, match=r"data\.bin"):
                download_url(str(tmp_path / "to"), source.as_uri())
        assert not [p for p in (tmp_path / "to").iterdir() if p.suffix != ".lock"]
        source.write_text("now")
        assert (
            pathlib.Path(download_url(str(tmp_path / "to"), source.as_uri())).read_text() == "now"
        )

    def test_readable_by_others_as_far_as_the_umask_allows(self, tmp_path: pathlib.Path) -> None:
        source = tmp_path / "data.bin"
        source.write_bytes(b"x")
        path = pathlib.Path(download_url(str(tmp_path / "to"), source.as_uri()))
        assert path.stat().st_mode == source.stat().st_mode

    def test_url_without_a_name(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(ValueError, match="file name"):
            download_url(str(tmp_path), "https://example.org/")


@pytest.mark.parametrize("form", sorted(MAPPINGS))
class TestComputeNumTrainingSteps:
    @pytest.mark.parametrize(
        ("max_length", "further", "expected"),
        [
            ({"batches": 500}, {}, 500),
            (500, {}, 500),
            ({"records": 1000}, {}, int(1000 / 32)),
            ({"records": 31}, {}, 0),
            ({"epochs": 3}, {"records_per_epoch": 1000}, 3 * int(1000 / 32)),
            # Each epoch is rounded down, not their sum.
            ({"epochs": 10}, {"records_per_epoch": 63}, 10),
        ],
    )
    def test_units(
        self, form: str, max_length: Any, further: dict[str, int], expected: int
    ) -> None:
        config = MAPPINGS[form]({"searcher": {"max_length": max_length}, **further})
        assert compute_num_training_steps(config, 32) == expected

    def test_epochs_without_their_length(self, form: str) -> None:
        config = MAPPINGS[form]({"searcher": {"max_length": {"epochs": 3}}})
        with pytest.raises(UserError) as caught:
            compute_num_training_steps(config, 32)
        assert "write records_per_epoch" in str(caught.value)
        assert "searcher.max_length in batches" in str(caught.value)

    @pytest.mark.parametrize("config", [{}, {"searcher": None}, {"searcher": {"name": "single"}}])
    def test_no_length(self, form: str, config: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"num_train_epochs.*num_training_steps"):
            compute_num_training_steps(MAPPINGS[form](config), 32)

    @pytest.mark.parametrize(
        "max_length",
        [
            {"steps": 5},
            {"batches": 5, "epochs": 1},
            {},
            {"batches": "many"},
            {"batches": 2.5},
            {"batches": True},
            {"epochs": 0},
            "long",
            -1,
        ],
    )
    def test_no_such_length(self, form: str, max_length: Any) -> None:
        config = MAPPINGS[form]({"searcher": {"max_length": max_length}})
        with pytest.raises(UserError, match=r"searcher\.max_length is .*\{epochs: 2\}"):
            compute_num_training_steps(config, 32)


class TestAttrDict:
    def test_attribute_and_item_are_one(self) -> None:
        d = AttrDict(NESTED)
        assert d.a.b.c == d["a"]["b"]["c"] == 1
        assert d.a.b is d["a"]["b"]
        d.a.b = 5
        assert d["a"]["b"] == 5
        d["a"]["new"] = 6
        assert d.a.new == 6
        d.fresh = {"deep": {}}
        d.fresh.deep.er = 7
        assert d["fresh"] == {"deep": {"er": 7}}
        del d.fresh
        assert "fresh" not in d

    def test_is_a_dict_of_both_kinds(self) -> None:
        d = AttrDict(NESTED)
        assert isinstance(d, dict)
        assert isinstance(d, attrdict.AttrDict)
        assert isinstance(d.a, attrdict.AttrDict)
        assert not isinstance({}, attrdict.AttrDict)
        assert d == NESTED

    def test_a_plain_list_is_the_same_list(self) -> None:
        numbers = [1, 2]
        d = AttrDict(a=numbers)
        d.b = numbers
        assert d.a is d.b is numbers

    def test_lists_stay_lists(self) -> None:
        d = AttrDict(NESTED)
        assert type(d.rows) is list
        assert type(d.pair) is tuple
        d.rows.append({"x": 2})
        assert d.rows[0].x == 1
        assert d.rows[1][0].y == 2
        assert d.pair[0].z == 3
        assert d.rows[2] == {"x": 2}

    @pytest.mark.parametrize("form", sorted(MAPPINGS))
    def test_made_of_any_mapping(self, form: str) -> None:
        d = AttrDict(MAPPINGS[form](NESTED))
        assert d == NESTED
        assert type(d.a.b) is AttrDict
        assert type(d.rows) is list
        d.a.b.c = 2
        assert NESTED["a"]["b"]["c"] == 1  # type: ignore[index]

    def test_old_class_is_made_of_ours(self) -> None:
        assert attrdict.AttrDict(AttrDict(NESTED)).a.b.c == 1

    @pytest.mark.parametrize(
        "fill",
        [
            lambda d, new: d.update(new),
            lambda d, new: d.update(k=new["k"]),
            lambda d, new: d.update(new.items()),
            lambda d, new: d.setdefault("k", new["k"]),
            lambda d, new: d.__ior__(new),
            lambda d, new: d.__setitem__("k", new["k"]),
            lambda d, new: setattr(d, "k", new["k"]),
        ],
    )
    def test_every_way_in_converts(self, fill: Callable[[AttrDict, Any], Any]) -> None:
        d = AttrDict(old=1)
        fill(d, {"k": {"deep": 1}})
        assert d.k.deep == 1
        assert d.old == 1

    def test_union(self) -> None:
        merged = AttrDict(a=1) | {"b": {"c": 2}}
        assert type(merged) is AttrDict
        assert merged.b.c == 2
        assert type(AttrDict.fromkeys(["a"], {}).a) is AttrDict

    def test_setdefault_leaves_what_is_there(self) -> None:
        d = AttrDict(a=None)
        assert d.setdefault("a", 1) is None
        assert d.setdefault("b", {"c": 1}) is d.b

    def test_a_name_that_is_not_there(self) -> None:
        d = AttrDict(learning_rate=1, momentum=2)
        with pytest.raises(AttributeError, match=r"'lr'.*\['learning_rate', 'momentum'\]"):
            _ = d.lr
        with pytest.raises(AttributeError):
            del d.lr
        assert not hasattr(d, "lr")
        assert getattr(d, "lr", 3) == 3
        assert d.get("lr") is None

    def test_names_of_dict_are_items_only(self) -> None:
        d = AttrDict({"items": 1, "a": 2})
        assert d["items"] == 1
        assert sorted(d.items()) == [("a", 2), ("items", 1)]
        with pytest.raises(AttributeError, match=r"d\['keys'\]"):
            d.keys = 3

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles(self, protocol: int) -> None:
        again = pickle.loads(pickle.dumps(AttrDict(NESTED), protocol))
        assert type(again) is AttrDict
        assert again == NESTED
        again.a.b.c = 2
        assert again["a"]["b"]["c"] == 2

    def test_copies(self) -> None:
        d = AttrDict(NESTED)
        for shallow in (copy.copy(d), d.copy()):
            assert type(shallow) is AttrDict
            assert shallow == d
            assert shallow is not d
            assert shallow.a is d.a
            assert shallow.rows is d.rows
        deep = copy.deepcopy(d)
        deep.a.b.c = 2
        deep.rows[0].x = 3
        assert d == NESTED

    def test_goes_through_json(self) -> None:
        d = AttrDict({**NESTED, "token": "hf_abc"})
        assert json.loads(json.dumps(d)) == json.loads(json.dumps({**NESTED, "token": "hf_abc"}))
        assert AttrDict(json.loads(json.dumps(d))).a.b.c == 1

    def test_keyword_arguments_of_a_function(self) -> None:
        def function(**kwargs: Any) -> Mapping[str, Any]:
            return kwargs

        assert function(**AttrDict(NESTED)) == NESTED

    def test_repr_is_that_of_a_dict(self) -> None:
        assert repr(AttrDict(NESTED)) == repr(NESTED)
        assert f"{AttrDict(a=1)}" == "{'a': 1}"
        d = AttrDict(a=1)
        d.me = d
        assert repr(d) == "{'a': 1, 'me': {...}}"

    def test_repr_hides_tokens(self) -> None:
        d = AttrDict(hyperparameters={"use_auth_token": "hf_abc", "token": "hf_abc", "x": [1]})
        assert "hf_abc" not in f"{d} {d!r} {d.hyperparameters} {[d]}"
        assert "'***'" in repr(d)
        assert d.hyperparameters.token == "hf_abc"
        assert repr(AttrDict(use_auth_token=True)) == "{'use_auth_token': True}"
