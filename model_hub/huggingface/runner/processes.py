"""The processes that train together on this machine."""

import contextlib
import os
import socket
from collections.abc import Iterator

import torch
from determined import core

from model_hub.errors import UserError


def slots_of_this_run() -> int:
    """How many processes train together, as torch's launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def distributed_processes() -> Iterator[core.DistributedContext]:
    """The processes that ``torchrun`` has started, or this one alone."""
    size = slots_of_this_run()
    if size == 1:
        yield core.DummyDistributedContext()
        return
    cuda = torch.cuda.is_available()
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if cuda and here > gpus:
        raise UserError(
            f"torchrun has started {here} processes on this machine, each of which needs a GPU; "
            f"torch sees {gpus}. Write --nproc_per_node={gpus}; or CUDA_VISIBLE_DEVICES= before "
            "the command, to train on CPUs."
        )
    # Determined asks this variable which way of distributing is in use.
    os.environ["USE_TORCH_DISTRIBUTED"] = "True"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group(backend="nccl" if cuda else "gloo")
    try:
        yield context_of_group()
    finally:
        torch.distributed.destroy_process_group()


def context_of_group() -> core.DistributedContext:
    """Determined's context of the processes of torch's group; a training closes it at its end."""
    rank = int(os.environ["RANK"])
    # Free ports, where Determined's fixed ones would let only one run at a time on a machine.
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
