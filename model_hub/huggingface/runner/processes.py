"""The processes that train together on this machine."""

import contextlib
import os
import socket
from collections.abc import Iterator

import torch
from determined import core

from model_hub.errors import UserError


def slots_of_this_run() -> int:
    """Return how many processes torch's launcher has started to train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def distributed_processes() -> Iterator[core.DistributedContext]:
    """Join the processes that ``torchrun`` has started; yield Determined's context of them.

    Raises:
        UserError: when there are more processes on this machine than GPUs.
    """
    size = slots_of_this_run()
    if size == 1:
        yield core.DummyDistributedContext()
        return
    cuda = torch.cuda.is_available()
    local_size, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if cuda and local_size > gpus:
        raise UserError(
            f"torchrun has started {local_size} processes on this machine, each of which needs a "
            f"GPU; torch sees {gpus}. Write --nproc_per_node={gpus}, or CUDA_VISIBLE_DEVICES= "
            "before the command to train on CPUs."
        )
    # Determined reads this variable to find the distributed backend.
    os.environ["USE_TORCH_DISTRIBUTED"] = "True"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group(backend="nccl" if cuda else "gloo")
    try:
        yield context_of_group()
    finally:
        torch.distributed.destroy_process_group()


def context_of_group() -> core.DistributedContext:
    """Return Determined's context of the processes of torch's default group.

    A training closes it at its end.
    """
    rank = int(os.environ["RANK"])
    # Free ports: with Determined's fixed ones a machine could train only one run at a time.
    ports = [[_free_port(), _free_port()] if rank == 0 else None]
    torch.distributed.broadcast_object_list(ports)
    assert ports[0] is not None
    return core.DistributedContext(
        rank=rank,
        size=slots_of_this_run(),
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ["LOCAL_WORLD_SIZE"]),
        cross_rank=int(os.environ["GROUP_RANK"]),
        cross_size=int(os.environ["GROUP_WORLD_SIZE"]),
        chief_ip=os.environ.get("MASTER_ADDR"),
        pub_port=ports[0][0],
        pull_port=ports[0][1],
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
