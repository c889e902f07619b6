"""Tokens per second of each task's preparation, against a bare call of the tokenizer.

Ours is everything between rows in a file and features that can be trained on: ``build_datasets``,
which checks the rows, tokenizes, labels, and writes an Arrow file that the next start reads. The
bare call is ``tokenizer(texts)`` on lists of texts in memory, in batches of as many rows, with the
same truncation; its lists are thrown away. (Conversations are written as text beforehand for it.)
Both have to find the same tokens. One process with one thread each; the second table says by how
much two processes are faster (``data.preprocessing_num_workers: 2``) than one.

    python benchmarks/preprocess.py
    python benchmarks/preprocess.py --tokenizer FOLDER --data TEXT   # a text file, any language
"""

import os

# Before tokenizers is imported: both sides with one thread, so that cores are compared with cores.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import copy
import dataclasses
import functools
import itertools
import json
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import _bench
import datasets
import numpy as np
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

import model_hub.huggingface as hf
import model_hub.huggingface.tasks.instruction_tuning as sft
import model_hub.huggingface.tasks.language_modeling as lm
import model_hub.huggingface.tasks.multiple_choice as mc
import model_hub.huggingface.tasks.question_answering as qa
import model_hub.huggingface.tasks.seq2seq as s2s
import model_hub.huggingface.tasks.text_classification as classification
import model_hub.huggingface.tasks.token_classification as tagging

BATCH = 1000  # Rows; what Dataset.map takes.
WORKERS = 2
# With them there are so many times more words, for these tasks.
WORDS_FOR_WORKERS, WITH_WORKERS = 9, ("qa",)
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} [SEP]\n{% endfor %}"
Tokenizer = transformers.PreTrainedTokenizerBase
Tokens = list[list[int]]


@dataclasses.dataclass
class Task:
    """A row of the table.

    Attributes:
        name: shown.
        goal: least share of the bare call's speed.
        rows: training rows.
        build: prepares splits with a number of workers; the training features.
        texts: positional arguments of the bare call for a batch of rows.
        settings: its keyword arguments.
    """

    name: str
    goal: float
    rows: list[dict[str, Any]]
    build: Callable[[datasets.DatasetDict, int | None], datasets.Dataset]
    texts: Callable[[Sequence[dict[str, Any]]], tuple[Any, ...]]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def make_words(count: int, seed: int = 0) -> list[str]:
    """Words of made-up syllables, the frequent ones short, as often as in natural language."""
    rng = np.random.default_rng(seed)
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    known = [
        "".join(rng.choice(syllables, 1 + min(3, int(np.log10(rank + 1) + rng.random()))))
        for rank in range(20_000)
    ]
    share = 1 / (np.arange(len(known)) + 3.0)  # Zipf's law
    return [known[number] for number in rng.choice(len(known), count, p=share / share.sum())]


def read_words(path: pathlib.Path, count: int) -> list[str]:
    words = path.read_text(encoding="utf-8").split()
    return list(itertools.islice(itertools.cycle(words), count))


