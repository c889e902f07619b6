"""SQuAD post-processing: from the logits of all windows to the answers and the files with them.

Ours is the reducer that the trials use, fed with batches of logits. The other side, written here,
goes through pairs of start and end in plain Python and keeps a dict of each that may be an answer.
Its pairs are those of the 20 best starts and the 20 best ends, as in the community's scripts; or
all pairs that are not too long, which is what ours promises to be equal to, whatever the logits.
Both sides write predictions.json, nbest_predictions.json and null_odds.json, which have to be the
same: texts, their order, and numbers within 1e-6. Ours computes the metrics of SQuAD besides.

    python benchmarks/postprocess.py
"""

import functools
import json
import pathlib
import statistics
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import _bench
import _plain_answers
import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from _plain_answers import LONGEST_ANSWER, N_BEST

from model_hub.huggingface.tasks import question_answering as qa

# What processes that measure memory have imported.
IMPORTS = ("transformers", "model_hub.huggingface.tasks.question_answering")
TOKENS = 384
QUESTION = 12  # Tokens of [CLS] question [SEP]; the context takes the rest but for a last [SEP].
STRIDE = 128
BATCH_SIZE = 12
CHARACTERS = 5  # Of a word, the blank after it included.
PEAK = 8  # Neighbouring tokens that stand out as starts; as many as ends.


class Case(NamedTuple):
    """One row of the table.

    Attributes:
        windows: how many features.
        no_answer: SQuAD v2.0: "no answer" may be the best.
        all_pairs: compare with all allowed pairs instead of those of the 20 best starts and ends.
    """

    windows: int
    no_answer: bool
    all_pairs: bool


class Inputs(NamedTuple):
    """What the sides are given: rows, their windows as each side stores them, and logits.

    Attributes:
        examples: flat SQuAD rows.
        features: windows as the library prepares them.
        plain_features: windows as the scripts do: tokens outside of the context have no offsets.
        start_logits: float32 ``[windows, TOKENS]``.
        end_logits: the same.
    """

    examples: datasets.Dataset
    features: datasets.Dataset
    plain_features: datasets.Dataset
    start_logits: npt.NDArray[np.float32]
    end_logits: npt.NDArray[np.float32]

    def save(self, folder: pathlib.Path) -> None:
        for name in ("examples", "features", "plain_features"):
            getattr(self, name).save_to_disk(folder / name)
        np.save(folder / "logits.npy", np.stack([self.start_logits, self.end_logits]))

    @classmethod
    def load(cls, folder: pathlib.Path) -> "Inputs":
        names = ("examples", "features", "plain_features")
        rows = (datasets.load_from_disk(str(folder / name)) for name in names)
        return cls(*rows, *np.load(folder / "logits.npy"))


