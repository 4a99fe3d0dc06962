"""Frames as graphs with labels, built on the fly, and batched by the number of bonds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from tribond.data.frames import Frame
from tribond.errors import DataError, StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.nn.config import M3GNetConfig


@dataclass(frozen=True, eq=False)
class LabeledGraph:
    """A batch of systems with what is known about them; NaN marks a label that is missing."""

    graph: AtomGraph
    energy: Tensor  # (systems,) eV, on the zero of the model's reference energies
    forces: Tensor  # (atoms, 3) eV/Å
    stress: Tensor  # (systems, 3, 3) eV/Å³

    @classmethod
    def batch(cls, parts: Sequence["LabeledGraph"]) -> Self:
        """Concatenate."""
        labels = {name: torch.cat([getattr(part, name) for part in parts]) for name in ("energy", "forces", "stress")}
        return cls(graph=AtomGraph.batch([part.graph for part in parts]), **labels)

    def to(self, device: torch.device | str, *_: Any, **__: Any) -> Self:
        """The same on another device."""
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class FrameDataset(Dataset[LabeledGraph]):
    """Frames as labelled graphs. The graph is built when it is asked for: it is far larger than the frame.

    Args:
        frames: labelled structures.
        config: gives cutoffs and elements.
        energy_shift: (sources, elements) eV, added per atom to bring the energies of every source onto one zero.
    """

    def __init__(self, frames: Sequence[Frame], config: M3GNetConfig, energy_shift: NDArray[np.float64]) -> None:
        self.frames = list(frames)
        self.config = config
        self.shift_of_number = np.zeros((len(energy_shift), 119))
        self.shift_of_number[:, list(config.atomic_numbers)] = energy_shift

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def __getitem__(self, index: int) -> LabeledGraph:
        """One frame as a batch of one.

        Raises:
            DataError: if the structure cannot be used; names file and index.
        """
        frame = self.frames[index]
        try:
            self.config.check_elements(frame.atoms.numbers.tolist())
            graph = atom_graph(frame.atoms, self.config.cutoff, self.config.threebody_cutoff)
        except StructureError as error:
            msg = f"{frame.origin}: {error}"
            raise DataError(msg) from error
        missing = torch.tensor(torch.nan, dtype=torch.float64)
        shift = self.shift_of_number[frame.source, frame.atoms.numbers].sum()
        return LabeledGraph(
            graph=graph,
            energy=(missing if frame.energy is None else torch.tensor(frame.energy + shift, dtype=torch.float64))[None],
            forces=missing.expand(graph.num_atoms, 3) if frame.forces is None else torch.from_numpy(frame.forces),
            stress=missing.expand(1, 3, 3) if frame.stress is None else torch.from_numpy(frame.stress)[None],
        )


class EdgeBudgetBatches(Sampler[list[int]]):
    """Batches of at most so many bonds, in an order that depends on seed and epoch alone.

    An interrupted epoch goes on where it stopped (`state_dict`, `load_state_dict`), and with several processes each
    takes its own batches, equally many.

    Args:
        num_edges: (frames,) bonds of every frame.
        edge_budget: most bonds in a batch; a frame with more is a batch of its own.
        seed: of the order; None keeps the order of the frames, for validation.
        repeats: (frames,) how often a frame comes an epoch; 0.5 means every other epoch.
        rank: number of this process.
        world_size: how many processes there are.
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
        self.epoch = 0
        self.done = 0  # batches of this epoch already given out

    def batches(self, epoch: int) -> list[list[int]]:
        """All batches of this process in an epoch."""
        order = np.arange(len(self.num_edges))
        if self.seed is not None:
            random = np.random.default_rng([self.seed, epoch])
            counts = np.floor(self.repeats + random.random(len(order))).astype(int)
            order = random.permutation(np.repeat(order, counts))
        batches: list[list[int]] = []
        edges = self.edge_budget + 1
        for index in order.tolist():
            if edges + self.num_edges[index] > self.edge_budget:
                batches.append([])
                edges = 0
            batches[-1].append(index)
            edges += int(self.num_edges[index])
        if self.world_size > 1:  # all processes must take equally many steps, or the others wait for ever
            batches = batches[: len(batches) // self.world_size * self.world_size][self.rank :: self.world_size]
        return batches

    def __len__(self) -> int:
        """Batches in the present epoch."""
        return len(self.batches(self.epoch))

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the present epoch that are still to come; afterwards the next epoch begins."""
        for batch in self.batches(self.epoch)[self.done :]:
            self.done += 1
            yield batch
        if self.seed is not None:
            self.epoch += 1
        self.done = 0


def count_edges(dataset: FrameDataset, indices: Iterable[int]) -> NDArray[np.int64]:
    """Bonds of the frames, which costs one neighbour list each."""
    return np.array([dataset[index].graph.num_edges for index in indices], dtype=np.int64)