def train_tokenizer(words: Sequence[str], size: int = 8000) -> Tokenizer:
    """WordPiece as BERT's, trained on these words."""
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special, show_progress=False
    )
    backend.train_from_iterator([" ".join(words)], trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def sentences(words: Sequence[str], least: int, most: int, seed: int) -> Iterator[list[str]]:
    """The words in pieces of a random length."""
    rng = np.random.default_rng(seed)
    begin = 0
    while begin < len(words) - most:
        length = int(rng.integers(least, most + 1))
        yield list(words[begin : begin + length])
        begin += length


def question_answering(words: Sequence[str], tokenizer: Tokenizer) -> Task:
    rows = []
    for number, piece in enumerate(sentences(words, 60, 400, 1)):
        context, answer = " ".join(piece[10:]), " ".join(piece[30:33])
        answers = {"text": [answer], "answer_start": [len(" ".join(piece[10:30])) + 1]}
        question = " ".join(piece[:10]) + "?"
        rows.append({"id": str(number), "context": context, "question": question})
        rows[-1]["answers"] = answers

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = qa.QuestionAnsweringDataKwargs(
            preprocessing_num_workers=workers, overwrite_cache=True
        )
        return qa.build_datasets(splits, tokenizer, kwargs).train

    return Task(
        "question answering, training",
        0.8,
        rows,
        build,
        lambda rows: ([row["question"] for row in rows], [row["context"] for row in rows]),
        {
            "truncation": "only_second",
            "max_length": 384,
            "stride": 128,
            "return_overflowing_tokens": True,
        },
    )


def text_classification(words: Sequence[str], tokenizer: Tokenizer) -> Task:
    rows = [
        {"sentence1": " ".join(piece[::2]), "sentence2": " ".join(piece[1::2]), "label": n % 2}
        for n, piece in enumerate(sentences(words, 20, 80, 2))
    ]

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = classification.TextClassificationDataKwargs(
            max_seq_length=128, preprocessing_num_workers=workers, overwrite_cache=True
        )
        task = classification.find_task(splits, None)
        return classification.build_datasets(splits, tokenizer, kwargs, task).train

    return Task(
        "text classification, two texts",
        0.9,
        rows,
        build,
        lambda rows: ([row["sentence1"] for row in rows], [row["sentence2"] for row in rows]),
        {"truncation": True, "max_length": 128},
    )


def token_classification(words: Sequence[str], tokenizer: Tokenizer) -> Task:
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    rng = np.random.default_rng(0)
    rows = [
        {"tokens": piece, "ner_tags": [names[n] for n in rng.integers(0, 5, len(piece))]}
        for piece in sentences(words, 5, 40, 3)
    ]

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = tagging.TokenClassificationDataKwargs(
            max_seq_length=128, preprocessing_num_workers=workers, overwrite_cache=True
        )
        found = tagging.read_tagging(splits, kwargs)
        return tagging.build_datasets(splits, tokenizer, kwargs, found).train

    return Task(
        "token classification",
        0.9,
        rows,
        build,
        lambda rows: ([row["tokens"] for row in rows],),
        {"is_split_into_words": True, "truncation": True, "max_length": 128},
    )


def multiple_choice(words: Sequence[str], tokenizer: Tokenizer) -> Task:
    rows = [
        {
            "sent1": " ".join(piece[:20]),
            "sent2": piece[20],
            **{f"ending{n}": " ".join(piece[21 + 10 * n : 31 + 10 * n]) for n in range(4)},
            "label": number % 4,
        }
        # 20 words are read four times.
        for number, piece in enumerate(sentences(words[: len(words) // 2], 61, 61, 4))
    ]

    def texts(rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
        pairs = [
            (row["sent1"], f"{row['sent2']} {row[f'ending{n}']}") for row in rows for n in range(4)
        ]
        first, second = zip(*pairs, strict=True)
        return list(first), list(second)

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = mc.MultipleChoiceDataKwargs(
            max_seq_length=80, preprocessing_num_workers=workers, overwrite_cache=True
        )
        return mc.build_datasets(splits, tokenizer, kwargs).train

    settings = {"truncation": True, "max_length": 80}
    return Task("multiple choice, four endings", 0.9, rows, build, texts, settings)


def language_modeling(words: Sequence[str], tokenizer: Tokenizer, kind: type, name: str) -> Task:
    rows = [{"text": " ".join(piece)} for piece in sentences(words, 5, 200, 5)]

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = kind(max_seq_length=256, preprocessing_num_workers=workers, overwrite_cache=True)
        return lm.build_datasets(splits, tokenizer, kwargs).train

    return Task(
        name, 0.9, rows, build, lambda rows: ([row["text"] for row in rows],), {"verbose": False}
    )


def seq2seq(words: Sequence[str], tokenizer: Tokenizer) -> Task:
    rows = [
        {"document": " ".join(piece[30:]), "summary": " ".join(piece[:30])}
        for piece in sentences(words, 90, 300, 6)
    ]

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = s2s.SummarizationDataKwargs(
            max_source_length=256, preprocessing_num_workers=workers, overwrite_cache=True
        )
        return s2s.build_datasets(splits, tokenizer, kwargs).train

    def texts(rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
        return ([row["document"] for row in rows] + [row["summary"] for row in rows],)

    settings = {"truncation": True, "max_length": 256}
    return Task("summarization", 0.9, rows, build, texts, settings)


def instruction_tuning(words: Sequence[str], tokenizer: Tokenizer) -> Task:
    tokenizer.chat_template = TEMPLATE
    rows = [
        {
            "messages": [
                {"role": "user", "content": " ".join(piece[:20])},
                {"role": "assistant", "content": " ".join(piece[20:70])},
                {"role": "user", "content": " ".join(piece[70:90])},
                {"role": "assistant", "content": " ".join(piece[90:])},
            ]
        }
        for piece in sentences(words, 100, 200, 7)
    ]
    written = {
        id(row): tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in rows
    }

    def build(splits: datasets.DatasetDict, workers: int | None) -> datasets.Dataset:
        kwargs = sft.InstructionTuningDataKwargs(
            max_seq_length=512, preprocessing_num_workers=workers, overwrite_cache=True
        )
        return sft.build_datasets(splits, tokenizer, kwargs).train

    return Task(
        "instruction tuning",
        0.9,
        rows,
        build,
        lambda rows: ([written[id(row)] for row in rows],),
        {"add_special_tokens": False, "truncation": True, "max_length": 512},
    )


TASKS: dict[str, Callable[[Sequence[str], Tokenizer], Task]] = {
    "qa": question_answering,
    "glue": text_classification,
    "ner": token_classification,
    "swag": multiple_choice,
    "clm": functools.partial(
        language_modeling, kind=lm.LanguageModelingDataKwargs, name="causal language model"
    ),
    "mlm": functools.partial(
        language_modeling, kind=lm.MaskedLanguageModelingDataKwargs, name="masked language model"
    ),
    "seq2seq": seq2seq,
    "sft": instruction_tuning,
}


def batches_of(task: Task) -> list[tuple[Any, ...]]:
    """What the bare call gets, batch by batch."""
    begins = range(0, len(task.rows), BATCH)
    return [task.texts(task.rows[begin : begin + BATCH]) for begin in begins]


def bare(task: Task, tokenizer: Tokenizer, batches: Sequence[tuple[Any, ...]]) -> Iterator[Tokens]:
    """The bare call's tokens, batch by batch."""
    for texts in batches:
        yield tokenizer(*texts, **task.settings)["input_ids"]


def exhaust(iterator: Iterator[Any]) -> None:
    for _ in iterator:
        pass


def same_tokens(task: Task, found: datasets.Dataset, expected: Tokens) -> bool:
    """Whether the features have the bare call's tokens: in order, rows may be divided otherwise."""
    columns = [found["input_ids"][:]]
    if task.name.startswith("summarization"):
        columns.append(found["labels"][:])
        # The bare call gets sources and targets of a batch, one after the other.
        batches = [slice(begin, begin + BATCH) for begin in range(0, len(found), BATCH)]
        columns = [column[batch] for batch in batches for column in columns]
    if task.name.startswith("multiple choice"):
        columns = columns[0]
    flat = itertools.chain.from_iterable
    return list(flat(flat(columns))) == list(flat(expected))


def load(task: Task, folder: pathlib.Path) -> datasets.DatasetDict:
    """The task's rows from a file, with an empty cache beside it."""
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    files = {}
    for split, rows in (("train", task.rows), ("validation", task.rows[:8])):
        path = folder / f"{split}.json"
        path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
        files[f"{split}_file"] = str(path)
    return hf.default_load_dataset(files)


def row_of(task: Task, tokenizer: Tokenizer, repeats: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        splits = load(task, pathlib.Path(folder))
        batches = batches_of(task)
        tokens = list(itertools.chain.from_iterable(bare(task, tokenizer, batches)))
        if not same_tokens(task, task.build(splits, None), tokens):
            _bench.fail(f"{task.name}: the features have other tokens than the bare call finds")
        count = sum(map(len, tokens))
        del tokens
        seconds = _bench.alternate(
            {
                "bare": lambda: exhaust(bare(task, tokenizer, batches)),
                "ours": lambda: task.build(splits, None),
            },
            repeats,
            warm_up=0,
        )
    speeds = [_bench.spread([count / s / 1000 for s in seconds[side]]) for side in ("bare", "ours")]
    share = _bench.spread(_bench.ratios(seconds["bare"], seconds["ours"]))
    return [
        task.name,
        f"{count:,}",
        *(speed.shown(".0f") for speed in speeds),
        f"{share.shown()}, goal {task.goal}",
    ]


def writing_share(task: Task, tokenizer: Tokenizer, repeats: int) -> str:
    """What the chat template takes of the time for conversations, as text below the table."""
    conversations = [row["messages"] for row in task.rows]

    def write() -> None:
        for messages in conversations:
            tokenizer.apply_chat_template(messages, tokenize=False)
            for number in range(1, len(messages), 2):  # The assistant's.
                tokenizer.apply_chat_template(
                    messages[:number], tokenize=False, add_generation_prompt=True
                )
                if number + 1 < len(messages):
                    tokenizer.apply_chat_template(messages[: number + 1], tokenize=False)

    batches = batches_of(task)
    sides = {"write": write, "bare": lambda: exhaust(bare(task, tokenizer, batches))}
    found = _bench.alternate(sides, repeats)
    writing, calling = (statistics.median(seconds) for seconds in found.values())
    return (
        "The bare call gets conversations as text. To write them with the template, up to the "
        f"beginning and the end of each answer, takes {writing:.2f} s more for its {calling:.2f} "
        f"s. Counted for it too, ours has {1 + writing / calling:.2f} times its share above."
    )


def seconds_with_workers(task: Task, repeats: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        splits = load(task, pathlib.Path(folder))
        one, several = (task.build(splits, count).with_format("arrow") for count in (None, WORKERS))
        if one[:] != several[:]:
            _bench.fail(f"{task.name}: {WORKERS} workers prepare other features than one")
        del one, several
        sides = {
            "one": lambda: task.build(splits, None),
            "several": lambda: task.build(splits, WORKERS),
        }
        return _bench.alternate(sides, repeats, warm_up=0)


def workers_table(words: Sequence[str], tokenizer: Tokenizer, repeats: int) -> str:
    """By how much workers are faster on more rows: each has to be started first."""
    rows = []
    for name in WITH_WORKERS:
        task = TASKS[name](words, copy.deepcopy(tokenizer))
        seconds = seconds_with_workers(task, repeats)
        gain = _bench.spread(_bench.ratios(seconds["one"], seconds["several"]))
        shown = (_bench.spread(found).shown(".1f") for found in seconds.values())
        rows.append([task.name, f"{len(task.rows):,}", *shown, gain.shown()])
    header = ["task", "rows", "1 worker, s", f"{WORKERS} workers, s", "times faster"]
    return _bench.table(header, rows)


def main() -> None:
    parser = _bench.parser(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--words", type=int, default=150_000, help="of text for each task")
    parser.add_argument("--tokenizer", help="folder of a fast tokenizer like BERT's")
    parser.add_argument("--data", type=pathlib.Path, help="a file with text")
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    count = 3000 if arguments.quick else arguments.words
    words = read_words(arguments.data, count) if arguments.data else make_words(count)
    repeats = 1 if arguments.quick else arguments.repeats
    if arguments.tokenizer:
        original = transformers.AutoTokenizer.from_pretrained(arguments.tokenizer)
    else:
        original = train_tokenizer(words)
    rows, below = [], ""
    for name in arguments.tasks:
        tokenizer = copy.deepcopy(original)
        task = TASKS[name](words, tokenizer)
        rows.append(row_of(task, tokenizer, repeats))
        if name == "sft":
            below = writing_share(task, tokenizer, repeats)
    header = ["task", "tokens", "bare call, 1000 tokens/s", "ours, 1000 tokens/s", "ours / bare"]
    text = _bench.table(header, rows)
    print(below)
    workers = workers_table(words * WORDS_FOR_WORKERS, original, repeats)
    text = "\n\n".join(part for part in (text, below, workers) if part)
    if arguments.write:
        _bench.write("preprocess", text, threads=1)


if __name__ == "__main__":
    main()
