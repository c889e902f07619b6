"""Options of fine-tuning under ``hyperparameters``: precision, memory, adapters, stopping."""

import dataclasses
from typing import Any, ClassVar

from model_hub.errors import UserError
from model_hub.huggingface.config import peft_config


@dataclasses.dataclass
class OptionKwargs:
    """Precision, memory, adapters and stopping, by the names of transformers and peft.

    Attributes:
        bf16: compute in bfloat16 where that is safe (autocast); weights stay in float32. Costs:
            results are rounded to 8 significant bits.
        fp16: the same in float16, with loss scaling; needs a CUDA device. Costs: the range of
            float16 ends at 65504; a step whose gradients overflow is skipped.
        tf32: whether float32 matrix products on NVIDIA GPUs since Ampere may use TF32; null
            leaves torch's setting. Costs: their factors are rounded to 11 significant bits.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping
            them, which saves memory. Costs: about a third more time.
        gradient_checkpointing_kwargs: further arguments of ``torch.utils.checkpoint``.
        torch_compile: compile the model with ``torch.compile``. Costs: time at the first batches,
            and again at new shapes of batches; most backends need a C++ compiler.
        torch_compile_backend: its backend; null is torch's default. As in ``Trainer``, a backend or
            a mode turns ``torch_compile`` on.
        torch_compile_mode: its mode, for instance ``reduce-overhead``.
        gradient_accumulation_steps: batches whose gradients are summed for one update of the
            weights; the same as ``optimizations.aggregation_frequency``. Costs: fewer updates for
            the same data; the last batches have no effect if they are fewer than this.
        label_smoothing_factor: fraction of the target that is spread over all classes, as in
            ``Trainer``. Costs: the trained model's probabilities are less certain.
        freeze: names of weights that are not trained: patterns with ``*``, such as
            ``bert.embeddings.*``. Costs: frozen weights do not learn.
        peft: an adapter of the library peft: ``peft_type`` and the fields of its configuration.
            The head of a classifier, which is new, is trained as a whole. Costs: nothing else
            learns.
        early_stopping_patience: stop after this many validations in a row without a better
            ``searcher.metric``. Costs: a later improvement is missed.
        early_stopping_threshold: the least improvement of the metric that counts.
        group_by_length: put samples of similar length into one batch, which saves padding. Costs:
            the order is less random.
        ddp_find_unused_parameters: with several slots, search at every step for weights on which
            the loss does not depend; otherwise torch refuses to train with such weights. null does
            so for models that are known to have them, such as XLNet. Costs: some time per step.
        dataloader_num_workers: processes that load training data ahead. Costs: their memory, and
            cores of the CPU.
        dataloader_pin_memory: keep batches in memory from which a GPU copies faster and in the
            background; without a GPU it has no effect. Costs: memory that cannot be swapped out; a
            collator that writes into the same pinned tensor again has to wait for the copy.
        use_apex_amp: old switch for mixed precision with NVIDIA's apex: ``fp16`` where there is a
            GPU, else without effect. Costs: those of ``fp16``.
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
    gradient_accumulation_steps: int | None = dataclasses.field(default=None, metadata={"min": 1})
    label_smoothing_factor: float = dataclasses.field(default=0.0, metadata={"min": 0, "below": 1})
    freeze: str | list[str] | None = None
    peft: dict[str, Any] | None = None
    early_stopping_patience: int | None = dataclasses.field(default=None, metadata={"min": 1})
    early_stopping_threshold: float = dataclasses.field(default=0.0, metadata={"min": 0})
    group_by_length: bool = False
    ddp_find_unused_parameters: bool | None = None
    dataloader_num_workers: int = dataclasses.field(default=0, metadata={"min": 0})
    dataloader_pin_memory: bool = True
    use_apex_amp: bool = False

    def __post_init__(self) -> None:
        """Check values that the types alone allow.

        Raises:
            UserError: naming all keys that are wrong.
        """
        problems = []
        if self.bf16 and self.fp16:
            problems.append(
                "hyperparameters.bf16 and hyperparameters.fp16 are both true; write one of them"
            )
        if not all(isinstance(pattern, str) for pattern in self.frozen):
            problems.append(
                f"hyperparameters.freeze is {self.freeze}, but should be a pattern or a list of "
                "patterns"
            )
        if problems:
            raise UserError("; ".join(problems) + ".")
        if self.peft is not None:
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
