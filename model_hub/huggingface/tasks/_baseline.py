"""What can be had without a model, to see beside a trial's metrics."""

import logging
from collections.abc import Mapping

logger = logging.getLogger("model_hub")


def log_baseline(description: str, metrics: Mapping[str, float]) -> None:
    """Says, once, what one would score without having learned anything.

    Args:
        description: how the baseline answers, such as "always the most frequent label, 'O'".
        metrics: its metrics on the validation data.
    """
    numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    logger.info("baseline (%s): %s", description, numbers)
