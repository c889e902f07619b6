"""What Determined loses at a pause or between slots, restored from the trial's side.

Randomness becomes a function of the trial's seed, the batch and the slot: it does not depend on
what was drawn before, so a run that continues draws what the run without a stop draws, on every
slot and in every worker process of a loader.
"""

import contextlib
import copy
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from determined import pytorch, util

from model_hub.huggingface.checkpoint import metadata, saving, state_dict
from model_hub.huggingface.data.loaders import trial_seed
from model_hub.huggingface.training import device
from model_hub.huggingface.training.seeded_loader import (
    FETCH,
    PLACEHOLDER_BATCH,
    STEP,
    VALIDATION,
    SeededLoader,
    seed_random,
)

logger = logging.getLogger("model_hub")


class _ResumeCallback(pytorch.PyTorchCallback):
    """What has to happen beside the loop of Determined.

    Args:
        trial: the trial.
        replay_loader: gives the training loader as it was before the first batch, or None.
    """

    def __init__(self, trial: Any, replay_loader: Callable[[], SeededLoader | None]) -> None:
        self._trial = trial
        self._context: pytorch.PyTorchTrialContext = trial.context
        self._replay_loader = replay_loader
        self._validation: dict[str, Any] = {}

    def on_validation_start(self) -> None:
        """Gives all slots the buffers of the first one, as their first batch would do.

        A slot without a batch to validate would not take part, and the first would wait for it.
        """
        for model in self._wrapped_for_slots():
            if model.broadcast_buffers and model.modules_buffers:
                model._sync_buffers()
            model.require_forward_param_sync = False

    def _wrapped_for_slots(self) -> list[Any]:
        kind = torch.nn.parallel.DistributedDataParallel
        return [model for model in self._context.models if isinstance(model, kind)]

    def on_validation_end(self, metrics: dict[str, Any]) -> None:
        """Keeps the results, which the next checkpoints tell of the model."""
        for model in self._wrapped_for_slots():
            model.require_forward_param_sync = True
        last = self._context._current_batch_idx
        steps = self._context.get_initial_batch() if last is None else last + 1
        self._validation = {"steps_completed": steps, "metrics": metrics}

    def on_training_workload_end(self, avg_metrics: dict[str, Any], batch_metrics: Any) -> None:
        """Gives the callbacks that follow numbers where metrics were left on the device."""
        device.to_numpy(batch_metrics)

    def on_checkpoint_save_start(self, checkpoint: dict[str, Any]) -> None:
        """Names weights as the model does, without the prefix of the wrapper for several slots.

        Of a model with an adapter only what is trained is kept.
        """
        checkpoint["models_state_dict"] = [
            state_dict.trainable_state_dict(
                model,
                state_dict.strip_module_prefix(state)
                if isinstance(model, torch.nn.parallel.DistributedDataParallel)
                else state,
            )
            for model, state in zip(
                self._context.models, checkpoint["models_state_dict"], strict=True
            )
        ]

    def on_checkpoint_load_start(self, checkpoint: dict[str, Any]) -> None:
        """Names weights as the wrapped model wants them, on whatever number of slots they are."""
        states = checkpoint.get("models_state_dict")
        if states is not None:
            checkpoint["models_state_dict"] = [
                state_dict.match_prefix(
                    state_dict.add_frozen_weights(model, state), model.state_dict()
                )
                for model, state in zip(self._context.models, states, strict=False)
            ]

    def on_checkpoint_write_end(self, checkpoint_dir: str) -> None:
        """Describes the model in the checkpoint, and keeps access tokens out of it."""
        folder = pathlib.Path(checkpoint_dir)
        saving.strip_tokens(folder)
        metadata.write_metadata(self._trial, folder, self._validation)

    def on_training_start(self) -> None:
        """Computes the gradients again that had been summed up for the next update at the stop.

        A checkpoint does not hold them, and those of slots other than 0 it could not. Weights and
        random numbers are as they were, so the gradients are the same.
        """
        context = self._context
        steps = context.get_initial_batch()
        first = steps - steps % context._aggregation_frequency
        if first == steps:
            return
        loader = self._replay_loader()
        if loader is None:
            logger.warning(
                "The run was stopped between two updates of the weights, and the order of the "
                "trial's loader cannot be repeated: the gradients of %d batches are lost.",
                steps - first,
            )
            return
        batches = iter(
            loader.get_data_loader(
                repeat=True,
                skip=first,
                num_replicas=context.distributed.size,
                rank=context.distributed.rank,
            )
        )
        assert context._epoch_len is not None  # Set with the loaders.
        with _restore_all_but_gradients(context):
            for model in context.models:
                model.train()
            for number in range(first, steps):
                context._current_batch_idx = number
                batch = next(batches)
                if context.experimental._auto_to_device:
                    batch = context.to_device(batch)
                self._trial.train_batch(
                    batch=batch, epoch_idx=number // context._epoch_len, batch_idx=number
                )

    def on_validation_epoch_end(self, outputs: list[Any]) -> None:
        """Takes the result of the batch away that stands for none."""
        if outputs and PLACEHOLDER_BATCH in outputs[0]:
            outputs.clear()


