"""Text files are learned with their line breaks, in the documents that the YAML says."""

import json
import pathlib
from typing import Any

import datasets
import pytest
import text_models
import tiny
import transformers
from lm_runs import workspace_for
from task_runs import train_here
from tokenizers import processors
from workspaces import ROOT, changed

from model_hub import cli
from model_hub.errors import UserError
from model_hub.huggingface.data.files import load_file
from model_hub.huggingface.tasks import language_modeling as lm
from model_hub.huggingface.tasks.language_modeling import documents

Tokenizer = transformers.PreTrainedTokenizerFast
TEXT = "one two\n\n\nthree\n  four\n\nfive\n"
CASES = ROOT.parent / "shared" / "cases"


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return text_models.byte_level_tokenizer([TEXT], 300)


@pytest.fixture(scope="module")
def with_bos() -> Tokenizer:
    """Adds a token before each text, as Llama's."""
    tokenizer = text_models.byte_level_tokenizer([TEXT], 300, ("<|endoftext|>", "<s>"))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.convert_tokens_to_ids("<s>"))]
    )
    return tokenizer


def loaded(folder: pathlib.Path, text: str) -> dict[str, datasets.Dataset]:
    (folder / "text.txt").write_text(text, encoding="utf-8")
    rows = datasets.load_dataset("text", data_files=str(folder / "text.txt"))["train"]
    return {"train": rows, "validation": rows}


def learned(
    tokenizer: Tokenizer,
    folder: pathlib.Path,
    text: str = TEXT,
    kind: type[lm.LanguageModelingDataKwargs] = lm.LanguageModelingDataKwargs,
    **settings: Any,
) -> list[list[int]]:
    kwargs = kind(**{"max_seq_length": 64, **settings})
    return list(lm.build_datasets(loaded(folder, text), tokenizer, kwargs).train["input_ids"])


def written(tokenizer: Tokenizer, blocks: list[list[int]]) -> list[str]:
    return [str(tokenizer.decode(block)) for block in blocks]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [f"<s>{TEXT}"]),
        ({"document_separator": "file"}, [f"<s>{TEXT}"]),
        (
            {"document_separator": "blank_line"},
            ["<s>one two\n\n\n<s>three\n  four\n\n<s>five\n"],
        ),
        (
            {"document_separator": "line"},
            ["".join(f"<s>{line}\n" for line in TEXT.splitlines())],
        ),
        (
            {"document_separator": "file", "document_boundaries": True},
            [f"<s>{TEXT}<|endoftext|>"],
        ),
        (
            {"document_separator": "blank_line", "document_boundaries": True},
            [
                "<s>one two\n<|endoftext|>",
                "<s>three\n  four\n<|endoftext|>",
                "<s>five\n<|endoftext|>",
            ],
        ),
        # What these keys alone did before.
        (
            {"document_boundaries": True},
            [f"<s>{x}<|endoftext|>" for x in ("one two", "three", "  four", "five")],
        ),
        ({"line_by_line": True}, ["<s>one two", "<s>three", "<s>  four", "<s>five"]),
    ],
)
def test_documents(
    with_bos: Tokenizer, tmp_path: pathlib.Path, settings: dict[str, Any], expected: list[str]
) -> None:
    assert written(with_bos, learned(with_bos, tmp_path, **settings)) == expected


def test_lines_give_the_tokens_of_transformers_example(
    with_bos: Tokenizer, tmp_path: pathlib.Path
) -> None:
    """run_clm.py tokenizes every line with its line break."""
    (tokens,) = learned(with_bos, tmp_path, document_separator="line")
    assert tokens == [i for x in TEXT.splitlines(keepends=True) for i in with_bos(x)["input_ids"]]


def test_a_file_is_tokenized_as_running_text(plain: Tokenizer, tmp_path: pathlib.Path) -> None:
    (tokens,) = learned(plain, tmp_path)
    assert tokens == plain(TEXT)["input_ids"]


@pytest.mark.parametrize("lines", [999, 1000, 1001, 2500])
@pytest.mark.parametrize("separator", ["file", "blank_line"])
@pytest.mark.parametrize("boundaries", [False, True])
def test_files_of_more_lines_than_are_tokenized_at_once(
    with_bos: Tokenizer, tmp_path: pathlib.Path, lines: int, separator: str, boundaries: bool
) -> None:
    """Documents and runs of blank lines that reach over the thousandth line are as any other."""
    shape = [("a", lines - 2), ("", 3), ("b", 4), ("", lines), ("c", 2)]
    text = "".join(f"{word}\n" * count for word, count in shape)
    blocks = learned(
        with_bos,
        tmp_path,
        text,
        max_seq_length=9000,
        document_separator=separator,
        document_boundaries=boundaries,
    )
    end = "<|endoftext|>" if boundaries else ""
    expected = [f"<s>{text}{end}"]
    if separator == "blank_line":
        documents = ["a\n" * (lines - 2), "b\n" * 4, "c\n" * 2]
        gaps = [""] * 3 if boundaries else ["\n" * 3, "\n" * lines, ""]
        expected = [f"<s>{d}{gap}{end}" for d, gap in zip(documents, gaps, strict=True)]
        expected = expected if boundaries else ["".join(expected)]
    assert written(with_bos, blocks) == expected


