"""Batches in which every source has its share, in every stretch of them, whatever its size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import RLock

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from tribond.data.sampler import StepBatches, packed
from tribond.errors import DataError

PASS, PHASE = 1, 2  # keep random numbers for different purposes apart


def shares_of(
    sizes: NDArray[np.int64], shares: Sequence[float | None], repeats: Sequence[float], names: Sequence[str]
) -> NDArray[np.float64]:
    """The part that every source has of the structures seen.  (sources,), together 1.

    Args:
        sizes: (sources,) structures of each.
        shares: (sources,) the share of each; None for those that divide the rest by size times `repeats`.
        repeats: (sources,)
        names: (sources,) for messages.

    Raises:
        DataError: if a source is to have a share but has no structures.
    """
    fixed = np.array([share or 0.0 for share in shares])
    for name, size, share in zip(names, sizes, fixed, strict=True):
        if share > 0 and not size:
            msg = f"source {name} is to have a share of {share:g}, but has no structures to train on"
            raise DataError(msg)
    free = np.array([share is None for share in shares])
    work = np.where(free, sizes * np.array(repeats), 0.0)
    if not work.any():
        if fixed.sum() < 1 - 1e-6:
            msg = "the sources without a share have no structures to train on"
            raise DataError(msg)
        return fixed / fixed.sum()
    return fixed + (1 - fixed.sum()) * work / work.sum()


class MixedBatches:
    """Epochs of as many structures as there are, in which the sources alternate as their shares say.

    A source is gone through again and again, each time in another random order: its structures are seen equally
    often. In any stretch of n structures a source of share s has n·s, give or take one or two. Everything is a
    function of the seed, of the epoch, and of what was drawn before.

    Args:
        num_edges: (frames,) bonds of every frame.
        edge_budget: most bonds in a batch; a frame with more is a batch of its own.
        seed: of the orders.
        sources: (frames,) the source of every frame.
        shares: (sources,) together 1, from `shares_of`.
        drawn: (sources,) how many structures of each were drawn before epoch 0; none if left out.
    """

    def __init__(
        self,
        num_edges: NDArray[np.int64],
        edge_budget: int,
        *,
        seed: int,
        sources: NDArray[np.int64],
        shares: NDArray[np.float64],
        drawn: Sequence[int] = (),
    ) -> None:
        self.num_edges, self.edge_budget, self.seed = num_edges, edge_budget, seed
        self.shares, self.sources = shares, sources
        self.members = [np.flatnonzero(sources == number) for number in range(len(shares))]
        self.length = sum(len(frames) for frames, share in zip(self.members, shares, strict=True) if share > 0)
        self.drawn = tuple(drawn) or (0,) * len(shares)
        self.phases = np.random.default_rng([seed, PHASE]).random(len(shares))

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch."""
        return packed(self.order(epoch), self.num_edges, self.edge_budget)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The frames of an epoch, in order.

        Source s has drawn floor(t·share + phase) structures at time t; an epoch is a stretch of time, in which about
        one structure a unit is drawn.
        """
        begin, end = self._drawn_at(epoch), self._drawn_at(epoch + 1)
        frames, times = [], []
        for source in np.flatnonzero(self.shares > 0).tolist():
            draws = np.arange(begin[source], end[source])
            frames.append(self._frames(source, self.drawn[source] + draws))
            times.append((draws + 1 - self.phases[source]) / self.shares[source])
        return np.concatenate(frames)[np.argsort(np.concatenate(times), kind="stable")]

    def drawn_after(self, epoch: int, done: int) -> tuple[int, ...]:
        """(sources,) how many structures of each were drawn when so many batches of an epoch are done.

        Args:
            epoch: which.
            done: how many.
        """
        whole = packed(self.order(epoch), self.num_edges, self.edge_budget) if done else []
        part = [index for batch in whole[:done] for index in batch]
        seen = np.bincount(self.sources[part], minlength=len(self.shares)) if part else np.zeros(len(self.shares), int)
        return tuple((np.array(self.drawn) + self._drawn_at(epoch) + seen).tolist())

    def _drawn_at(self, epoch: int) -> NDArray[np.int64]:
        drawn = np.floor(epoch * self.length * self.shares + self.phases).astype(np.int64)
        return np.where(self.shares > 0, drawn, 0)

    def _frames(self, source: int, draws: NDArray[np.int64]) -> NDArray[np.int64]:
        """The frames of the draws, which are consecutive, counted from the beginning of the training."""
        members = self.members[source]
        passes, places = np.divmod(draws, len(members))
        frames = np.empty(len(draws), dtype=np.int64)
        for number in np.unique(passes):
            order = np.random.default_rng([self.seed, PASS, source, number]).permutation(members)
            frames[passes == number] = order[places[passes == number]]
        return frames


@dataclass(frozen=True)
class Position:
    """Where a training stands in its batches."""

    stage: int = 0
    epoch: int = 0  # of the stage
    done: int = 0  # batches of the epoch that are used up
    drawn: tuple[int, ...] = ()  # (sources,) structures drawn before the stage; empty: none


class StagedBatches(Sampler[list[int]]):
    """The batches of a training in stages, one a step. Each goes on in every source where the last has stopped.

    Args:
        make: the batches of a stage, given its number and what was drawn of every source before.
        ends: steps up to the end of every stage.
        first_step: steps that were already taken.
        position: where that is.
    """

    def __init__(
        self,
        make: Callable[[int, tuple[int, ...]], MixedBatches],
        ends: Sequence[int],
        *,
        first_step: int = 0,
        position: Position | None = None,
    ) -> None:
        self.make, self.ends, self.first_step = make, list(ends), first_step
        self.start = Position() if position is None else position
        self.mixtures: dict[int, MixedBatches] = {}
        self.stages: dict[int, StepBatches] = {}
        self.lock = RLock()
        self._begin(self.start.stage, self.start)

    def __len__(self) -> int:
        """Steps of the whole training, those already taken among them."""
        return self.ends[-1]

    def __iter__(self) -> Iterator[list[int]]:
        """One batch for every step still to come."""
        for stage in range(self.start.stage, len(self.ends)):
            yield from self._stage(stage)

    def position(self, step: int) -> Position:
        """Where the training stands after so many steps; at the border of two stages, in the second."""
        stage = min(int(np.searchsorted(self.ends, step, side="right")), len(self.ends) - 1)
        epoch, done = self._stage(stage).position(step)
        return Position(stage, epoch, done, self.mixtures[stage].drawn)

    def _stage(self, stage: int) -> StepBatches:
        """A stage, whose predecessor has given out all its batches.

        It is made once, though one thread may ask for the next batch while another asks where the training stands.
        """
        with self.lock:
            if stage not in self.stages:
                before = self._stage(stage - 1).position(self.ends[stage - 1])
                drawn = self.mixtures[stage - 1].drawn_after(*before)
                self._begin(stage, Position(stage, drawn=drawn))
            return self.stages[stage]

    def _begin(self, stage: int, position: Position) -> None:
        self.mixtures[stage] = self.make(stage, position.drawn)
        first = max(self.first_step, self.ends[stage - 1] if stage else 0)
        self.stages[stage] = StepBatches(
            self.mixtures[stage], self.ends[stage], first_step=first, epoch=position.epoch, done=position.done
        )
