import dataclasses
from typing import ClassVar

import model_hub.huggingface as hf
from model_hub.errors import UserError


@dataclasses.dataclass
class OwnKwargs:
    yaml_section: ClassVar[str] = "data"

    shuffle_buffer: int = 100

    def __post_init__(self) -> None:
        if self.shuffle_buffer < 1:
            raise UserError("data.shuffle_buffer is too small; write at least 1.")


class OwnKeysTrial(hf.BaseTransformerTrial):
    data_types = (hf.DatasetKwargs, OwnKwargs)
    metric_names = ("loss", "accuracy_*")
