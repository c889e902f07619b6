"""Keys of the YAML as dataclasses, one for each thing that is built from them.

The limits of a number are in the metadata of its field: ``min`` and ``max`` are the least and the
greatest value, ``above`` and ``below`` are not reached. They are checked when the YAML is parsed
and by the functions that build optimizer and schedule, not when an object is made in Python.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

from model_hub import utils
from model_hub._hub import redacted
from model_hub.errors import UserError
from model_hub.huggingface.config.options import OptionKwargs


class FlexibleKwargs:
    """Base of dataclasses whose fields without a default exist only if they are set.

    So ``as_dict`` holds just what the user set, next to the fields with a default.
    """

    yaml_section: ClassVar[str] = "hyperparameters"

    def __init__(self, **kwargs: Any) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if field.name in kwargs:
                setattr(self, field.name, kwargs.pop(field.name))
            elif field.default is not dataclasses.MISSING:
                setattr(self, field.name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                setattr(self, field.name, field.default_factory())
        if kwargs:
            raise TypeError(f"{type(self).__name__} has no field {sorted(kwargs)}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the values; the base class accepts any."""

    def as_dict(self) -> utils.AttrDict:
        """Return the fields that are set or have a default, in the order of their declaration."""
        names = (field.name for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return utils.AttrDict({name: vars(self)[name] for name in names if name in vars(self)})

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={redacted(name, value)}" for name, value in self.items())
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return pairs of name and value, like ``dict.items``."""
        return self.as_dict().items()


@dataclasses.dataclass(init=False, repr=False, eq=False)
class ConfigKwargs(FlexibleKwargs):
    """Arguments of ``transformers.AutoConfig.from_pretrained``.

    Attributes:
        num_labels: number of classes of a classification head.
        finetuning_task: name of the task, kept in the model's configuration.
        pretrained_model_name_or_path: name on the Hugging Face Hub, or a local folder.
        cache_dir: where downloads are kept; None is the default of transformers.
        revision: branch, tag or commit on the Hub.
        use_auth_token: access token of the Hub, or true for the one stored on this machine.
        token: access token of the Hugging Face Hub, as ``use_auth_token``.
    """

    num_labels: int
    finetuning_task: str
    pretrained_model_name_or_path: str | None = None
    cache_dir: str | None = None
    revision: str = "main"
    use_auth_token: bool | str = False
    token: str | bool = dataclasses.field(kw_only=True)


@dataclasses.dataclass(init=False, repr=False, eq=False)
class TokenizerKwargs(FlexibleKwargs):
    """Arguments of ``transformers.AutoTokenizer.from_pretrained``.

    Attributes:
        do_lower_case: whether the tokenizer lower-cases its input.
        pretrained_model_name_or_path: name on the Hugging Face Hub, or a local folder.
        cache_dir: where downloads are kept; None is the default of transformers.
        revision: branch, tag or commit on the Hub.
        use_auth_token: access token of the Hub, or true for the one stored on this machine.
        use_fast: kept for old files; transformers 5 uses the fast tokenizer whenever there is one.
        token: access token of the Hugging Face Hub, as ``use_auth_token``.
    """

    do_lower_case: bool
    pretrained_model_name_or_path: str | None = None
    cache_dir: str | None = None
    revision: str = "main"
    use_auth_token: bool | str = False
    use_fast: bool = True
    token: str | bool = dataclasses.field(kw_only=True)


@dataclasses.dataclass(init=False, repr=False, eq=False)
class ModelKwargs(FlexibleKwargs):
    """Arguments of ``from_pretrained`` of the model's Auto class.

    Attributes:
        pretrained_model_name_or_path: name on the Hugging Face Hub, or a local folder.
        cache_dir: where downloads are kept; None is the default of transformers.
        revision: branch, tag or commit on the Hub.
        use_auth_token: access token of the Hub, or true for the one stored on this machine.
        token: access token of the Hugging Face Hub, as ``use_auth_token``.
        attn_implementation: which attention: ``eager``, ``sdpa``, ``flash_attention_2``, ... Costs:
            the last needs a package, a GPU and weights or autocast in half precision.
        dtype: type of the weights: ``float32`` if not set, ``bfloat16``, ``float16``, or ``auto``
            for the type in which they are saved. Costs: in 16 bits small updates of the weights
            are lost to rounding, unless only an adapter is trained.
        load_in_4bit: load pretrained weights in 4 bits with the library bitsandbytes; short for
            ``quantization_config``. Costs: the weights are rounded, and only an adapter (``peft``)
            can be trained.
        load_in_8bit: the same in 8 bits.
        quantization_config: fields of the configuration of bitsandbytes or another method, such as
            ``load_in_4bit`` or ``quant_method``.
    """

    pretrained_model_name_or_path: str
    cache_dir: str | None = None
    revision: str = "main"
    use_auth_token: bool | str = False
    token: str | bool = dataclasses.field(kw_only=True)
    attn_implementation: str = dataclasses.field(kw_only=True)
    dtype: str = dataclasses.field(kw_only=True)
    load_in_4bit: bool = dataclasses.field(kw_only=True)
    load_in_8bit: bool = dataclasses.field(kw_only=True)
    quantization_config: dict[str, Any] = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        """Check that weights can have the type ``dtype``.

        Raises:
            UserError: naming the key.
        """
        dtype = getattr(self, "dtype", None)
        if dtype not in (None, "auto", "float32", "bfloat16", "float16", "float64"):
            raise UserError(
                f"hyperparameters.dtype is {dtype!r}, but should be float32, bfloat16, float16 or "
                "auto."
            )


@dataclasses.dataclass
class OptimizerKwargs:
    """Settings of the optimizer, by the names of ``transformers.TrainingArguments``.

    Attributes:
        weight_decay: decoupled weight decay; none on biases and normalisation layers.
        adafactor: old spelling of ``optim: adafactor``.
        learning_rate: peak learning rate.
        max_grad_norm: gradients are clipped to this L2 norm; 0 turns clipping off.
        adam_beta1: decay of AdamW's first moment.
        adam_beta2: decay of AdamW's second moment.
        adam_epsilon: AdamW's epsilon.
        scale_parameter: Adafactor's option of that name.
        relative_step: Adafactor's option of that name: it then sets the learning rate itself.
        optim: name of an optimizer that ``Trainer`` knows; None is ``Trainer``'s default (AdamW).
        optim_args: further arguments of the optimizer, ``"name=value,name=value"``.
        optim_target_modules: layers that GaLore and APOLLO work on: names or a regular expression.
    """

    yaml_section: ClassVar[str] = "hyperparameters"

    weight_decay: float = dataclasses.field(default=0, metadata={"min": 0})
    adafactor: bool = False
    learning_rate: float = dataclasses.field(default=5e-5, metadata={"min": 0})
    max_grad_norm: float = dataclasses.field(default=1.0, metadata={"min": 0})
    adam_beta1: float = dataclasses.field(default=0.9, metadata={"min": 0, "below": 1})
    adam_beta2: float = dataclasses.field(default=0.999, metadata={"min": 0, "below": 1})
    adam_epsilon: float = dataclasses.field(default=1e-8, metadata={"min": 0})
    scale_parameter: bool = False
    relative_step: bool = False
    optim: str | None = None
    optim_args: str | None = None
    optim_target_modules: str | list[str] | None = None


@dataclasses.dataclass
class LRSchedulerKwargs:
    """Settings of the learning-rate schedule.

    Attributes:
        num_training_steps: length of the schedule in batches; None: known only once the training
            data is loaded (``num_train_epochs`` times the batches of an epoch).
        lr_scheduler_type: name of a schedule that ``transformers.get_scheduler`` knows.
        num_warmup_steps: warm-up in batches; below 1 a fraction of ``num_training_steps``.
        warmup_ratio: warm-up as a fraction of ``num_training_steps``, if ``num_warmup_steps`` is 0.
        lr_scheduler_kwargs: further arguments of the schedule (``num_cycles``, ``min_lr``, ...).
    """

    yaml_section: ClassVar[str] = "hyperparameters"

    num_training_steps: int | None = dataclasses.field(metadata={"min": 1})
    lr_scheduler_type: str = "linear"
    num_warmup_steps: float = dataclasses.field(default=0, metadata={"min": 0})
    warmup_ratio: float = dataclasses.field(default=0.0, metadata={"min": 0, "max": 1})
    lr_scheduler_kwargs: dict[str, Any] | None = None


@dataclasses.dataclass(init=False, repr=False, eq=False)
class DatasetKwargs(FlexibleKwargs):
    """The source of the data (section ``data`` of the YAML).

    Attributes:
        dataset_name: a name on the Hugging Face Hub, or a folder: one written by ``save_to_disk``,
            or one with files as they are on the Hub.
        dataset_config_name: configuration of the data set.
        validation_split_percentage: per cent of the training rows to validate on, chosen at random,
            where there is no validation data. Class labels have the same shares in both splits;
            running text is divided into two parts instead.
        train_file: csv, tsv, json, jsonl, parquet, txt or arrow files, also compressed (gz, bz2,
            xz, zst): a path, a pattern such as ``data/*.jsonl``, a folder, or a list of these.
        validation_file: the same for validation.
        dataset_revision: branch, tag or commit of the data set on the Hub.
        max_train_samples: train on the first so many rows only; the others are dropped before
            anything is prepared. Costs: nothing is learned from them.
        max_eval_samples: the same for each validation split. Costs: metrics are less exact.
        validation_split_seed: seed of the choice of ``validation_split_percentage``.
        group_column: column whose equal values (patients, authors) are not divided between training
            and validation by ``validation_split_percentage``.
        delimiter: what separates the columns of csv files; if it is not set, it is found out
            (comma, semicolon, tab or vertical bar).
        quotechar: what encloses cells of csv files with delimiters or line breaks in them; an empty
            string takes quotes as part of the text.
        encoding: text encoding of csv, json and txt files, such as ``cp1252`` or ``utf-16``.
    """

    yaml_section: ClassVar[str] = "data"

    dataset_name: str | None = None
    dataset_config_name: str | None = None
    validation_split_percentage: int | float | None = None
    train_file: str | list[str] | None = None
    validation_file: str | list[str] | None = None
    dataset_revision: str | None = None
    max_train_samples: int | None = dataclasses.field(default=None, metadata={"min": 1})
    max_eval_samples: int | None = dataclasses.field(default=None, metadata={"min": 1})
    validation_split_seed: int = dataclasses.field(default=0, metadata={"min": 0})
    group_column: str | None = None
    delimiter: str | None = None
    quotechar: str = '"'
    encoding: str = "utf-8"


@dataclasses.dataclass
class TrialKwargs:
    """Hyperparameters of the trial itself and of the runner.

    Attributes:
        model_mode: the model's purpose; see :func:`model_hub.huggingface.auto_model_class`.
        use_pretrained_weights: false builds the model from its configuration alone.
        global_batch_size: samples per training step, over all slots.
        num_train_epochs: length of training in epochs.
        max_steps: length of training in batches; wins over ``num_train_epochs``.
        config_name: ``pretrained_model_name_or_path`` for the configuration only.
        tokenizer_name: ``pretrained_model_name_or_path`` for the tokenizer only.
        model_name: ``pretrained_model_name_or_path`` for the weights only.
    """

    yaml_section: ClassVar[str] = "hyperparameters"

    model_mode: str | None = None
    use_pretrained_weights: bool = True
    global_batch_size: int | None = dataclasses.field(default=None, metadata={"min": 1})
    num_train_epochs: int | None = dataclasses.field(default=None, metadata={"min": 1})
    max_steps: int | None = dataclasses.field(default=None, metadata={"min": 1})
    config_name: str | None = None
    tokenizer_name: str | None = None
    model_name: str | None = None


#: The dataclasses whose fields are the keys of ``hyperparameters``.
HYPERPARAMETER_TYPES: tuple[type, ...] = (
    TrialKwargs,
    ConfigKwargs,
    TokenizerKwargs,
    ModelKwargs,
    OptimizerKwargs,
    LRSchedulerKwargs,
    OptionKwargs,
)
