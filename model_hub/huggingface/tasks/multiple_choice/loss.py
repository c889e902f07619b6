"""The loss of multiple choice."""

import torch


def mask_choices(logits: torch.Tensor, choice_mask: torch.Tensor) -> torch.Tensor:
    """Return the logits with minus infinity for missing endings.

    Args:
        logits: any float type, ``[batch, choices]``.
        choice_mask: bool, ``[batch, choices]``.

    Returns:
        float32, ``[batch, choices]``.
    """
    return logits.float().masked_fill(~choice_mask, -torch.inf)


def choice_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    choice_mask: torch.Tensor,
    label_smoothing_factor: float = 0.0,
) -> torch.Tensor:
    """Return the mean cross-entropy over the endings of each row, without missing ones.

    If all rows have all endings, this is the loss that the models of transformers compute.

    Args:
        logits: any float type, ``[batch, choices]``.
        labels: number of the right ending, int64 ``[batch]``.
        choice_mask: bool, ``[batch, choices]``.
        label_smoothing_factor: share of the target that is spread over the endings of a row.
    """
    masked = mask_choices(logits, choice_mask)
    loss = torch.nn.functional.cross_entropy(masked, labels)
    if not label_smoothing_factor:
        return loss
    # torch's label smoothing would include missing endings, whose loss is infinite.
    losses = -masked.log_softmax(dim=-1).masked_fill(~choice_mask, 0.0)
    uniform = (losses.sum(dim=-1) / choice_mask.sum(dim=-1)).mean()
    return (1 - label_smoothing_factor) * loss + label_smoothing_factor * uniform
