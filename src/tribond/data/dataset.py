"""Frames as graphs with labels, built on the fly."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

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
        labels = {name: getattr(self, name).to(device) for name in ("energy", "forces", "stress")}
        return type(self)(graph=self.graph.to(device), **labels)


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


def count_edges(dataset: FrameDataset, indices: Iterable[int]) -> NDArray[np.int64]:
    """Bonds of the frames, which costs one neighbour list each."""
    return np.array([dataset[index].graph.num_edges for index in indices], dtype=np.int64)
