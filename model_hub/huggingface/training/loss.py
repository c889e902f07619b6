"""The loss of a training step."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from model_hub.errors import UserError
from model_hub.huggingface.model import unwrap


def training_loss(
    model: torch.nn.Module,
    batch: Mapping[str, Any],
    *,
    model_mode: str | None = None,
    label_smoothing_factor: float = 0.0,
) -> torch.Tensor:
    """Return the model's loss on a batch, or ``Trainer``'s loss with label smoothing.

    See :meth:`BaseTransformerTrial.training_loss`; ``model_mode`` is for messages.

    Raises:
        UserError: when the model returns no loss, or there are no labels to smooth.
    """
    outputs = model(**batch)
    if label_smoothing_factor:
        labels = batch.get("labels")
        if labels is None or labels.is_floating_point():
            raise UserError(
                f"hyperparameters.label_smoothing_factor is {label_smoothing_factor}, but the "
                "batches of this trial have no class labels. Remove the key."
            )
        # Imported here because transformers.trainer_pt_utils imports peft, which takes seconds.
        from transformers.trainer_pt_utils import LabelSmoother

        # A causal model predicts the next token; its own loss shifts the labels as well.
        shifts = type(unwrap.unwrap(model)).__name__ in _CAUSAL_MODELS
        smoother = LabelSmoother(epsilon=label_smoothing_factor)
        smoothed: torch.Tensor = smoother(outputs, labels, shift_labels=shifts)
        return smoothed
    loss: torch.Tensor | None = outputs.get("loss") if isinstance(outputs, dict) else outputs[0]
    if loss is None:
        raise UserError(
            f"hyperparameters.model_mode is {model_mode!r}, but its model returns no loss for a "
            f"batch of {', '.join(sorted(batch))}. Write a model_mode that this trial supports, or "
            "add the labels that the model takes to the batches."
        )
    return loss


_CAUSAL_MODELS = frozenset(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
