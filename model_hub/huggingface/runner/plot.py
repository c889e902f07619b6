"""The plot of a run: loss, learning rate and validation metrics over the training."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

# Keys of a record that are not metrics.
_NO_METRICS = ("group", "steps_completed", "epochs", "batches", "time")


def plot_metrics(
    records: Sequence[Mapping[str, Any]], file: pathlib.Path, searcher_metric: str | None = None
) -> bool:
    """Plot the records of ``metrics.jsonl`` as a PNG; the searcher's metric gets a thicker line.

    Returns:
        False if there is nothing to plot.
    """
    training = [record for record in records if record["group"] == "training"]
    validation = [record for record in records if record["group"] == "validation"]
    if not training and not validation:
        return False
    # Put off: it takes a second to import, and only rank 0 plots.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (loss_axes, metric_axes) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    steps = [record["steps_completed"] for record in training]
    # A single point has no line.
    marker = "o" if len(training) == 1 else None
    losses = [record.get("loss") for record in training]
    loss_axes.plot(steps, losses, color="tab:blue", marker=marker)
    loss_axes.set(xlabel="batches", ylabel="training loss", ylim=(0, None))
    loss_axes.grid(alpha=0.3)
    rates = [record.get("learning_rate") for record in training]
    if any(rate is not None for rate in rates):
        rate_axes = loss_axes.twinx()
        rate_axes.plot(steps, rates, color="tab:gray", linewidth=1, linestyle="--")
        rate_axes.set_ylabel("learning rate (dashed)", color="tab:gray")
        rate_axes.set_ylim(0, None)
        rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))

    names = _metric_names(validation, searcher_metric)
    for name in names:
        points = [(r["steps_completed"], r[name]) for r in validation if r.get(name) is not None]
        is_searcher_metric = name == searcher_metric
        metric_axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            marker="o",
            markersize=6 if is_searcher_metric else 4,
            linewidth=2.5 if is_searcher_metric else 1.2,
            label=name,
        )
        for step, value in points[-1:]:
            metric_axes.annotate(
                f"{value:.4g}",
                (step, value),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
            )
    metric_axes.set(xlabel="batches", ylabel="validation")
    metric_axes.margins(x=0.15)
    metric_axes.grid(alpha=0.3)
    if names:
        metric_axes.legend(fontsize="small")
    temporary = file.with_name(f".{file.stem}.part.png")
    figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
    temporary.replace(file)
    return True


def _metric_names(
    validation: Sequence[Mapping[str, Any]], searcher_metric: str | None
) -> list[str]:
    """Return at most six metrics for one axis: the searcher's first, no counts or thresholds."""
    reported = dict.fromkeys(
        name
        for record in validation
        for name, value in record.items()
        if name not in _NO_METRICS and isinstance(value, (int, float))
    )
    names = [name for name in reported if name == searcher_metric]
    # Counts and thresholds would flatten the other lines.
    names += [n for n in reported if n not in names and not n.endswith(("total", "_thresh"))]
    return names[:6]
