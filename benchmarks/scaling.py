"""Samples a second on one and two slots, and the share of a step that goes into communication.

Two processes with one thread each, joined by gloo, train a trial as ``model-hub train`` does, in
turn: one of them alone; both, each for itself, which shows what sharing memory and caches costs;
and both together. What a step of the third takes longer than one of the second is communication
that does not hide behind the backward pass. Two slots have to end with the weights that one slot
ends with on the same batches.

From the gradient's size, the paper part computes what more GPUs would reach:

    communication = 2 (n - 1) / n * bytes / bandwidth            (ring all-reduce)
    step          = compute + max(0, communication - hidden * backward)
    efficiency    = compute / step

    python benchmarks/scaling.py
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import _bench
import datasets
import numpy as np
import step
import torch
import transformers
from determined import core

from model_hub.huggingface.runner import processes

SLOTS = 2
# Rows of a slot's batch, tokens, steps that are timed.
BATCH, LENGTH, STEPS = 8, 128, 4
PHASES = ("1 slot", "2 times 1 slot", "2 slots")


class Cluster(NamedTuple):
    """GPUs on paper: how many, what joins them, and its bandwidth in bytes a second.

    Several rings share the links between two nodes, so a ring as a whole is as fast as all links of
    a node together, or as those between the GPUs if they are slower ("bus bandwidth").
    """

    gpus: int
    link: str
    bandwidth: float


CLUSTERS = (
    Cluster(8, "one node, NVLink, 200 GB/s", 200e9),
    Cluster(64, "8 nodes, 8 links of 200 Gbit/s each, 160 GB/s", 160e9),
    Cluster(64, "8 nodes, one link of 100 Gbit/s each, 10 GB/s", 10e9),
)
# BERT-base: parameters; of them, in matrices that every token is multiplied with.
PARAMETERS, OF_LAYERS = 109.5e6, 85.6e6
GPU_BATCH, GPU_LENGTH = 12, 384
# A100 in bf16: 312e12 operations a second, of which such models reach some 35 %.
OPERATIONS = 0.35 * 312e12


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For what asks how many slots train, this process is one of its own."""
    kept = {name: os.environ.pop(name) for name in ("WORLD_SIZE", "USE_TORCH_DISTRIBUTED")}
    try:
        yield
    finally:
        os.environ.update(kept)


def seconds_of_a_step(
    case: step.Case, model: pathlib.Path, distributed: core.DistributedContext
) -> tuple[float, torch.nn.Module]:
    """Trains on the slots of a context: the mean step, with a report among them, and the model."""
    slots = distributed.size
    case = case._replace(batch=BATCH * slots)
    config = transformers.AutoConfig.from_pretrained(model)
    setting = step.Setting(case, model, step.make_rows(case, config.vocab_size), bf16=False)
    with tempfile.TemporaryDirectory() as name:
        if slots > 1:
            name = of_all(name)[0]
        with step.noting_calls(transformers.BertForSequenceClassification) as times:
            trained = step.train_trial(setting, pathlib.Path(name) / "run", distributed)
        if slots > 1:  # The folder stays until all are done.
            torch.distributed.barrier()
    return statistics.mean(np.diff(times)[step.WARM_UP_STEPS :].tolist()), trained


def of_all(value: Any) -> list[Any]:
    """The value that each process has."""
    values = [None] * SLOTS
    torch.distributed.all_gather_object(values, value)
    return values


def all_reduce_seconds(size: int, repeats: int = 7) -> float:
    """Seconds to sum as many float32 of both processes, with nothing else to do."""
    values = torch.zeros(size)
    seconds = []
    for _ in range(repeats):
        torch.distributed.barrier()
        begin = time.perf_counter()
        torch.distributed.all_reduce(values)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def weights_of_one(model: pathlib.Path, case: step.Case) -> list[dict[str, torch.Tensor]]:
    """The weights that one slot begins and, with the whole batch, ends with."""
    case = case._replace(batch=BATCH * SLOTS)
    config = transformers.AutoConfig.from_pretrained(model)
    setting = step.Setting(case, model, step.make_rows(case, config.vocab_size), bf16=False)
    begin = transformers.BertForSequenceClassification.from_pretrained(model)
    return [step.weights_of(each) for each in (begin, step.run_ours(setting))]


def slot(model: pathlib.Path, output: pathlib.Path, steps: int, repeats: int) -> None:
    """One of the two processes; the first writes what both measured."""
    quieten()
    case = step.Case("MiniLM", step.minilm, step.CLASSES, BATCH, LENGTH, steps)
    measured: dict[str, list[float]] = {phase: [] for phase in PHASES}
    with processes.distributed_processes() as context:
        rank = context.rank
        context.close()
        if rank == 0:
            with alone():
                begin, end = weights_of_one(model, case)
        for number in range(repeats):
            for phase in PHASES[:: -1 if number % 2 else 1]:
                torch.distributed.barrier()
                took = 0.0
                if phase == "2 slots":
                    took, trained = seconds_of_a_step(case, model, processes.context_of_group())
                    if rank == 0:
                        step.check_same(phase, begin, end, step.weights_of(trained))
                elif phase == "2 times 1 slot" or rank == 0:
                    with alone():
                        took, _ = seconds_of_a_step(case, model, core.DummyDistributedContext())
                # The processes wait for the slower one.
                measured[phase].append(max(of_all(took)))
        gradient = sum(p.numel() for p in trained.parameters() if p.requires_grad)
        reduce = all_reduce_seconds(gradient)
        if rank == 0:
            output.write_text(
                json.dumps({"seconds": measured, "gradient": gradient, "all_reduce": reduce})
            )
        torch.distributed.barrier()


