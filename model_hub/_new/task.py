"""What is known of one task that a project can be started for."""

import dataclasses
from collections.abc import Mapping

from model_hub._new.words import WriteRow

Settings = Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task: where its trial is, its sample data, and settings with which that is learned.

    Values of settings are text, as they stand in a YAML.

    Attributes:
        name: what is written after ``model-hub new``.
        summary: what the model learns to do.
        folder: of the trial, below ``examples/huggingface``.
        trial: ``module:Class``.
        write: makes a row of sample data.
        rows: sample rows to train on.
        extension: of the files with sample rows.
        own_rows: what a row of one's own data holds.
        family: of the small model; a key of ``FAMILIES``.
        chat_template: how the tokenizer writes conversations.
        model_mode: the hyperparameter.
        hyperparameters: further ones.
        data: further keys of section ``data``.
        epochs: the small model's.
        learning_rate: the small model's.
        metric: the searcher's.
        smaller_is_better: the direction of it.
        reaches: what the small model beats at the end of its training.
        first_validation: validate the untrained model too, where the trial tells no baseline.
        real_model: a model on the Hub.
        real_hyperparameters: those that it needs otherwise.
        real_data: keys of section ``data`` that name a data set on the Hub.
        real_data_settings: other keys of section ``data`` that real data and model need otherwise.
        packages: packages to install besides.
        predicts: whether ``model-hub predict`` has a use for such a model.
        question: a line to try that with, where the validation rows are none.
    """

    name: str
    summary: str
    folder: str
    trial: str
    write: WriteRow
    rows: int = 200
    extension: str = "jsonl"
    own_rows: str
    family: str
    chat_template: str | None = None
    model_mode: str
    hyperparameters: Settings = dataclasses.field(default_factory=dict)
    data: Settings = dataclasses.field(default_factory=dict)
    epochs: int = 10
    learning_rate: str = "3e-3"
    metric: str
    smaller_is_better: bool = False
    reaches: float
    first_validation: bool = False
    real_model: str
    real_hyperparameters: Settings
    real_data: Settings
    real_data_settings: Settings = dataclasses.field(default_factory=dict)
    packages: str = ""
    predicts: bool = True
    question: str | None = None

    @property
    def module(self) -> str:
        """The trial's module."""
        return self.trial.partition(":")[0]

    @property
    def short_name(self) -> str:
        """Name of the experiment and of its YAML: the trial's, without what all trials have."""
        return self.module.removesuffix("_trial")

    @property
    def expectation(self) -> str:
        """What the metric comes to."""
        return f"{self.metric} {'below' if self.smaller_is_better else 'above'} {self.reaches:g}"
