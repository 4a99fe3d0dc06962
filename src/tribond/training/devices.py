"""Several processes that train together: how they are started, what they add up, and that none waits for a dead one.

A step is shared: every process takes a part of the batch, and gradients are added up by PyTorch's DistributedDataParallel.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from torch import Tensor, distributed

from tribond.errors import ConfigError, TribondError
from tribond.training.rank import by_srun, by_torchrun, process_rank

ALONE_CHECK_S = 1.0  # between two looks whether the process that started this one is still there

# Set by Lightning for the processes that it starts, and found again by the next training in this one.
OF_LIGHTNING = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Launch:
    """Which processes there are, and who started them."""

    devices: int | Literal["auto"]  # on each machine
    nodes: int
    starter: Literal["torchrun", "srun", "tribond"]

    def environment(self) -> ClusterEnvironment:
        """The same for Lightning, which is not to guess: a shell inside a Slurm job is not a task of `srun`."""
        if self.starter == "torchrun":
            return TorchElasticEnvironment()
        # Its own requeueing would save and load checkpoints of its own.
        return SLURMEnvironment(auto_requeue=False) if self.starter == "srun" else LightningEnvironment()

    @property
    def several(self) -> bool:
        """Whether there may be more than one process."""
        return self.devices == "auto" or self.devices * self.nodes > 1


def launch_of(devices: int | Literal["auto"], nodes: int) -> Launch:
    """How many processes train: what `torchrun` or `srun` has started, otherwise what the settings say.

    Raises:
        ConfigError: for several machines without a program that starts processes there.
    """
    environ = os.environ
    if by_torchrun():
        world, here = int(environ["WORLD_SIZE"]), int(environ["LOCAL_WORLD_SIZE"])
        return Launch(here, world // here, "torchrun")
    if by_srun():
        world, machines = int(environ["SLURM_NTASKS"]), int(environ.get("SLURM_NNODES", "1"))
        if world % machines or "SLURM_NTASKS_PER_NODE" not in environ:
            msg = f"{world} tasks on {machines} machines: start as many on each, with srun --ntasks-per-node"
            raise ConfigError(msg)
        return Launch(world // machines, machines, "srun")
    if nodes > 1:
        msg = f"nodes: {nodes} needs torchrun or srun to start a training on every machine; docs/training.md shows how"
        raise ConfigError(msg)
    return Launch(devices, nodes, "tribond")


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _device() -> torch.device:
    """Where processes exchange numbers."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same on each; on the device where it was."""
    if not _together():
        return values
    sent = values.detach().clone().to(_device())
    distributed.all_reduce(sent)
    return sent.to(values.device)


def largest_of_processes(*numbers: int) -> list[int]:
    """The largest of each number over all processes."""
    if not _together():
        return list(numbers)
    sent = torch.tensor(numbers, device=_device())
    distributed.all_reduce(sent, op=distributed.ReduceOp.MAX)
    return sent.tolist()


@contextmanager
def processes() -> Iterator[None]:
    """Leave no trace of a training with several processes in this one, and none that waits for a dead one.

    Raises:
        TribondError: if another process has ended before its time.
    """
    before = {name: os.environ.get(name) for name in OF_LIGHTNING}
    threads = torch.get_num_threads()
    _end_with_parent()
    try:
        yield
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        msg = (
            "another process of this training has ended; if nothing above says why, it was killed (by hand, or for want "
            "of memory). The same command goes on from the last checkpoint"
        )
        raise TribondError(msg) from error
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch.set_num_threads(threads)


def _is_lost_connection(error: RuntimeError) -> bool:
    signs = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return _together() and (isinstance(error, distributed.DistError) or any(sign in str(error) for sign in signs))


def _end_with_parent() -> None:
    """In a process that Lightning has started: end when the first one is gone, also in the middle of a collective."""
    if process_rank() == 0 or by_torchrun() or by_srun():
        return  # torchrun and srun look after theirs
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ALONE_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-first-process").start()
