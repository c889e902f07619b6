"""Training on a Determined cluster."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import determined as det
import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config.config_findings import check_settings
from model_hub.huggingface.config.parsing import with_whole_numbers
from model_hub.huggingface.runner.processes import slots_of_this_run
from model_hub.huggingface.runner.run import build_trial, logger
from model_hub.huggingface.tasks import UNSMOOTHED_MODES


@contextlib.contextmanager
def _report_invalid_hparams(config: Mapping[str, Any]) -> Iterator[None]:
    """Raise ``InvalidHP`` for an error that depends on values which a search has chosen.

    The search then tries other values. So it does when the GPU's memory is too small for a value
    that it has chosen. Other errors, such as a missing file, end every trial and the search.
    """
    searched = [
        name for name, space in (config.get("hyperparameters") or {}).items() if _is_searched(space)
    ]
    try:
        yield
    except UserError as error:
        # Its message names the keys. A key may be the prefix of others: peft, peft.r.
        if any(re.search(rf"\bhyperparameters\.{re.escape(n)}\b", str(error)) for n in searched):
            raise det.InvalidHP(str(error)) from error
        raise
    except torch.OutOfMemoryError as error:
        if not _MEMORY_HPARAMS.isdisjoint(searched):
            raise det.InvalidHP(
                f"the GPU's memory is too small for these values: {error}"
            ) from error
        raise


# Hyperparameters that change how much memory a training needs.
_MEMORY_HPARAMS = frozenset(
    {"global_batch_size", "pretrained_model_name_or_path", "model_name", "gradient_checkpointing",
     "peft", "freeze", "bf16", "fp16", "dtype", "attn_implementation", "optim"}
)  # fmt: skip


def _is_searched(space: Any) -> bool:
    """Return whether a hyperparameter, or one nested in it, is a range and not one value."""
    if not isinstance(space, Mapping):
        return False
    kind = space.get("type")
    if isinstance(kind, str):
        return kind != "const"
    return any(_is_searched(nested) for nested in space.values())


def run_on_cluster(trial_class: type[pytorch.PyTorchTrial], info: det.ClusterInfo) -> None:
    """Train a trial by the experiment's configuration, on the slots of its allocation.

    Raises:
        UserError: when something in the configuration is wrong.
    """
    config = info.trial._config
    hparams: Mapping[str, Any] = info.trial.hparams
    warnings: list[str] = []
    problem: UserError | None = None
    try:
        warnings = check_settings(
            trial_class,
            config,
            slots=slots_of_this_run(),
            unsmoothed_modes=UNSMOOTHED_MODES,
            chosen=hparams,
        )
        hparams = with_whole_numbers(getattr(trial_class, "hyperparameter_types", ()), hparams)
    except UserError as error:
        # Reported once there is a context; Determined reads the batch size to make it.
        problem, hparams = error, {}
    with (
        pytorch.init(
            hparams=dict(hparams),
            exp_conf=config,
            aggregation_frequency=int(config["optimizations"]["aggregation_frequency"]),
        ) as context,
        _report_invalid_hparams(config),
    ):
        if problem is not None:
            raise problem
        if context.distributed.rank == 0:
            for message in warnings:
                logger.warning(message)
        trial, periods = build_trial(trial_class, context)
        pytorch.Trainer(trial, context).fit(
            max_length=periods.max_length,
            checkpoint_period=periods.checkpoint,
            validation_period=periods.validation,
            reporting_period=pytorch.Batch(int(config["scheduling_unit"])),
            checkpoint_policy=periods.checkpoint_policy,
            latest_checkpoint=info.latest_checkpoint,
            step_zero_validation=periods.validate_first,
            profiling_enabled=bool((config.get("profiling") or {}).get("enabled")),
        )
