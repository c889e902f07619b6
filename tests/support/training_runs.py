"""One training by transformers' own `Trainer`, and the same by Determined's with our trial."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import datasets
import torch
import transformers
from determined import pytorch

from model_hub import huggingface as hf

STEPS = 20
BATCH = 4

# What `Trainer` calls otherwise than the YAML.
_NAMES = {"num_warmup_steps": "warmup_steps"}


@dataclasses.dataclass
class Course:
    """What a training was like.

    Attributes:
        rows: number of each row of the data, in the order of training, batch by batch.
        losses: of each batch.
        learning_rates: with which each update was made.
        norms: of the gradients before they were clipped, for each update.
        sizes: of each parameter's gradients, the largest number (of our own training only).
        groups: names of the parameters and weight decay of each group of the optimizer.
        initial: weights before the training.
        final: weights after it.
    """

    rows: list[list[int]] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    learning_rates: list[float] = dataclasses.field(default_factory=list)
    norms: list[float] = dataclasses.field(default_factory=list)
    sizes: dict[str, float] = dataclasses.field(default_factory=dict)
    groups: list[tuple[list[str], float]] = dataclasses.field(default_factory=list)
    initial: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    final: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)

    def felt(self) -> list[str]:
        """Parameters that the loss depends on: whose gradient is not 0 but for rounding.

        A number added to all keys of an attention, or to all logits of a softmax, changes nothing.
        Of gradients like that AdamW and Adafactor make steps of any size and direction.
        """
        return [name for name, size in self.sizes.items() if size > 1e-12]


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.named_parameters()}


def groups(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> list[tuple[list[str], float]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        ([names[id(parameter)] for parameter in group["params"]], group["weight_decay"])
        for group in optimizer.param_groups
    ]


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def run_ours(
    folder: pathlib.Path, data: datasets.Dataset, hparams: dict[str, Any], accumulation: int = 1
) -> Course:
    """Trains with `BaseTransformerTrial` in Determined's loop.

    Args:
        folder: the model.
        data: rows to train on, with their number in the column `row`.
        hparams: hyperparameters of the YAML.
        accumulation: batches for one update.
    """
    course = Course()

    class Trial(hf.BaseTransformerTrial):
        def __init__(self, context: pytorch.PyTorchTrialContext) -> None:
            super().__init__(context)
            course.initial = weights(self.model)
            course.groups = groups(self.model, self.optimizer)
            clip = self.grad_clip_fn

            def noting_clip(parameters: Any) -> None:
                parameters = list(parameters)
                for name, parameter in self.model.named_parameters():
                    size = parameter.grad.abs().max().item()
                    course.sizes[name] = max(course.sizes.get(name, 0.0), size)
                norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
                course.norms.append(norm.item())
                if clip is not None:
                    clip(parameters)

            self.grad_clip_fn = noting_clip
            self.optimizer.register_step_pre_hook(
                lambda optimizer, *_: course.learning_rates.append(optimizer.param_groups[0]["lr"])
            )

        def build_training_data_loader(self) -> pytorch.DataLoader:
            return hf.training_data_loader(self.context, data, collate)

        def build_validation_data_loader(self) -> pytorch.DataLoader:
            return hf.validation_data_loader(self.context, data.select(range(BATCH)), collate)

        def train_batch(self, batch: Any, epoch_idx: int, batch_idx: int) -> torch.Tensor:
            course.rows.append(batch.pop("row").tolist())
            loss = super().train_batch(batch, epoch_idx, batch_idx)
            course.losses.append(loss.item())
            return loss

        def evaluate_batch(self, batch: Any, batch_idx: int) -> dict[str, Any]:
            batch.pop("row")
            return {"loss": self.model(**batch).loss}

    hparams = {
        "pretrained_model_name_or_path": str(folder),
        "use_pretrained_weights": True,
        "global_batch_size": BATCH,
        "max_steps": STEPS,
        **hparams,
    }
    exp_conf = {"hyperparameters": hparams, "reproducibility": {"experiment_seed": 11}}
    with pytorch.init(
        hparams=hparams, exp_conf=exp_conf, aggregation_frequency=accumulation
    ) as context:
        trial = Trial(context)
        pytorch.Trainer(trial, context).fit(
            max_length=pytorch.Batch(STEPS), checkpoint_policy="none"
        )
        course.final = weights(trial.model)
    return course


def run_trainer(
    folder: pathlib.Path,
    data: datasets.Dataset,
    order: Sequence[Sequence[int]],
    hparams: dict[str, Any],
) -> Course:
    """Trains with `transformers.Trainer`.

    Args:
        folder: the model.
        data: rows to train on.
        order: numbers of the rows, batch by batch.
        hparams: hyperparameters of the YAML.
    """
    course = Course()

    class NotingTrainer(transformers.Trainer):
        """Notes what happens, and leaves all of it to the genuine one."""

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            course.rows.append(inputs.pop("row").tolist())
            loss = super().training_step(model, inputs, *args, **kwargs)
            course.losses.append(loss.item())
            return loss

    class Notes(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, model: Any, optimizer: Any, **__: Any) -> None:
            course.initial = weights(model)
            # accelerate wraps it.
            course.groups = groups(model, optimizer.optimizer)

        def on_pre_optimizer_step(self, *_: Any, optimizer: Any, **__: Any) -> None:
            course.learning_rates.append(optimizer.param_groups[0]["lr"])

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "grad_norm" in logs:
                course.norms.append(float(logs["grad_norm"]))

    kwargs = {_NAMES.get(name, name): value for name, value in hparams.items()}
    mode = kwargs.pop("model_mode")
    if kwargs.pop("adafactor", False):
        kwargs["optim"] = "adafactor"
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=len(order[0]),
        max_steps=len(order),
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **kwargs,
    )
    # With several GPUs it would take a batch for each of them.
    arguments._n_gpu = min(1, arguments.n_gpu)
    trainer = NotingTrainer(
        model=hf.auto_model_class(mode).from_pretrained(folder),
        args=arguments,
        train_dataset=data.select([row for batch in order for row in batch]),
        data_collator=collate,
        callbacks=[Notes()],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    course.final = weights(trainer.model)
    return course


def assert_same(ours: Course, reference: Course) -> None:
    """Fails unless both trainings went the same way, as far as floats can."""
    assert ours.groups == reference.groups
    assert ours.rows == reference.rows
    assert len(ours.rows) == len(ours.losses) >= STEPS // 2
    assert len(ours.learning_rates) == len(ours.norms) == len(ours.rows)
    assert set(ours.initial) == set(ours.final) == set(reference.initial) == set(reference.final)
    for name, value in ours.initial.items():
        assert torch.equal(value, reference.initial[name]), name
    close = {"rtol": 1e-4, "atol": 1e-6}
    for what in ("learning_rates", "losses", "norms"):
        found, expected = (torch.tensor(getattr(run, what)) for run in (ours, reference))
        torch.testing.assert_close(
            found, expected, **close, msg=lambda text, w=what: f"{w}: {text}"
        )
    for name in ours.felt():
        torch.testing.assert_close(
            ours.final[name],
            reference.final[name],
            **close,
            msg=lambda text, n=name: f"{n}: {text}",
        )
