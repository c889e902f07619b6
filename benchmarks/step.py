"""Seconds of a training step: a bare PyTorch loop, transformers' ``Trainer``, and ours.

All three start from the same weights without dropout, see the same batches in the same order, and
have to end with the same weights. What is timed is the time from one call of the model to the next:
forward, backward, clipping, AdamW, the schedule, fetching the next batch, and whatever a loop does
beside. Ours is what ``model-hub train`` runs: Determined's loop. It reports every 10 batches, as by
default, or every 5 on a CPU; ``Trainer``, by default every 500, logs as often. Both are timed.

    python benchmarks/step.py
"""

import contextlib
import inspect
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import _bench
import datasets
import numpy as np
import tokenizers
import torch
import transformers
from determined import core, pytorch

import model_hub.huggingface as hf
from model_hub.experiment.config import fill_defaults
from model_hub.huggingface.runner import local
from model_hub.huggingface.runner.console import Console
from model_hub.huggingface.runner.run_folder import RunFolder

LEARNING_RATE = 5e-5
WARM_UP_STEPS = 1
# Steps: our default where there are enough of them, else so that one is among those that are timed.
REPORT_EVERY = 10 if torch.cuda.is_available() else 5
SIDES = ("bare loop", "Trainer", "ours")
# How far from the expected weights a side may end, as a share of the way that it has made.
LIMIT = 0.001


class Case(NamedTuple):
    """What is trained: name, maker of the model, its mode, sizes, and steps that are timed."""

    name: str
    model: Callable[[], transformers.PreTrainedModel]
    mode: str
    batch: int
    length: int
    steps: int


def minilm() -> transformers.PreTrainedModel:
    config = transformers.BertConfig(
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=2,
    )
    return transformers.BertForSequenceClassification(config)


def bert_base() -> transformers.PreTrainedModel:
    config = transformers.BertConfig(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=2
    )
    return transformers.BertForSequenceClassification(config)


def gpt2(**shape: Any) -> transformers.PreTrainedModel:
    config = transformers.GPT2Config(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0, **shape)
    return transformers.GPT2LMHeadModel(config)


def small_gpt2() -> transformers.PreTrainedModel:
    return gpt2(n_embd=256, n_layer=4, n_head=4)


CLASSES, CAUSAL = "sequence-classification", "causal-lm"
ON_CPU = (
    Case("MiniLM, 128 tokens", minilm, CLASSES, 4, 128, 6),
    Case("MiniLM, 384 tokens", minilm, CLASSES, 2, 384, 6),
    Case("GPT-2 of 4 layers and 256 wide, 128 tokens", small_gpt2, CAUSAL, 2, 128, 6),
)
ON_GPU = (
    Case("MiniLM, 128 tokens", minilm, CLASSES, 64, 128, 30),
    Case("MiniLM, 384 tokens", minilm, CLASSES, 32, 384, 30),
    Case("BERT-base, 384 tokens", bert_base, CLASSES, 12, 384, 30),
    Case("GPT-2, 512 tokens", gpt2, CAUSAL, 8, 512, 30),
)
QUICK = (
    Case("GPT-2 of 1 layer and 16 wide, 16 tokens",
         lambda: gpt2(n_embd=16, n_layer=1, n_head=2, vocab_size=100), CAUSAL, 2, 16, 4),
)  # fmt: skip


def tokenizer() -> transformers.PreTrainedTokenizerBase:
    """A trial wants one; nobody asks it for anything here."""
    words = tokenizers.models.WordLevel({"[UNK]": 0, "[PAD]": 1, "word": 2}, unk_token="[UNK]")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(words), unk_token="[UNK]", pad_token="[PAD]"
    )


