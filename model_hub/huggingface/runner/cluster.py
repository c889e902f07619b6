"""A run on a Determined cluster."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import determined as det
import torch
from determined import pytorch

from model_hub.errors import UserError
from model_hub.huggingface.config import validate
from model_hub.huggingface.runner.processes import slots_of_this_run
from model_hub.huggingface.runner.run import build_trial
from model_hub.huggingface.tasks import UNSMOOTHED_MODES


@contextlib.contextmanager
def _report_invalid_hparams(config: Mapping[str, Any]) -> Iterator[None]:
    """Tells a search that values which it has chosen cannot work, so that it tries others.

    So does a GPU whose memory is too small, if the search has chosen what the size depends on.
    Other errors, such as a file that is not there, end every trial, and the search with them.
    """
    searched = [
        name for name, space in (config.get("hyperparameters") or {}).items() if _is_searched(space)
    ]
    try:
        yield
    except UserError as error:
        # Its message names the keys, of which one may be the head of others: peft, peft.r.
        if any(re.search(rf"\bhyperparameters\.{re.escape(n)}\b", str(error)) for n in searched):
            raise det.InvalidHP(str(error)) from error
        raise
    except torch.OutOfMemoryError as error:
        if not _MEMORY_HPARAMS.isdisjoint(searched):
            raise det.InvalidHP(
                f"the GPU's memory is too small for these values: {error}"
            ) from error
        raise


# Hyperparameters by which a training may need more memory than there is.
_MEMORY_HPARAMS = frozenset(
    {"global_batch_size", "pretrained_model_name_or_path", "model_name", "gradient_checkpointing",
     "peft", "freeze", "bf16", "fp16", "dtype", "attn_implementation", "optim"}
)  # fmt: skip


def _is_searched(space: Any) -> bool:
    """Whether a hyperparameter, or one of those below it, is a range and not one value."""
    if not isinstance(space, Mapping):
        return False
    kind = space.get("type")
    if isinstance(kind, str):
        return kind != "const"
    return any(_is_searched(below) for below in space.values())


def run_on_cluster(trial_class: type[pytorch.PyTorchTrial], info: det.ClusterInfo) -> None:
    """Trains as the experiment's configuration says, on the slots that Determined has given.

    Args:
        trial_class: the trial.
        info: ``determined.get_cluster_info()``.

    Raises:
        UserError: when something in the configuration is wrong.
    """
    config, hparams = info.trial._config, info.trial.hparams
    optimizations = config["optimizations"]
    with (
        pytorch.init(
            hparams=hparams,
            exp_conf=config,
            aggregation_frequency=int(optimizations["aggregation_frequency"]),
        ) as context,
        _report_invalid_hparams(config),
    ):
        validate.check_settings(
            trial_class,
            hparams,
            config.get("data") or {},
            slots=slots_of_this_run(),
            unsmoothed_modes=UNSMOOTHED_MODES,
            searcher=config.get("searcher"),
        )
        context._set_default_gradient_compression(bool(optimizations["gradient_compression"]))
        context._set_default_average_aggregated_gradients(
            bool(optimizations["average_aggregated_gradients"])
        )
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