def quieten() -> None:
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def measure(model: transformers.PreTrainedModel, steps: int, repeats: int) -> dict[str, Any]:
    """Starts the two processes."""
    quieten()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model.save_pretrained(folder / "model")
        step.tokenizer().save_pretrained(folder / "model")
        output = folder / "measured.json"
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={SLOTS}"]
        words += [__file__, "--slot", str(folder / "model"), "--output", str(output)]
        done = subprocess.run(
            [sys.executable, *words, "--steps", str(steps), "--repeats", str(repeats)],
            # On CPUs everywhere: with one GPU there would be none for the second slot.
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            _bench.fail(f"the slots ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return found


def hidden_share(found: dict[str, Any]) -> float:
    """Of the communication, the share that takes no time of its own."""
    apart, together = (statistics.median(found["seconds"][p]) for p in PHASES[1:])
    return min(1.0, max(0.0, 1 - (together - apart) / found["all_reduce"]))


def table_of_slots(found: dict[str, Any]) -> str:
    seconds = found["seconds"]
    together, apart, one = (seconds[phase] for phase in PHASES[::-1])
    share = [(t - a) / t for t, a in zip(together, apart, strict=True)]
    rows = []
    for phase in PHASES:
        slots = 1 if phase == "1 slot" else SLOTS
        speed = [slots * BATCH / took for took in seconds[phase]]
        gain = [slots * a / b for a, b in zip(one, seconds[phase], strict=True)]
        rows.append(
            [
                phase,
                _bench.spread(seconds[phase]).shown(".0f", 1000),
                _bench.spread(speed).shown(".1f"),
                _bench.spread(gain).shown(".2f"),
                _bench.spread(share).shown(".1f", 100) if phase == "2 slots" else "",
            ]
        )
    header = ("processes", "ms a step", "samples a second", "times 1 slot", "communication, %")
    text = _bench.table(header, rows)
    note = (
        f"\nGradient: {4 * found['gradient'] / 2**20:.0f} MiB in float32. Summing it over the two "
        f"processes with nothing else to do takes {1000 * found['all_reduce']:.0f} ms; of that "
        f"{100 * hidden_share(found):.0f} % hide behind the backward pass.\n"
    )
    print(note)
    return f"{text}\n{note}"


def efficiency(
    compute: float, size: float, cluster: Cluster, hidden: float, accumulation: int = 1
) -> float:
    """Share of the time in which GPUs compute; the formula is at the top of this file."""
    communication = 2 * (cluster.gpus - 1) / cluster.gpus * size / cluster.bandwidth
    # The backward pass takes two thirds: it has two products of matrices for each of the forward.
    # Gradients are summed in that of the last of the accumulated batches alone.
    backward = compute / accumulation * 2 / 3
    return compute / (compute + max(0.0, communication - hidden * backward))


def table_on_paper(accumulation: Sequence[int] = (1, 4)) -> str:
    rows = []
    for cluster in CLUSTERS:
        for count in accumulation:
            compute = count * 6 * OF_LAYERS * GPU_BATCH * GPU_LENGTH / OPERATIONS
            cells: list[Any] = [cluster.gpus, cluster.link, count, f"{1000 * compute:.0f}"]
            for hidden in (0.0, 1.0):
                share = efficiency(compute, 4 * PARAMETERS, cluster, hidden, count)
                cells.append(f"{100 * share:.0f} % ({share * cluster.gpus:.1f})")
            rows.append(cells)
    return _bench.table(
        [
            "GPUs",
            "link",
            "`gradient_accumulation_steps`",
            "ms of computing",
            "efficiency (times 1 GPU), nothing hidden",
            "the same, all hidden that can be",
        ],
        rows,
    )


def main() -> None:
    parser = _bench.parser(__doc__)
    for name, kind in (("--slot", pathlib.Path), ("--output", pathlib.Path), ("--steps", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.slot:
        slot(arguments.slot, arguments.output, arguments.steps, arguments.repeats)
        return
    transformers.set_seed(1)
    if arguments.quick:
        small = transformers.BertConfig(
            vocab_size=100,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        found = measure(transformers.BertForSequenceClassification(small), 1, 1)
    else:
        found = measure(step.minilm(), STEPS, arguments.repeats)
    text = f"{table_of_slots(found)}\n{table_on_paper()}"
    if arguments.write:
        _bench.write("scaling", text, threads=1)


if __name__ == "__main__":
    main()
