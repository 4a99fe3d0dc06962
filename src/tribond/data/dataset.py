"""Frames as graphs with labels, built on the fly."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tribond.data.frames import Frame
from tribond.data.joined_frames import frame_set
from tribond.errors import DataError, StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.graph.checks import check_cell
from tribond.graph.neighbors import bonds_within
from tribond.nn.config import M3GNetConfig

TENSORS = ("energy", "forces", "stress", "source")


@dataclass(frozen=True, eq=False)
class LabeledGraph:
    """A batch of systems with what is known about them; NaN marks a label that is missing."""

    graph: AtomGraph
    energy: Tensor  # (systems,) eV, on the zero of the model's reference energies
    forces: Tensor  # (atoms, 3) eV/Å
    stress: Tensor  # (systems, 3, 3) eV/Å³
    source: Tensor  # (systems,) int64 | which set it belongs to, for weights and for errors of each

    @classmethod
    def batch(cls, parts: Sequence["LabeledGraph"]) -> Self:
        """Concatenate; of nothing, a batch of no systems: what a process computes that has no part in a step."""
        if not parts:
            return cls._empty()
        labels = {name: torch.cat([getattr(part, name) for part in parts]) for name in TENSORS}
        return cls(graph=AtomGraph.batch([part.graph for part in parts]), **labels)

    @classmethod
    def _empty(cls) -> Self:
        real, whole = torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
        graph = AtomGraph(
            positions=real.reshape(0, 3),
            atomic_numbers=whole,
            system_index=whole,
            cell=real.reshape(0, 3, 3),
            pbc=torch.zeros(0, 3, dtype=torch.bool),
            edge_index=whole.reshape(2, 0),
            cell_shifts=real.reshape(0, 3),
            angle_edges=whole,
        )
        return cls(graph, energy=real, forces=real.reshape(0, 3), stress=real.reshape(0, 3, 3), source=whole)

    def to(self, device: torch.device | str, *_: Any, **__: Any) -> Self:
        """The same on another device."""
        labels = {name: getattr(self, name).to(device) for name in TENSORS}
        return type(self)(graph=self.graph.to(device), **labels)


class FrameDataset(Dataset[LabeledGraph]):
    """Frames as labelled graphs. The graph is built when it is asked for: it is far larger than the frame.

    Args:
        frames: labelled structures.
        config: gives cutoffs and elements.
        energy_shift: (sources, elements) eV, added per atom to bring the energies of every source onto one zero.
        sets: (frames,) what `LabeledGraph.source` will say; the frame's own source if left out.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        config: M3GNetConfig,
        energy_shift: NDArray[np.float64],
        sets: NDArray[np.int64] | None = None,
    ) -> None:
        self.frames = frame_set(frames)
        self.sets = self.frames.sources if sets is None else sets
        self.config = config
        self.shift_of_number = np.zeros((len(energy_shift), 119))
        self.shift_of_number[:, list(config.atomic_numbers)] = energy_shift
        self.known = np.zeros(256, dtype=bool)  # (numbers,) elements of the model
        self.known[list(config.atomic_numbers)] = True

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def __getitem__(self, index: int) -> LabeledGraph:
        """One frame as a batch of one.

        Raises:
            DataError: if the structure cannot be used; names file and index.
        """
        frame = self.frames[index]
        graph = self._graph(frame.atoms, index)
        missing = torch.tensor(torch.nan, dtype=torch.float64)
        shift = self.shift_of_number[frame.source, frame.atoms.numbers].sum()
        return LabeledGraph(
            graph=graph,
            energy=(missing if frame.energy is None else torch.tensor(frame.energy + shift, dtype=torch.float64))[None],
            forces=missing.expand(graph.num_atoms, 3) if frame.forces is None else torch.from_numpy(frame.forces),
            stress=missing.expand(1, 3, 3) if frame.stress is None else torch.from_numpy(frame.stress)[None],
            source=torch.tensor([int(self.sets[index])]),
        )

    def _graph(self, atoms: Atoms, index: int) -> AtomGraph:
        try:
            self.config.check_elements(atoms.numbers.tolist())
            return atom_graph(atoms, self.config.cutoff, self.config.threebody_cutoff)
        except StructureError as error:
            msg = f"{self.frames.origin(index)}: {error}"
            raise DataError(msg) from error


def count_edges(dataset: FrameDataset, indices: Iterable[int]) -> NDArray[np.int64]:
    """Bonds of the frames, which costs one search for neighbours each.

    Raises:
        DataError: if a structure cannot be used; names file and index.
    """
    config = dataset.config
    counts = []
    for index in indices:
        numbers, *given = dataset.frames.structure(index)
        if _is_plain(dataset, numbers, *given):
            positions, cell, pbc = (torch.from_numpy(np.ascontiguousarray(array)) for array in given)
            bonds = bonds_within(positions, cell, pbc, config.cutoff, config.threebody_cutoff)
            if bonds.clash is None:
                counts.append(bonds.edge_index.shape[1])
                continue
        counts.append(dataset[index].graph.num_edges)  # all checks, and words for what is wrong
    return np.array(counts, dtype=np.int64)


def _is_plain(
    dataset: FrameDataset,
    numbers: NDArray[Any],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
) -> bool:
    """Whether the checks before a search are passed: a structure that is not plain may still be fine."""
    if not dataset.known[numbers].all() or not np.isfinite(positions).all() or not np.isfinite(cell).all():
        return False
    try:
        check_cell(cell, pbc)
    except StructureError:
        return False
    return True
