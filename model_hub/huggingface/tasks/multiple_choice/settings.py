"""Keys of multiple choice in section ``data`` of the YAML."""

import dataclasses

from model_hub.huggingface.tasks._common.tokenization import TokenizationDataKwargs


@dataclasses.dataclass
class MultipleChoiceDataKwargs(TokenizationDataKwargs):
    """Keys of the YAML's section ``data`` that belong to multiple choice: those about tokens."""
