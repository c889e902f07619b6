"""Determined's training loop for trials that resume exactly."""

import pathlib
from collections.abc import Mapping
from typing import Any

from determined import pytorch, util
from determined.pytorch._pytorch_trial import _PyTorchTrialController

from model_hub.huggingface.training.callbacks import EarlyStoppingCallback
from model_hub.huggingface.training.resume.callback import ResumeCallback
from model_hub.huggingface.training.resume.seeded_trial import SeededTrial


class ResumableController(_PyTorchTrialController):
    """Determined's training loop, in which a run ends the same however often it is stopped.

    ``model_hub.huggingface.compat`` puts it in the place of Determined's class, so that every way
    to start a training run uses it. It changes nothing for a trial that does not name it as its
    ``trial_controller_class``, as :class:`BaseTransformerTrial` does.
    """

    def __init__(
        self,
        trial_inst: pytorch.PyTorchTrial,
        context: pytorch.PyTorchTrialContext,
        **settings: Any,
    ) -> None:
        self._user_trial = trial_inst
        super().__init__(trial_inst, context, **settings)
        if trial_inst.trial_controller_class is not ResumableController:
            return
        seeded: Any = SeededTrial(trial_inst, context)
        self.trial = seeded
        standard_callbacks: Mapping[str, pytorch.PyTorchCallback] = seeded.standard_callbacks()
        self.callbacks = {
            # The first, so that no other callback gets the results of a placeholder batch.
            "model_hub": ResumeCallback(trial_inst, seeded, context),
            # Also where the trial's build_callbacks does not call its base class.
            **standard_callbacks,
            **self.callbacks,
        }

    def _evaluate_batch_defined(self) -> bool:
        # A SeededTrial has the method in any case.
        return util.is_overridden(self._user_trial.evaluate_batch, pytorch.PyTorchTrial)

    def _train(self, length: pytorch.TrainUnit, train_boundaries: Any) -> None:
        # A run that early stopping has ended must train no further batch when it is resumed;
        # Determined would notice the request to stop only some batches later.
        stopped_early = any(
            isinstance(callback, EarlyStoppingCallback) and callback.was_stopped
            for callback in self.callbacks.values()
        )
        if stopped_early and self._steps_until_complete(length) > 0:
            raise pytorch._ShouldExit()
        super()._train(length, train_boundaries)

    def _save(self, path: pathlib.Path) -> None:
        # Determined writes the name of the trial's class into the checkpoint.
        seeded, self.trial = self.trial, self._user_trial
        try:
            super()._save(path)
        finally:
            self.trial = seeded