def make_rows(case: Case, vocabulary: int) -> datasets.Dataset:
    """Random tokens, with labels of the kind that the model takes."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocabulary, ((case.steps + WARM_UP_STEPS + 1) * case.batch, case.length))
    labels = ids if case.mode == CAUSAL else rng.integers(0, 2, len(ids))
    return datasets.Dataset.from_dict(
        {
            "input_ids": ids.tolist(),
            "attention_mask": np.ones_like(ids).tolist(),
            "labels": labels.tolist(),
        }
    )


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """All sides collate with this; the rows have one length."""
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


@contextlib.contextmanager
def noting_calls(cls: type[torch.nn.Module]) -> Iterator[list[float]]:
    """Notes when models of a class are called to train."""
    times: list[float] = []
    forward = cls.forward

    def noting_forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self.training:
            if torch.cuda.is_available():
                # The GPU works behind; a step is over when it has caught up with the step before.
                event = torch.cuda.Event(enable_timing=True)
                event.record()
                events.append(event)
            times.append(time.perf_counter())
        return forward(self, *args, **kwargs)

    events: list[torch.cuda.Event] = []
    # The signature tells Trainer which columns the model takes.
    noting_forward.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    cls.forward = noting_forward
    try:
        yield times
    finally:
        cls.forward = forward
        if events:
            torch.cuda.synchronize()
            times[:] = [events[0].elapsed_time(event) / 1000 for event in events]


class Setting(NamedTuple):
    """What one side needs to train."""

    case: Case
    folder: pathlib.Path
    data: datasets.Dataset
    bf16: bool

    @property
    def updates(self) -> int:
        """Training steps, one more than intervals between them."""
        return len(self.data) // self.case.batch


def order_of(setting: Setting) -> list[int]:
    """The order in which our loader goes through the rows in its first epoch."""
    from determined.pytorch import samplers

    from model_hub.huggingface.training.resume.seeded_loader import _SeededEpochs

    sampler = samplers.ReproducibleShuffleSampler(
        torch.utils.data.SequentialSampler(setting.data), 0
    )
    batches = torch.utils.data.BatchSampler(sampler, setting.case.batch, drop_last=False)
    return [row for batch in _SeededEpochs(batches, 0) for row in batch]


def run_bare(setting: Setting) -> torch.nn.Module:
    """What everybody writes by hand."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = hf.auto_model_class(setting.case.mode).from_pretrained(setting.folder).to(device)
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or is_norm(n)]
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or is_norm(n))]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.0}, {"params": plain, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        fused=True,  # As Trainer and we do.
    )
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, setting.updates)
    loader = torch.utils.data.DataLoader(
        setting.data.select(order_of(setting)).flatten_indices(),
        batch_size=setting.case.batch,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
    )
    model.train()
    for batch in loader:
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=setting.bf16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return model


def is_norm(name: str) -> bool:
    return "LayerNorm" in name or ".ln_" in name