@contextlib.contextmanager
def _restore_all_but_gradients(context: pytorch.PyTorchTrialContext) -> Iterator[None]:
    """Puts back what training steps change beside gradients: they were taken before the stop."""
    buffers = [(b, b.clone()) for model in context.models for b in model.buffers()]
    holders: list[Any] = [*context.lr_schedulers, *([context._scaler] if context._scaler else [])]
    states = [(holder, copy.deepcopy(holder.state_dict())) for holder in holders]
    groups = [
        (group, {k: copy.deepcopy(v) for k, v in group.items() if k != "params"})
        for optimizer in context.optimizers
        for group in optimizer.param_groups
    ]
    yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    for holder, state in states:
        holder.load_state_dict(state)
    for group, values in groups:
        group.update(values)


def make_resume_exact(
    trial: Any, standard_callbacks: Callable[[], dict[str, pytorch.PyTorchCallback]] = dict
) -> None:
    """Lets a trial end the same however often it is stopped, and on any share of the data.

    It replaces, on this one trial, the methods that Determined calls by ones that seed before, or
    wrap what is returned; a subclass may override them as it likes. Call it once ``trial.context``
    is there and before a model is wrapped; a second call does nothing.

    Args:
        trial: a ``PyTorchTrial`` that has ``context``.
        standard_callbacks: gives callbacks that the trial is to have beside its own, also where
            its ``build_callbacks`` does not ask its base class.
    """
    if getattr(trial, "_model_hub_is_exact", False):
        return
    trial._model_hub_is_exact = True
    context: pytorch.PyTorchTrialContext = trial.context
    seed = trial_seed(context)
    rank = context.distributed.rank
    train_batch, evaluate_batch = trial.train_batch, trial.evaluate_batch
    build_callbacks, evaluation_reducer = trial.build_callbacks, trial.evaluation_reducer
    get_batch_length = trial.get_batch_length
    loaders: dict[int, Any] = {}
    replays: list[SeededLoader | None] = []
    stopped_between_updates = context.get_initial_batch() % context._aggregation_frequency != 0

    def replace(name: str, function: Callable[..., Any]) -> None:
        original = getattr(trial, name)
        # Determined tells by the qualified name whether a subclass has a method of its own.
        function.__name__, function.__qualname__ = original.__name__, original.__qualname__
        setattr(trial, name, function)

    def seeded_train_batch(batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        seed_random(seed, STEP, rank, batch_idx)
        metrics = train_batch(batch=batch, epoch_idx=epoch_idx, batch_idx=batch_idx)
        return device.keep_on_device(metrics)

    def exact_loader(build: Callable[[], Any], purpose: int) -> Callable[[], Any]:
        def build_loader() -> Any:
            loader = build()
            # A loader of another kind is the trial's own responsibility.
            if type(loader) is pytorch.DataLoader and loader.batch_sampler is not None:
                loader = SeededLoader(loader, seed, purpose)
                if purpose == FETCH and stopped_between_updates:
                    replays.append(loader.copy_for_replay())
            loaders[purpose] = loader
            return loader

        return build_loader

    def evaluate_batch_if_any(batch: Any, batch_idx: int) -> Any:
        if isinstance(batch, dict) and PLACEHOLDER_BATCH in batch:
            return batch
        if util.has_param(evaluate_batch, "batch_idx", 2):
            return evaluate_batch(batch=batch, batch_idx=batch_idx)
        return evaluate_batch(batch=batch)

    def reducer_of_batch_metrics() -> Any:
        # For a slot without a batch, names of metrics mean nothing.
        empty = getattr(loaders.get(VALIDATION), "share_is_empty", False)
        return pytorch.Reducer.AVG if empty else evaluation_reducer()

    def batch_length(batch: Any) -> int:
        return (
            0 if isinstance(batch, dict) and PLACEHOLDER_BATCH in batch else get_batch_length(batch)
        )

    def callbacks() -> dict[str, pytorch.PyTorchCallback]:
        return {
            # First, so that no other callback sees the batch that stands for none.
            "model_hub": _ResumeCallback(trial, lambda: replays[-1] if replays else None),
            **standard_callbacks(),
            **build_callbacks(),
        }

    wrap_model = context.wrap_model

    def wrap_model_that_loads(model: torch.nn.Module) -> torch.nn.Module:
        wrapped: torch.nn.Module = wrap_model(model)
        state_dict.accept_module_prefix(wrapped)
        return wrapped

    context.wrap_model = wrap_model_that_loads  # type: ignore[method-assign]
    replace("train_batch", seeded_train_batch)
    replace("build_training_data_loader", exact_loader(trial.build_training_data_loader, FETCH))
    replace(
        "build_validation_data_loader",
        exact_loader(trial.build_validation_data_loader, VALIDATION),
    )
    if util.is_overridden(evaluate_batch, pytorch.PyTorchTrial):
        replace("evaluate_batch", evaluate_batch_if_any)
        replace("evaluation_reducer", reducer_of_batch_metrics)
        replace("get_batch_length", batch_length)
    replace("build_callbacks", callbacks)
