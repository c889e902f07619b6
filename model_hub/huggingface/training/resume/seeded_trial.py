"""A trial whose random numbers depend on seed, batch and slot alone."""

from typing import Any

from determined import pytorch, util

from model_hub.huggingface.data.loaders import trial_seed
from model_hub.huggingface.training import device
from model_hub.huggingface.training.resume.seeded_loader import (
    PLACEHOLDER_BATCH,
    SeededLoader,
    Stream,
    seed_random,
)


class SeededTrial:
    """A trial as the training loop calls it, with a seed for every batch.

    The random numbers of a batch do not depend on what was drawn before it. A resumed run therefore
    draws what an uninterrupted run draws, on every slot and in every worker process of a loader.
    A slot whose shard of the validation data is empty gets a placeholder batch, which does not
    reach the trial. All other attributes are the trial's.

    Attributes:
        replay_loader: the training loader before its first batch, if the run resumes between two
            updates of the weights and the loader can be copied; None otherwise.
    """

    def __init__(self, trial: pytorch.PyTorchTrial, context: pytorch.PyTorchTrialContext) -> None:
        self._trial = trial
        self._seed = trial_seed(context)
        self._rank = context.distributed.rank
        frequency = context._aggregation_frequency
        self._resumes_between_updates = context.get_initial_batch() % frequency != 0
        self._validation_loader: Any = None
        self.replay_loader: SeededLoader | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "_trial":  # While it is copied or unpickled.
            raise AttributeError(name)
        return getattr(self._trial, name)

    def train_batch(self, batch: Any, epoch_idx: int, batch_idx: int) -> Any:
        """Seed, train on a batch and return its metrics, with numbers on a GPU left there."""
        seed_random(self._seed, Stream.STEP, self._rank, batch_idx)
        metrics: Any = self._trial.train_batch(
            batch=batch, epoch_idx=epoch_idx, batch_idx=batch_idx
        )
        return device.keep_on_device(metrics)

    def build_training_data_loader(self) -> Any:
        """Return the trial's training loader, seeded."""
        loader = self._seed_loader(self._trial.build_training_data_loader(), Stream.FETCH)
        if self._resumes_between_updates and isinstance(loader, SeededLoader):
            self.replay_loader = loader.copy_for_replay()
        return loader

    def build_validation_data_loader(self) -> Any:
        """Return the trial's validation loader, seeded."""
        self._validation_loader = self._seed_loader(
            self._trial.build_validation_data_loader(), Stream.VALIDATION
        )
        return self._validation_loader

    def _seed_loader(self, loader: Any, stream: Stream) -> Any:
        # The trial is responsible for loaders of other classes.
        if type(loader) is pytorch.DataLoader and loader.batch_sampler is not None:
            return SeededLoader(loader, self._seed, stream)
        return loader

    def evaluate_batch(self, batch: Any, batch_idx: int) -> Any:
        """Return the trial's metrics of a batch; a placeholder batch is returned itself."""
        if is_placeholder(batch):
            return batch
        # Old trials do not take the index.
        if util.has_param(self._trial.evaluate_batch, "batch_idx", 2):
            return self._trial.evaluate_batch(batch=batch, batch_idx=batch_idx)
        return self._trial.evaluate_batch(batch=batch)  # type: ignore[call-arg]

    def evaluation_reducer(self) -> Any:
        """Return the trial's reducer; without a batch there are no names of metrics to reduce."""
        if getattr(self._validation_loader, "shard_is_empty", False):
            return pytorch.Reducer.AVG
        return self._trial.evaluation_reducer()

    def get_batch_length(self, batch: Any) -> int:
        """Return the number of samples in a batch."""
        return 0 if is_placeholder(batch) else self._trial.get_batch_length(batch)


def is_placeholder(batch: Any) -> bool:
    """Return whether a batch stands for an empty shard."""
    return isinstance(batch, dict) and PLACEHOLDER_BATCH in batch
