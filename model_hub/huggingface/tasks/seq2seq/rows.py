"""Rows of summarization and translation: columns of source and target, and languages."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import transformers

from model_hub.errors import UserError
from model_hub.huggingface.data.columns import require_text
from model_hub.huggingface.data.problems import Problems
from model_hub.huggingface.model import unwrap
from model_hub.huggingface.tasks.seq2seq.settings import (
    Seq2SeqDataKwargs,
    SummarizationDataKwargs,
    TranslationDataKwargs,
)

#: Columns with text and summary of datasets in which they are not document and summary, by the name
#: on the Hub without the organization.
SUMMARIZATION_COLUMNS = {
    "amazon_reviews_multi": ("review_body", "review_title"),
    "big_patent": ("description", "abstract"),
    "billsum": ("text", "summary"),
    "cnn_dailymail": ("article", "highlights"),
    "dialogsum": ("dialogue", "summary"),
    "orange_sum": ("text", "summary"),
    "pn_summary": ("article", "summary"),
    "psc": ("extract_text", "summary_text"),
    "samsum": ("dialogue", "summary"),
    "thaisum": ("body", "summary"),
    "wiki_summary": ("article", "highlights"),
    "xglue": ("news_body", "news_title"),
}


class TextColumns(NamedTuple):
    """Names of the columns of source and target texts."""

    source: str
    target: str


def find_columns(
    splits: Mapping[str, datasets.Dataset],
    data_kwargs: Seq2SeqDataKwargs,
    dataset_name: str | None = None,
    sources: Mapping[str, str] | None = None,
) -> tuple[dict[str, datasets.Dataset], TextColumns]:
    """Find the columns of source and target and check all rows, before anything is tokenized.

    Args:
        splits: rows as loaded.
        data_kwargs: section ``data``, of summarization or of translation.
        dataset_name: ``data.dataset_name``.
        sources: where each split comes from, for messages.

    Returns:
        The rows with one column for each, and the columns' names.

    Raises:
        UserError: when a column or language is missing, or not set, or a column does not hold text.
    """
    rows = {name: split.flatten() for name, split in splits.items()}
    columns = None
    with Problems() as problems:
        for name, split in rows.items():
            source = (sources or {}).get(name, f"split {name!r}")
            found = _columns_of(split.column_names, data_kwargs, dataset_name, source)
            columns = columns or found
            if found != columns:
                # One file has dicts, the other columns: use the names of the first.
                rows[name] = split.rename_columns(dict(zip(found, columns, strict=True)))
            if columns.source == columns.target:
                raise UserError(
                    f"{source}: source and target are the same column, {columns.source!r}."
                )
            with problems.part():
                require_text(rows[name], columns, source)
    assert columns is not None
    return rows, columns


def _columns_of(
    names: Sequence[str], data_kwargs: Seq2SeqDataKwargs, dataset_name: str | None, where: str
) -> TextColumns:
    if isinstance(data_kwargs, TranslationDataKwargs):
        return TextColumns(
            language_column(names, "source_lang", data_kwargs.source_lang, where),
            language_column(names, "target_lang", data_kwargs.target_lang, where),
        )
    assert isinstance(data_kwargs, SummarizationDataKwargs)
    known = SUMMARIZATION_COLUMNS.get(str(dataset_name).rsplit("/", 1)[-1], ("document", "summary"))
    wanted = {
        "text_column": data_kwargs.text_column or known[0],
        "summary_column": data_kwargs.summary_column or known[1],
    }
    missing = {key: column for key, column in wanted.items() if column not in names}
    if missing:
        raise UserError(
            f"{where}: there is no column {' or '.join(map(repr, missing.values()))}, only "
            f"{', '.join(sorted(names))}. Write the names of the right ones in "
            f"{' and '.join(f'data.{key}' for key in missing)}."
        )
    return TextColumns(*wanted.values())


def language_column(names: Sequence[str], key: str, language: str | None, where: str) -> str:
    """Return the column with the texts of a language.

    Args:
        names: the columns.
        key: the YAML's key, for messages.
        language: its value.
        where: where the rows come from, for messages.

    Raises:
        UserError: when the key is not set, or there is no such column.
    """
    prefix = "translation."
    languages = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    known = languages or names
    if language is None:
        raise UserError(
            f"data.{key} is missing. Write the language to translate "
            f"{'from' if key == 'source_lang' else 'to'}: in {where} there are "
            f"{', '.join(sorted(known))}."
        )
    for candidate in (language, language.split("_")[0]):
        for column in (prefix + candidate, candidate):
            if column in names:
                return column
    raise UserError(
        f"data.{key} is {language!r}, but {where} has {', '.join(sorted(known))}. Write one of "
        'these, or rows with a column "translation" of dicts such as {"en": "Hello", "ro": '
        '"Salut"}.'
    )


def language_codes(
    tokenizer: transformers.PreTrainedTokenizerBase, data_kwargs: Seq2SeqDataKwargs
) -> tuple[str, str] | None:
    """Return source and target language for a tokenizer that marks texts with them.

    Args:
        tokenizer: the tokenizer.
        data_kwargs: section ``data``.

    Returns:
        The codes; None if tokenizer or task have no languages.

    Raises:
        UserError: when the tokenizer does not know one of them.
    """
    if not isinstance(data_kwargs, TranslationDataKwargs) or not hasattr(tokenizer, "src_lang"):
        return None
    pair = (str(data_kwargs.source_lang), str(data_kwargs.target_lang))
    known: Any = None
    for name in ("lang_code_to_token", "lang_code_to_id"):  # M2M100 has both, with other keys.
        known = known or getattr(tokenizer, name, None)
    for key, code in zip(("source_lang", "target_lang"), pair, strict=True):
        unknown = tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id)
        if code not in known if known else unknown:
            codes = list(known or tokenizer.all_special_tokens)
            near = difflib.get_close_matches(code, codes, 3, 0.3) or codes[:5]
            raise UserError(
                f"data.{key} is {code!r}, which the tokenizer does not know. Write a code such as "
                f"{', '.join(near)}."
            )
    return pair


def mark_languages(
    tokenizer: transformers.PreTrainedTokenizerBase, codes: tuple[str, str] | Sequence[str] | None
) -> None:
    """Set the languages with which the tokenizer marks sources and targets.

    Args:
        tokenizer: changed in place.
        codes: of :func:`language_codes`; None changes nothing.
    """
    if codes is not None:
        tokenizer.src_lang, tokenizer.tgt_lang = codes


def start_with_language(
    model: Any, tokenizer: transformers.PreTrainedTokenizerBase, data_kwargs: Seq2SeqDataKwargs
) -> None:
    """Configure the model to generate texts in the target language.

    Models such as mBART know the language by a token. If targets begin with it (mBART-50, M2M100,
    NLLB), it is the first token to generate. If they end with it (mBART), the shift to the right
    moves it to the beginning, and it is the token that the decoder starts with.

    Args:
        model: its generation configuration is changed; wrapped or not.
        tokenizer: its languages are set.
        data_kwargs: section ``data``.

    Raises:
        UserError: when the tokenizer does not know a language.
    """
    codes = language_codes(tokenizer, data_kwargs)
    if codes is None:
        return
    mark_languages(tokenizer, codes)
    marks = list(tokenizer(text_target="")["input_ids"])
    language = [token for token in marks if token != tokenizer.eos_token_id]
    if len(language) != 1:
        return
    inner: Any = unwrap.unwrap(model)
    generation_config = inner.generation_config
    if marks[0] == language[0]:
        generation_config.forced_bos_token_id = language[0]
    else:
        generation_config.decoder_start_token_id = language[0]
