"""What Determined's loop does not save or restore, and what it leaves to a slot without data."""

import contextlib
import copy
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import torch
from determined import pytorch

from model_hub.huggingface.checkpoint import metadata, saving, state_dict
from model_hub.huggingface.training import device
from model_hub.huggingface.training.resume.seeded_trial import SeededTrial, is_placeholder

logger = logging.getLogger("model_hub")


class ResumeCallback(pytorch.PyTorchCallback):
    """Saves and restores what Determined's loop does not, and serves slots without a batch.

    ``seeded_trial`` is the wrapper of the user's trial that the training loop calls.
    """

    def __init__(
        self,
        trial: pytorch.PyTorchTrial,
        seeded_trial: SeededTrial,
        context: pytorch.PyTorchTrialContext,
    ) -> None:
        self._trial = trial
        self._seeded_trial = seeded_trial
        self._context: pytorch.PyTorchTrialContext = context
        self._validation: dict[str, Any] = {}

    def on_validation_start(self) -> None:
        """Copy the buffers of the first slot to all slots, and turn off DDP's own copying.

        DistributedDataParallel copies at the first batch, where the first slot would wait forever
        for a slot that has no batch to validate.
        """
        for model in self._distributed_models():
            if model.broadcast_buffers and model.modules_buffers:
                model._sync_buffers()
            model.require_forward_param_sync = False

    def _distributed_models(self) -> list[Any]:
        wrapper = torch.nn.parallel.DistributedDataParallel
        return [model for model in self._context.models if isinstance(model, wrapper)]

    def on_validation_epoch_end(self, outputs: list[Any]) -> None:
        """Remove the result of a placeholder batch."""
        if outputs and is_placeholder(outputs[0]):
            outputs.clear()

    def on_validation_end(self, metrics: dict[str, Any]) -> None:
        """Keep the metrics, which the next checkpoints hold as metadata."""
        for model in self._distributed_models():
            model.require_forward_param_sync = True
        last = self._context._current_batch_idx
        steps = self._context.get_initial_batch() if last is None else last + 1
        self._validation = {"steps_completed": steps, "metrics": metrics}

    def on_training_workload_end(self, avg_metrics: dict[str, Any], batch_metrics: Any) -> None:
        """Replace metrics that were left on the device by arrays, for the other callbacks."""
        device.to_numpy(batch_metrics)

    def on_checkpoint_save_start(self, checkpoint: dict[str, Any]) -> None:
        """Name weights as the model does, without the prefix of DistributedDataParallel.

        For a model with an adapter, keep only the trained weights.
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
        """Name weights as the wrapped model does, and add the frozen ones that were left out."""
        states = checkpoint.get("models_state_dict")
        if states is not None:
            checkpoint["models_state_dict"] = [
                state_dict.match_prefix(
                    state_dict.add_frozen_weights(model, state), model.state_dict()
                )
                for model, state in zip(self._context.models, states, strict=False)
            ]

    def on_checkpoint_write_end(self, checkpoint_dir: str) -> None:
        """Write the model's metadata into the checkpoint and remove access tokens from it."""
        folder = pathlib.Path(checkpoint_dir)
        saving.strip_tokens(folder)
        metadata.write_metadata(self._trial, folder, self._validation)

    def on_training_start(self) -> None:
        """Recompute the gradients that were accumulated for the next update when the run stopped.

        A checkpoint does not hold them; it is written by slot 0, which does not have those of other
        slots. Weights and random numbers are as they were, so the gradients are the same.
        """
        context = self._context
        steps = context.get_initial_batch()
        first = steps - steps % context._aggregation_frequency
        if first == steps:
            return
        loader = self._seeded_trial.replay_loader
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
            for batch_idx in range(first, steps):
                context._current_batch_idx = batch_idx
                batch = next(batches)
                if context.experimental._auto_to_device:
                    batch = context.to_device(batch)
                self._seeded_trial.train_batch(
                    batch=batch, epoch_idx=batch_idx // context._epoch_len, batch_idx=batch_idx
                )


@contextlib.contextmanager
def _restore_all_but_gradients(context: pytorch.PyTorchTrialContext) -> Iterator[None]:
    """Restore at the end what training steps change beside gradients."""
    buffers = [(b, b.clone()) for model in context.models for b in model.buffers()]
    stateful: list[Any] = [*context.lr_schedulers, *([context._scaler] if context._scaler else [])]
    states = [(owner, copy.deepcopy(owner.state_dict())) for owner in stateful]
    groups = [
        (group, {k: copy.deepcopy(v) for k, v in group.items() if k != "params"})
        for optimizer in context.optimizers
        for group in optimizer.param_groups
    ]
    yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    for owner, state in states:
        owner.load_state_dict(state)
    for group, values in groups:
        group.update(values)
