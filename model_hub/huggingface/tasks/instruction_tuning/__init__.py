"""Instruction tuning: settings, formats of conversations, packing, losses, metrics."""

from model_hub.huggingface.tasks._common.preparation import load_text_rows as load_rows
from model_hub.huggingface.tasks._common.token_loss import (
    TokenMeanStep,
    TokenReducer,
    logits_and_targets,
)
from model_hub.huggingface.tasks._common.unigram import log_unigram_baseline, unigram_metrics
from model_hub.huggingface.tasks.instruction_tuning.collator import (
    ConversationCollator,
    PackedConversations,
    build_collator,
    pack,
)
from model_hub.huggingface.tasks.instruction_tuning.data import (
    InstructionTuningDatasets,
    build_datasets,
    check_model,
)
from model_hub.huggingface.tasks.instruction_tuning.end_of_turn import stop_at_end_of_turn
from model_hub.huggingface.tasks.instruction_tuning.features import tokenize_conversations
from model_hub.huggingface.tasks.instruction_tuning.formats import (
    FORMATS,
    ChatFormat,
    Conversation,
    find_format,
    read_conversation,
)
from model_hub.huggingface.tasks.instruction_tuning.messages import messages_of, tools_of
from model_hub.huggingface.tasks.instruction_tuning.rows import check_conversations
from model_hub.huggingface.tasks.instruction_tuning.settings import (
    InstructionTuningDataKwargs,
    set_chat_template,
)
from model_hub.huggingface.tasks.instruction_tuning.template import marks_answers

__all__ = [
    "FORMATS",
    "ChatFormat",
    "Conversation",
    "ConversationCollator",
    "InstructionTuningDataKwargs",
    "InstructionTuningDatasets",
    "PackedConversations",
    "TokenMeanStep",
    "TokenReducer",
    "build_collator",
    "build_datasets",
    "check_conversations",
    "check_model",
    "find_format",
    "load_rows",
    "log_unigram_baseline",
    "logits_and_targets",
    "marks_answers",
    "messages_of",
    "pack",
    "read_conversation",
    "set_chat_template",
    "stop_at_end_of_turn",
    "tokenize_conversations",
    "tools_of",
    "unigram_metrics",
]
