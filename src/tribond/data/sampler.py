"""Batches of about equal work, and where a training stands in them."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


class Epochs(Protocol):
    """Batches of every epoch, in training."""

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch."""


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


def part_of(batch: list[int], num_edges: NDArray[np.int64], rank: int, world_size: int) -> list[int]:
    """What one of several processes takes of a batch: together they take every frame once, with about equal work.

    The largest frames go first, each to the process that has least to do. The part is empty if there are too few.
    """
    if world_size == 1:
        return batch
    work = num_edges[batch] + 1  # an isolated atom is work, too
    loads, owner = [0] * world_size, [0] * len(batch)
    for place in np.argsort(-work, kind="stable").tolist():
        owner[place] = loads.index(min(loads))
        loads[owner[place]] += int(work[place])
    return [index for index, process in zip(batch, owner, strict=True) if process == rank]


class PartsOfBatches(Sampler[list[int]]):
    """The part that one of several processes takes of each batch.

    A step is the same step however many processes share it, and all of them take equally many: one that ran out of
    batches would leave the others waiting.

    Args:
        batches: for all processes together.
        num_edges: (frames,) bonds of every frame.
        rank: number of this process.
        world_size: how many processes there are.
    """

    def __init__(self, batches: Sampler[list[int]], num_edges: NDArray[np.int64], rank: int, world_size: int) -> None:
        self.whole, self.num_edges, self.rank, self.world_size = batches, num_edges, rank, world_size

    def __len__(self) -> int:
        """As many as there are batches."""
        return len(self.whole)  # type: ignore[arg-type] # those of this package have a length

    def __iter__(self) -> Iterator[list[int]]:
        """Part by part; some may be empty."""
        for batch in self.whole:
            yield part_of(batch, self.num_edges, self.rank, self.world_size)


class EdgeBudgetBatches(Sampler[list[int]]):
    """Batches of at most so many bonds, in an order that depends on seed and epoch alone.

    Iterating gives epoch 0: one pass, for validation. `StepBatches` goes on from epoch to epoch, for training.

    Args:
        num_edges: (frames,) bonds of every frame.
        edge_budget: most bonds in a batch; a frame with more is a batch of its own.
        seed: of the order; None keeps the order of the frames, for validation.
        repeats: (frames,) how often a frame comes an epoch; 0.5 means every other epoch.
    """

    def __init__(
        self,
        num_edges: NDArray[np.int64],
        edge_budget: int,
        *,
        seed: int | None,
        repeats: NDArray[np.float64] | None = None,
    ) -> None:
        self.num_edges = num_edges
        self.edge_budget = edge_budget
        self.seed = seed
        self.repeats = np.ones(len(num_edges)) if repeats is None else repeats

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch."""
        order = np.arange(len(self.num_edges))
        if self.seed is not None:
            random = np.random.default_rng([self.seed, epoch])
            counts = np.floor(self.repeats + random.random(len(order))).astype(int)
            order = random.permutation(np.repeat(order, counts))
        return packed(order, self.num_edges, self.edge_budget)

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
