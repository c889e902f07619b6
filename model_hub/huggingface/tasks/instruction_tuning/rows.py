"""The check of raw rows: every row is a conversation, or a text, of the format."""

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from model_hub.errors import UserError
from model_hub.huggingface.tasks.instruction_tuning import formats
from model_hub.huggingface.tasks.instruction_tuning.formats import ChatFormat
from model_hub.huggingface.tasks.instruction_tuning.messages import ASSISTANT, ROLES, truncated


def check_conversations(
    dataset: datasets.Dataset, source: str, column: str, chat_format: str | None = None
) -> ChatFormat:
    """Check that every row holds a conversation, before anything is tokenized.

    Args:
        dataset: rows as loaded.
        source: where they come from, for messages.
        column: ``data.messages_column``.
        chat_format: ``data.chat_format``; None finds it by the columns.

    Returns:
        The format.

    Raises:
        UserError: naming the first row that does not, or when nothing is to be learned.
    """
    found = formats.find_format(dataset, source, column, chat_format)
    if found.name == formats.TEXT:
        _check_texts(dataset, source, found.column)
        return found
    if found.name == formats.MESSAGES and _are_plain(dataset, found.column):
        return found
    with_answer = False
    for number, row in enumerate(formats.read_rows(dataset, found), 1):
        try:
            conversation = formats.read_conversation(row, found)
        except UserError as error:
            raise UserError(f"{source}: row {number}, {error}") from None
        with_answer = with_answer or any(conversation.learned)
    if not with_answer:
        raise UserError(
            f"{source}: no conversation has a message with the role {ASSISTANT!r} that is to be "
            f"learned. Rows look like {formats.LAYOUTS[found.name]}."
        )
    return found


def _check_texts(dataset: datasets.Dataset, source: str, column: str) -> None:
    for number, row in enumerate(dataset.select_columns([column]), 1):
        if not isinstance(row[column], str):
            raise UserError(
                f"{source}: row {number}, column {column!r}: found {truncated(row[column])}, but "
                "should be text."
            )


def _are_plain(dataset: datasets.Dataset, column: str) -> bool:
    """Return whether Arrow's types show that all roles and contents are right.

    If not, every row has to be checked.
    """
    if len(formats.columns_of(dataset.column_names, ChatFormat(formats.MESSAGES, column))) > 1:
        return False
    kind = dataset.features.arrow_schema.field(column).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    message = kind.value_type
    if not pa.types.is_struct(message) or {field.name for field in message} != {"role", "content"}:
        return False
    if not all(pa.types.is_string(field.type) for field in message):
        return False
    cells = dataset.with_format("arrow", columns=[column])[:].column(0)
    messages = pc.list_flatten(cells)
    shortest = pc.min(pc.list_value_length(cells)).as_py()
    if cells.null_count or messages.null_count or not shortest:
        return False
    roles, contents = (pc.struct_field(messages, name) for name in ("role", "content"))
    found = set(pc.unique(roles).to_pylist())
    return not contents.null_count and ASSISTANT in found and found <= set(ROLES)