def test_blank_lines_before_the_first_document(with_bos: Tokenizer, tmp_path: pathlib.Path) -> None:
    settings = {"document_separator": "blank_line", "document_boundaries": True}
    blocks = learned(with_bos, tmp_path, "\n \na\n\t\n\nb", **settings)
    assert written(with_bos, blocks) == ["<s>a\n<|endoftext|>", "<s>b\n<|endoftext|>"]


@pytest.mark.parametrize("workers", [2, 3])
def test_documents_do_not_depend_on_processes(
    with_bos: Tokenizer, tmp_path: pathlib.Path, workers: int
) -> None:
    text = "a b\n\nc\n" * 900
    settings = {"document_separator": "blank_line", "max_seq_length": 16}
    alone = learned(with_bos, tmp_path, text, **settings)
    assert learned(with_bos, tmp_path, text, preprocessing_num_workers=workers, **settings) == alone


def test_masked_language_modeling_reads_lines(tmp_path: pathlib.Path) -> None:
    """Its tokenizers have no line breaks; the special tokens around each line say the same."""
    bert = tiny.word_tokenizer()
    text = "the cat sat\nthe dog\n\nwhere\n"
    kind = lm.MaskedLanguageModelingDataKwargs
    (blocks,) = learned(bert, tmp_path, text, kind)
    assert blocks == [i for line in text.splitlines() for i in bert(line)["input_ids"]]
    (blocks,) = learned(bert, tmp_path, text, kind, document_separator="blank_line")
    documents = ("the cat sat the dog", "where")
    assert blocks == [i for document in documents for i in bert(document)["input_ids"]]
    mask = lm.build_datasets(
        loaded(tmp_path, text), bert, kind(max_seq_length=64, document_separator="blank_line")
    ).train["special_tokens_mask"][0]
    assert mask == [int(i in bert.all_special_ids) for i in blocks]


def test_a_tokenizer_without_line_breaks_is_said(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, plain: Tokenizer
) -> None:
    learned(plain, tmp_path)
    assert "line breaks" not in caplog.text
    learned(tiny.word_tokenizer(), tmp_path)
    assert "has no token for line breaks" in caplog.text


def test_each_file_is_a_document(tmp_path: pathlib.Path) -> None:
    for name, lines in (("a", "one\ntwo\n"), ("b", "three"), ("c", "four\n\nfive\n")):
        (tmp_path / f"{name}.txt").write_text(lines)
    rows = load_file("k", str(tmp_path))
    for part, texts in (
        (rows, ["one\ntwo\n", "three\n", "four\n\nfive\n"]),
        (rows.select(range(1, 4)), ["two\n", "three\n", "four\n"]),
    ):
        pieces = documents.split_into_documents(part, "text", separator="file", blank_lines=True)
        assert pieces["text"][:] == texts
        assert all(pieces[documents.BEGINS]) and all(pieces[documents.ENDS])


def test_wrong_separators(plain: Tokenizer, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"data\.document_separator is 'page'.*file, blank_line"):
        lm.LanguageModelingDataKwargs(document_separator="page")
    with pytest.raises(UserError, match=r"document_separator is 'file', but data\.line_by_line"):
        lm.LanguageModelingDataKwargs(document_separator="file", line_by_line=True)
    rows = datasets.Dataset.from_dict({"text": ["a\nb"]})
    with pytest.raises(UserError, match=r"split 'train': data\.document_separator is for text"):
        lm.build_datasets(
            {"train": rows, "validation": rows},
            plain,
            lm.LanguageModelingDataKwargs(max_seq_length=8, document_separator="file"),
        )


def test_a_trained_model_goes_on_in_the_next_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not CASES.is_dir():
        pytest.skip(f"the text of this case is not there: {CASES}")
    train, validation = (
        (CASES / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("g1t", "g1v")
    )
    tokenizer = text_models.byte_level_tokenizer(train, 280)
    model = text_models.save_gpt2(tmp_path / "model", tokenizer, width=32, layers=2)
    workspace = workspace_for("clm", tmp_path / "context", model, train, validation)
    config = changed(
        workspace.config,
        # No whole number of lines, so that lines begin at every place of a block.
        data__max_seq_length=17,
        hyperparameters__max_steps=150,
        hyperparameters__learning_rate=1e-2,
    )
    train_here(workspace.write_yaml(config), tmp_path / "run", capsys)
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": "gamma delta two"}) + "\n")
    words = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")]
    assert cli.main(["predict", str(tmp_path / "run"), *words, "--max-new-tokens", "24"]) == 0
    answer = json.loads((tmp_path / "out.jsonl").read_text())["generated_text"]
    assert answer.startswith("\nepsilon zeta six\n")
