"""Batches of about equal work, and where a training stands in them."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from tribond.errors import DataError


class Epochs(Protocol):
    """Batches of every epoch, in training."""

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of this process in an epoch."""


def packed(order: NDArray[np.int64], num_edges: NDArray[np.int64], edge_budget: int) -> list[list[int]]:
    """Frames in this order as batches of at most so many bonds; a frame with more is a batch of its own."""
    batches: list[list[int]] = []
    edges = edge_budget + 1
    for index, size in zip(order.tolist(), num_edges[order].tolist(), strict=True):
        if edges + size > edge_budget:
            batches.append([])
            edges = 0
        batches[-1].append(index)
        edges += size
    return batches


def equal_part(batches: list[list[int]], rank: int, world_size: int) -> list[list[int]]:
    """What one of several processes takes of the batches of an epoch.

    Raises:
        DataError: if there are fewer batches than processes.
    """
    if batches and len(batches) < world_size:
        msg = f"{len(batches)} batches an epoch are too few for {world_size} devices; lower edge_budget"
        raise DataError(msg)
    # All processes must take equally many steps, or the others wait for ever.
    return batches[: len(batches) // world_size * world_size][rank::world_size]


class EdgeBudgetBatches(Sampler[list[int]]):
    """Batches of at most so many bonds, in an order that depends on seed and epoch alone.

    Iterating gives epoch 0: one pass, for validation. `StepBatches` goes on from epoch to epoch, for training.

    Args:
        num_edges: (frames,) bonds of every frame.
        edge_budget: most bonds in a batch; a frame with more is a batch of its own.
        seed: of the order; None keeps the order of the frames, for validation.
        repeats: (frames,) how often a frame comes an epoch; 0.5 means every other epoch.
        rank: number of this process.
        world_size: how many processes there are. Each takes its own batches; in training equally many, which leaves
            out fewer batches than there are processes, in validation every batch exactly once.
    """

    def __init__(
        self,
        num_edges: NDArray[np.int64],
        edge_budget: int,
        *,
        seed: int | None,
        repeats: NDArray[np.float64] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_edges = num_edges
        self.edge_budget = edge_budget
        self.seed = seed
        self.repeats = np.ones(len(num_edges)) if repeats is None else repeats
        self.rank, self.world_size = rank, world_size

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of this process in an epoch.

        Raises:
            DataError: if there are fewer batches to train on than processes.
        """
        order = np.arange(len(self.num_edges))
        if self.seed is not None:
            random = np.random.default_rng([self.seed, epoch])
            counts = np.floor(self.repeats + random.random(len(order))).astype(int)
            order = random.permutation(np.repeat(order, counts))
        batches = packed(order, self.num_edges, self.edge_budget)
        if self.world_size == 1:
            return batches
        if self.seed is not None:
            return equal_part(batches, self.rank, self.world_size)
        # With too few for all, all do the same: an average does not mind.
        return batches[self.rank :: self.world_size] if len(batches) >= self.world_size else batches

    def __len__(self) -> int:
        """Batches in epoch 0."""
        return len(self.batches(0))

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of epoch 0."""
        yield from self.batches(0)


class StepBatches(Sampler[list[int]]):
    """The batches of a training, one a step, epoch after epoch.

    Where a training stands is a function of the steps it took, not of the batches that were asked for: a loader with
    worker processes asks ahead.

    Args:
        epochs: gives the batches of every epoch.
        steps: of the whole training.
        first_step: steps that were already taken.
        epoch: the epoch in which the first of the batches still to come lies.
        done: batches of that epoch that were already used.
    """

    def __init__(self, epochs: Epochs, steps: int, *, first_step: int = 0, epoch: int = 0, done: int = 0) -> None:
        self.epochs = epochs
        self.steps = steps
        self.first_step = first_step
        self.epoch, self.done = epoch, done
        self.lengths: dict[int, int] = {}  # batches of the epochs given out so far

    def __len__(self) -> int:
        """Steps of the whole training, those already taken among them."""
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        """One batch for every step still to come."""
        left = self.steps - self.first_step
        epoch, done = self.epoch, self.done
        while left > 0:
            batches = self.epochs.batches(epoch)
            self.lengths[epoch] = len(batches)
            for batch in batches[done : done + left]:
                left -= 1
                yield batch
            epoch, done = epoch + 1, 0

    def position(self, step: int) -> tuple[int, int]:
        """Epoch, and batches of it that are used up, after so many steps of the training."""
        epoch, done = self.epoch, self.done + step - self.first_step
        while epoch in self.lengths and done >= self.lengths[epoch]:
            done -= self.lengths[epoch]
            epoch += 1
        return epoch, done