def run_trainer(setting: Setting) -> torch.nn.Module:
    """``Trainer``, all at its defaults but what would make it do another thing."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            hf.auto_model_class(setting.case.mode).from_pretrained(setting.folder),
            transformers.TrainingArguments(
                folder,
                per_device_train_batch_size=setting.case.batch,
                learning_rate=LEARNING_RATE,
                max_steps=setting.updates,
                train_sampling_strategy="sequential",
                logging_steps=REPORT_EVERY,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=torch.cuda.is_available(),
                bf16=setting.bf16,
            ),
            train_dataset=setting.data.select(order_of(setting)).flatten_indices(),
            data_collator=collate,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return trainer.model


def run_ours(setting: Setting) -> torch.nn.Module:
    """Ours, as ``model-hub train`` runs it."""
    with tempfile.TemporaryDirectory() as folder:
        return train_trial(setting, pathlib.Path(folder) / "run", core.DummyDistributedContext())


def train_trial(
    setting: Setting, run: pathlib.Path, distributed: core.DistributedContext
) -> torch.nn.Module:
    """Trains a trial in a folder of its own, on all slots; the batch is shared by them."""
    trained: list[torch.nn.Module] = []

    class Trial(hf.BaseTransformerTrial):
        def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
            super().__init__(context)
            trained.append(self.model)

        def build_training_data_loader(self) -> pytorch.DataLoader:
            return hf.training_data_loader(self.context, setting.data, collate)

        def build_validation_data_loader(self) -> pytorch.DataLoader:
            return hf.validation_data_loader(self.context, setting.data.select([0]), collate)

        def evaluate_batch(self, batch: pytorch.TorchData, batch_idx: int) -> dict[str, Any]:
            return {"loss": self.model(**batch).loss}

    config = fill_defaults(
        {
            "name": "step",
            "hyperparameters": {
                "model_mode": setting.case.mode,
                "pretrained_model_name_or_path": str(setting.folder),
                "use_pretrained_weights": True,
                "global_batch_size": setting.case.batch,
                "max_steps": setting.updates,
                "learning_rate": LEARNING_RATE,
                "bf16": setting.bf16,
            },
            "searcher": {"name": "single", "metric": "loss"},
            "checkpoint_policy": "none",
            "scheduling_unit": REPORT_EVERY,
        }
    )
    folder = RunFolder(run)
    if distributed.rank == 0:
        folder.create(config, trial="step:Trial", context_dir=run.parent)
    local.train_experiment(Trial, config, folder, distributed, Console(enabled=False))
    return trained[0]


RUNNERS = dict(zip(SIDES, (run_bare, run_trainer, run_ours), strict=True))


def measure(case: Case, repeats: int) -> list[list[str]]:
    """Rows of the table for one case; ends the script if the sides end with other weights."""
    transformers.set_seed(1)
    model = case.model()
    begin = weights_of(model)
    # The first end of the bare loop, which all others have to reach.
    expected: dict[str, torch.Tensor] = {}

    def runner(side: str, setting: Setting) -> Callable[[], float]:
        def run() -> float:
            with noting_calls(type(model)) as times:
                trained = RUNNERS[side](setting)
            if len(times) != setting.updates:
                _bench.fail(f"{side} made {len(times)} steps instead of {setting.updates}")
            weights = weights_of(trained)
            expected.update({} if expected else weights)
            check_same(f"{case.name}, {side}", begin, expected, weights, bf16=setting.bf16)
            return statistics.mean(np.diff(times)[WARM_UP_STEPS:].tolist())

        return run

    with tempfile.TemporaryDirectory() as name:
        model.save_pretrained(name)
        tokenizer().save_pretrained(name)
        rows = make_rows(case, model.config.vocab_size)
        setting = Setting(case, pathlib.Path(name), rows, bf16=False)
        if torch.cuda.is_available():
            # With bf16, what is computed in another order differs too much to tell much.
            for side in SIDES:
                runner(side, setting)()
            expected.clear()
            setting = setting._replace(bf16=True)
        seconds = _bench.alternate(
            {side: runner(side, setting) for side in SIDES}, repeats, warm_up=0
        )
    bare = seconds["bare loop"]
    return [
        [
            f"{case.name}, batch of {case.batch}",
            side,
            _bench.spread(seconds[side]).shown(".1f", 1000),
            _bench.spread(_bench.ratios(seconds[side], bare)).shown(".3f"),
            _bench.spread(_bench.ratios(seconds[side], seconds["Trainer"])).shown(".3f"),
        ]
        for side in SIDES
    ]


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the weights, by name without what distributed training puts before it."""
    return {
        name.removeprefix("module."): parameter.detach().cpu().clone()
        for name, parameter in model.named_parameters()
    }


def check_same(
    what: str,
    begin: dict[str, torch.Tensor],
    expected: dict[str, torch.Tensor],
    found: dict[str, torch.Tensor],
    *,
    bf16: bool = False,
) -> None:
    """Ends the script unless the weights have moved, and to those expected but for rounding.

    AdamW hardly feels the size of gradients: without clipping, a side ends 1 to 20 % of the way off
    here. Sides that do the same are off by 0.001 %, unless they compute in bf16.
    """
    if found.keys() != begin.keys():
        _bench.fail(f"{what} has other weights: {found.keys() ^ begin.keys()}")
    way = sum((found[name] - begin[name]).square().sum() for name in begin)
    off = sum((found[name] - expected[name]).square().sum() for name in begin)
    if not way or (off / way).sqrt() > (0.5 if bf16 else LIMIT):
        _bench.fail(f"{what} went another way: {off:.3g} of {way:.3g} (squared)")


def main() -> None:
    options = _bench.parser(__doc__).parse_args()
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    cases = QUICK if options.quick else ON_GPU if torch.cuda.is_available() else ON_CPU
    rows = [row for case in cases for row in measure(case, options.repeats)]
    text = _bench.table(
        ("model", "side", "ms a step", "over the bare loop", "over `Trainer`"), rows
    )
    if options.write:
        _bench.write("step", text)


if __name__ == "__main__":
    main()
