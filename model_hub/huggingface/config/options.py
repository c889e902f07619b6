"""Switches of a modern fine-tuning run, as the YAML may have them under ``hyperparameters``."""

import dataclasses
from typing import Any, ClassVar

from model_hub.errors import UserError
from model_hub.huggingface.config import peft_config


@dataclasses.dataclass
class OptionKwargs:
    """Precision, memory, adapters and stopping, by the names that transformers and peft have.

    Attributes:
        bf16: compute in bfloat16 where that is safe (autocast); weights stay in float32. Costs:
            results are rounded to 8 significant bits.
        fp16: the same in float16, with loss scaling; needs a CUDA device. Costs: the range of
            float16 ends at 65504; a step whose gradients overflow is left out.
        tf32: whether float32 matrix products on NVIDIA GPUs from Ampere on may use TF32; null
            leaves torch's setting. Costs: their factors are rounded to 11 significant bits.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping
            them: less memory. Costs: about a third more time.
        gradient_checkpointing_kwargs: further arguments of ``torch.utils.checkpoint``.
        torch_compile: compile the model with ``torch.compile``. Costs: time at the first batches,
            and again at new shapes of batches; most backends need a compiler of C++.
        torch_compile_backend: its backend; null is torch's default. As in ``Trainer``, a backend or
            a mode turns ``torch_compile`` on.
        torch_compile_mode: its mode, for instance ``reduce-overhead``.
        gradient_accumulation_steps: batches whose gradients are summed up for one update of the
            weights; the same as ``optimizations.aggregation_frequency``. Costs: fewer updates for
            the same data; batches at the very end that do not fill a group change nothing.
        label_smoothing_factor: share of the target that is spread over all classes, as ``Trainer``
            does it. Costs: probabilities of the trained model are less sure.
        freeze: names of weights that are not trained: patterns with ``*``, such as
            ``bert.embeddings.*``. Costs: what is frozen does not learn.
        peft: an adapter of the library peft: ``peft_type`` and the fields of its configuration.
            The head of a classifier, which is new, is trained as a whole. Costs: nothing else
            learns.
        early_stopping_patience: stop after this many validations in a row without a better
            ``searcher.metric``. Costs: what would become better later is not waited for.
        early_stopping_threshold: a metric is better only if it is so by more than this.
        group_by_length: put samples of similar length into one batch, which saves padding. Costs:
            the order is less random.
        ddp_find_unused_parameters: with several slots, look at every step for weights that the loss
            does not depend on; torch refuses to train with such weights otherwise. null does so for
            models that are known to have them, such as XLNet. Costs: a little time a step.
        dataloader_num_workers: processes that load training data ahead. Costs: their memory, and
            cores of the CPU.
        dataloader_pin_memory: keep batches in memory from which a GPU copies faster and in the
            background; without a GPU it has no effect. Costs: memory that cannot be swapped out; a
            collator that writes into the same pinned tensor again has to wait for the copy.
        max_train_samples: train on the first so many rows of the data only, cut off before
            anything is prepared; more than there are means all. Costs: the rest is not learned
            from.
        max_eval_samples: the same for each validation split. Costs: metrics are less exact.
    """

    yaml_section: ClassVar[str] = "hyperparameters"

    bf16: bool = False
    fp16: bool = False
    tf32: bool | None = None
    gradient_checkpointing: bool = False
    gradient_checkpointing_kwargs: dict[str, Any] | None = None
    torch_compile: bool = False
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    gradient_accumulation_steps: int | None = None
    label_smoothing_factor: float = 0.0
    freeze: str | list[str] | None = None
    peft: dict[str, Any] | None = None
    early_stopping_patience: int | None = None
    early_stopping_threshold: float = 0.0
    group_by_length: bool = False
    ddp_find_unused_parameters: bool | None = None
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    max_train_samples: int | None = None
    max_eval_samples: int | None = None

    def __post_init__(self) -> None:
        """Finds what cannot be, while the keys are known.

        Raises:
            UserError: naming all of them.
        """
        problems = []
        if self.bf16 and self.fp16:
            problems.append(
                "hyperparameters.bf16 and hyperparameters.fp16 are both true; write one of them"
            )
        for name, least in (
            ("gradient_accumulation_steps", 1),
            ("early_stopping_patience", 1),
            ("dataloader_num_workers", 0),
            ("max_train_samples", 1),
            ("max_eval_samples", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                problems.append(
                    f"hyperparameters.{name} is {value}, but should be at least {least}"
                )
        # Written so that it finds .nan as well.
        if not 0 <= self.label_smoothing_factor < 1:
            problems.append(
                f"hyperparameters.label_smoothing_factor is {self.label_smoothing_factor}, but "
                "should be at least 0 and below 1"
            )
        if not self.early_stopping_threshold >= 0:
            problems.append(
                f"hyperparameters.early_stopping_threshold is {self.early_stopping_threshold}, but "
                "should be 0 or more"
            )
        if not all(isinstance(pattern, str) for pattern in self.frozen):
            problems.append(
                f"hyperparameters.freeze is {self.freeze}, but should be a pattern or a list of "
                "patterns"
            )
        if problems:
            raise UserError("; ".join(problems) + ".")
        if self.peft:
            peft_config.check_peft_settings(self.peft)

    @property
    def compiles(self) -> bool:
        """Whether the model is compiled."""
        chosen = (self.torch_compile_backend, self.torch_compile_mode)
        return self.torch_compile or any(value is not None for value in chosen)

    @property
    def frozen(self) -> list[str]:
        """The patterns of ``freeze`` as a list."""
        if self.freeze is None:
            return []
        return [self.freeze] if isinstance(self.freeze, str) else self.freeze