def make_inputs(case: Case, seed: int = 0) -> Inputs:
    """Contexts of one to three windows; most logits noise, some tokens standing out.

    The best spans of a window are pairs of tokens that stand out, like those of a trained model. So
    the 20 best starts and ends make the best pairs, and both sides have to find the same ones.
    (With ``all_pairs`` there is noise alone.)
    """
    rng = np.random.default_rng(seed)
    room = TOKENS - QUESTION - 1
    contexts: list[str] = []
    windows: list[tuple[int, int]] = []  # Row, and first word.
    while len(windows) < case.windows:
        count = min(int(rng.choice([1, 1, 1, 2, 3])), case.windows - len(windows))
        words = room + (count - 1) * (room - STRIDE)
        letters = rng.integers(97, 123, (words, CHARACTERS), dtype=np.uint8)
        letters[:, -1] = ord(" ")
        windows += [(len(contexts), n * (room - STRIDE)) for n in range(count)]
        contexts.append(letters.tobytes().decode())
    names = [f"question-{row}" for row in range(len(contexts))]
    answers = [
        {"text": [] if row % 3 == 0 and case.no_answer else [text[:400]], "answer_start": [0]}
        for row, text in enumerate(contexts)
    ]
    offsets = np.zeros((len(windows), TOKENS, 2), np.int32)
    begins = CHARACTERS * (np.array([first for _, first in windows])[:, None] + np.arange(room))
    context = slice(QUESTION, QUESTION + room)
    offsets[:, context, 0], offsets[:, context, 1] = begins, begins + CHARACTERS - 1
    outside = np.ones((len(windows), TOKENS), np.bool_)
    outside[:, context] = False

    start, end = rng.normal(size=(2, len(windows), TOKENS)).astype(np.float32)
    if not case.all_pairs:
        place = rng.integers(QUESTION, QUESTION + room - 2 * PEAK, len(windows))
        rows = np.arange(len(windows))[:, None]
        start[rows, place[:, None] + np.arange(PEAK)] += 12
        end[rows, place[:, None] + PEAK // 4 + np.arange(PEAK)] += 12
        # "No answer" is better than the best span for about half of the windows, by half of 26.
        start[:, 0] += 13
        end[:, 0] += 13
    of_model: dict[str, Any] = {
        "input_ids": lists(rng.integers(0, 30_000, (len(windows), TOKENS))),
        "token_type_ids": lists(np.zeros((len(windows), TOKENS), np.int64)),
        "attention_mask": lists(np.ones((len(windows), TOKENS), np.int64)),
        "example_id": [names[row] for row, _ in windows],
    }
    for_reducer = {"context_begin": QUESTION, "context_end": QUESTION + room, "cls_index": 0}
    columns = {name: [place] * len(windows) for name, place in for_reducer.items()}
    features = table_of({**of_model, **columns, "offset_mapping": lists(offsets)})
    plain = table_of({**of_model, "offset_mapping": lists(offsets, outside)})
    examples = table_of({"id": names, "context": contexts, "answers": answers})
    return Inputs(examples, qa.number_features(features), plain, start, end)


def table_of(columns: dict[str, Any]) -> datasets.Dataset:
    return datasets.Dataset(pa.table(columns))


def lists(numbers: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """The array as lists (of lists); the innermost of them that are missing become None."""
    values, mask = pa.array(numbers.ravel()), missing
    for axis in range(numbers.ndim - 1, 0, -1):
        limits = np.arange(0, len(values) + 1, numbers.shape[axis], dtype=np.int32)
        flat = None if mask is None else pa.array(mask.ravel())
        values, mask = pa.ListArray.from_arrays(limits, values, mask=flat), None
    return values


def ours(inputs: Inputs, case: Case, folder: pathlib.Path | None) -> None:
    """Without a folder, no files."""
    reducer = reducer_of(inputs, case, folder)
    reducer.cross_slot_reduce([reducer.per_slot_reduce()])


def reducer_of(
    inputs: Inputs, case: Case, folder: pathlib.Path | None
) -> qa.QuestionAnsweringReducer:
    """The reducer, with all logits seen."""
    settings = qa.QuestionAnsweringDataKwargs(
        n_best_size=N_BEST,
        max_answer_length=LONGEST_ANSWER,
        version_2_with_negative=case.no_answer,
        output_dir=str(folder) if folder else None,
    )
    reducer = qa.QuestionAnsweringReducer(
        inputs.examples, inputs.features, settings, write_files=True
    )
    names = ["feature_id", "context_begin", "context_end", "cls_index"]
    columns = inputs.features.select_columns(names).with_format("torch")[:]
    for begin in range(0, len(inputs.features), BATCH_SIZE):
        batch = slice(begin, begin + BATCH_SIZE)
        reducer.update(
            {name: column[batch] for name, column in columns.items()},
            torch.from_numpy(inputs.start_logits[batch]),
            torch.from_numpy(inputs.end_logits[batch]),
        )
    return reducer


def theirs(inputs: Inputs, case: Case, folder: pathlib.Path) -> None:
    _plain_answers.write_answers(
        inputs.examples,
        inputs.plain_features,
        inputs.start_logits,
        inputs.end_logits,
        folder,
        no_answer=case.no_answer,
        all_pairs=case.all_pairs,
    )


SIDES = {"ours": ours, "plain Python": theirs}


def compare(one: pathlib.Path, other: pathlib.Path, what: str) -> None:
    """Ends the script unless two folders hold the same answers."""
    files = sorted(path.name for path in one.iterdir())
    if files != sorted(path.name for path in other.iterdir()):
        _bench.fail(f"{what}: the two sides wrote different files")
    for name in files:
        a, b = (json.loads((folder / name).read_text(encoding="utf-8")) for folder in (one, other))
        if list(a) != list(b):
            _bench.fail(f"{what}: {name} is about other questions")
        for question in a:
            if not same(a[question], b[question]):
                _bench.fail(f"{what}: {name}, {question}: {a[question]} and {b[question]}")


def same(one: Any, other: Any) -> bool:
    """Equal, numbers within 1e-6."""
    if isinstance(one, float):
        return isinstance(other, float) and abs(one - other) <= 1e-6
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return bool(one == other)


def memory(side: str, case: Case, folder: pathlib.Path) -> float:
    """MiB that a side adds to the memory of this process; the folder has the inputs."""
    inputs = Inputs.load(folder)
    with tempfile.TemporaryDirectory() as name:
        return _bench.peak_mib(lambda: SIDES[side](inputs, case, pathlib.Path(name)))


def stages(inputs: Inputs, case: Case, repeats: int) -> str:
    """Where our time goes, as text below the table, and what writing JSON alone would take."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ours(inputs, case, folder)
        contents = [json.loads(path.read_text("utf-8")) for path in folder.iterdir()]
        seconds = _bench.alternate(
            {
                "spans": lambda: reducer_of(inputs, case, folder).per_slot_reduce(),
                "metrics": lambda: ours(inputs, case, None),
                "files": lambda: ours(inputs, case, folder),
                "json": lambda: [json.dumps(content) for content in contents],
            },
            repeats,
        )
    spans, metrics, files, alone = (statistics.median(found) for found in seconds.values())
    text = (
        f"Of {files:.2f} s, {spans:.2f} choose the spans of each batch, {metrics - spans:.2f} the "
        f"answers with their metrics (which plain Python leaves out), and {files - metrics:.2f} "
        f"write the files. `json.dumps` of what stands in them alone takes {alone:.2f} s."
    )
    print(text)
    return text


def row_of(case: Case, repeats: int) -> Sequence[str]:
    """Compares and measures one case."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        made = make_inputs(case)
        made.save(folder / "inputs")
        inputs = Inputs.load(folder / "inputs")
        sides = {
            side: functools.partial(run, inputs, case, folder / side) for side, run in SIDES.items()
        }
        for run in sides.values():
            run()
        what = f"{case.windows} windows, no answer {'may' if case.no_answer else 'may not'} be best"
        compare(*(folder / side for side in SIDES), what)
        seconds = _bench.alternate(sides, repeats, warm_up=0)
        calls = [(side, case, folder / "inputs") for side in SIDES for _ in range(repeats)]
        peaks = _bench.in_new_processes(memory, calls, IMPORTS)
    ratio = _bench.spread(_bench.ratios(seconds["plain Python"], seconds["ours"]))
    return [
        f"{case.windows:,}",
        "all" if case.all_pairs else f"{N_BEST} x {N_BEST} best",
        "yes" if case.no_answer else "no",
        *(_bench.spread(seconds[side]).shown() for side in SIDES),
        ratio.shown(".1f"),
        *(
            _bench.spread(peaks[begin : begin + repeats]).shown(".0f")
            for begin in range(0, len(peaks), repeats)
        ),
    ]


def main() -> None:
    parser = _bench.parser(__doc__)
    parser.add_argument("--windows", type=int, default=10_000, help="features of 384 tokens")
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    windows = 40 if arguments.quick else arguments.windows
    repeats = 1 if arguments.quick else arguments.repeats
    cases = [
        Case(windows, no_answer=True, all_pairs=False),
        Case(max(windows // 4, 20), no_answer=False, all_pairs=False),
        Case(max(windows // 200, 8), no_answer=False, all_pairs=True),
    ]
    if arguments.quick:
        del cases[0]
    header = [
        "windows",
        "pairs",
        '"no answer"',
        *(f"{side}, s" for side in SIDES),
        "times faster",
        *(f"{side}, MiB" for side in SIDES),
    ]
    text = _bench.table(header, [row_of(case, repeats) for case in cases])
    text += f"\n\n{stages(make_inputs(cases[0]), cases[0], repeats)}"
    if arguments.write:
        _bench.write("postprocess", text)


if __name__ == "__main__":
    main()
