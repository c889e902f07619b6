"""Add a metric to the question-answering example; the file belongs beside qa_trial.py."""

import torch
from determined import pytorch
from qa_trial import QATrial

import model_hub.huggingface.tasks.question_answering as qa


class SureStarts(pytorch.MetricReducer):
    """The share of windows in which one token has more than half of the start probability."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.sure = 0
        self.windows = 0

    def update(self, start_logits: torch.Tensor) -> None:
        best = start_logits.softmax(dim=-1).amax(dim=-1)  # [windows]
        self.sure = self.sure + (best > 0.5).sum()  # Stays on the device.
        self.windows += len(best)

    def per_slot_reduce(self) -> tuple[int, int]:
        return int(self.sure), self.windows

    def cross_slot_reduce(self, per_slot: list[tuple[int, int]]) -> dict[str, float]:
        sure, windows = map(sum, zip(*per_slot, strict=True))
        return {"sure_starts": sure / windows if windows else float("nan")}


class SureTrial(QATrial):
    # For `model-hub check`: names that may stand in searcher.metric.
    metric_names = (*QATrial.metric_names, "sure_starts")

    def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
        super().__init__(context)
        self.sure_starts = context.wrap_reducer(SureStarts(), for_training=False)

    def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict:
        for_reducer = qa.pop_feature_columns(batch)
        outputs = self.model(**batch)
        self.reducer.update(for_reducer, outputs.start_logits, outputs.end_logits)
        self.sure_starts.update(outputs.start_logits)
        return {}
