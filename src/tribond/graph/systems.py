"""Batches of systems as tensors, and the graphs of them, without a structure object for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.bonds import Bonds
from tribond.graph.checks import check_systems, name_system, refuse_clash
from tribond.graph.neighbors import bonds_within
from tribond.typing import AtomicNumbers, Cells, PeriodicAxes, Positions, SystemIndex


def graph_from_tensors(
    positions: Tensor,
    cell: Tensor,
    pbc: Tensor,
    atomic_numbers: Tensor,
    system_index: Tensor,
    *,
    cutoff: float,
    threebody_cutoff: float,
) -> AtomGraph:
    """Describe many systems by their atoms and bonds: the batch of what `atom_graph` gives for each, bit by bit.

    The search itself runs on the CPU; `tribond.graph.batch_skin.VerletBatch` keeps its result for many steps.

    Args:
        positions: (atoms, 3) Å; atoms may lie outside the cell.
        cell: (systems, 3, 3) Å, rows are a, b, c; rows of axes that are not periodic are ignored.
        pbc: (systems, 3) bool, periodic along a, b, c.
        atomic_numbers: (atoms,) whole numbers.
        system_index: (atoms,) whole numbers, the system an atom belongs to, ascending.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.

    Returns:
        The graph, on the device of the positions; copies, whatever happens to the tensors later. Systems without atoms
        and batches without systems are valid.

    Raises:
        StructureError: for tensors that do not fit together, and for what `atom_graph` refuses; it says which system.
    """
    systems = Systems.of(positions, cell, pbc, atomic_numbers, system_index)
    systems.check()
    here = (
        torch.from_numpy(systems.host_positions),
        torch.from_numpy(systems.host_cell),
        torch.from_numpy(systems.host_pbc),
    )
    bonds = []
    for system, atoms in enumerate(systems.atoms):
        try:
            bonds.append(bonds_within(here[0][atoms], here[1][system], here[2][system], cutoff, threebody_cutoff))
        except StructureError as error:
            name_system(error, system, systems.num_systems)
            raise
    return systems.graph(_joined(bonds, systems.starts))


@dataclass(frozen=True, eq=False)
class Systems:
    """Tensors of a batch that fit together, as copies that nobody else changes; and the same as arrays on the CPU."""

    positions: Positions  # (atoms, 3) float64 | Å
    cell: Cells  # (systems, 3, 3) float64 | Å
    pbc: PeriodicAxes  # (systems, 3) bool
    atomic_numbers: AtomicNumbers  # (atoms,) int64
    system_index: SystemIndex  # (atoms,) int64
    starts: NDArray[np.int64]  # (systems + 1,) | the first atom of every system, and the number of atoms

    @staticmethod
    def of(positions: Tensor, cell: Tensor, pbc: Tensor, atomic_numbers: Tensor, system_index: Tensor) -> "Systems":
        """Check shapes, kinds and devices, and copy.

        Raises:
            StructureError: for what does not fit.
        """
        atoms, systems = len(positions), len(cell)
        shapes = {
            "positions": (positions, (atoms, 3)),
            "cell": (cell, (systems, 3, 3)),
            "pbc": (pbc, (systems, 3)),
            "atomic_numbers": (atomic_numbers, (atoms,)),
            "system_index": (system_index, (atoms,)),
        }
        for name, (given, shape) in shapes.items():
            if given.shape != shape:
                msg = f"{name} of shape {tuple(given.shape)} must have {shape}: there are {atoms} positions and {systems} cells"
                raise StructureError(msg)
            if given.device != positions.device:
                msg = f"{name} lie on {given.device} and positions on {positions.device}; move them together"
                raise StructureError(msg)
            whole = not given.is_floating_point() and not given.is_complex()
            wanted = "bool" if name == "pbc" else "floats" if name in ("positions", "cell") else "whole numbers"
            if (given.dtype == torch.bool) != (wanted == "bool") or whole == (wanted == "floats"):
                msg = f"{name} must be {wanted}, not {given.dtype}"
                raise StructureError(msg)
        index = system_index.detach().to(torch.long, copy=True)
        return Systems(
            positions=positions.detach().to(torch.float64, copy=True).contiguous(),
            cell=cell.detach().to(torch.float64, copy=True).contiguous(),
            pbc=pbc.clone().contiguous(),
            atomic_numbers=atomic_numbers.to(torch.long, copy=True),
            system_index=index,
            starts=_starts(index, systems),
        )

    @property
    def num_systems(self) -> int:
        """Systems in the batch."""
        return len(self.starts) - 1

    @property
    def atoms(self) -> list[slice]:
        """The atoms of every system."""
        return [slice(start, end) for start, end in pairwise(self.starts.tolist())]

    @cached_property
    def host_positions(self) -> NDArray[np.float64]:
        """(atoms, 3) Å."""
        return self.positions.cpu().numpy()

    @cached_property
    def host_cell(self) -> NDArray[np.float64]:
        """(systems, 3, 3) Å."""
        return self.cell.cpu().numpy()

    @cached_property
    def host_pbc(self) -> NDArray[np.bool_]:
        """(systems, 3)."""
        return self.pbc.cpu().numpy()

    @cached_property
    def host_numbers(self) -> NDArray[np.int64]:
        """(atoms,)."""
        return self.atomic_numbers.cpu().numpy()

    def check(self) -> None:
        """Raise StructureError for a system that makes no sense; it says which."""
        check_systems(self.host_numbers, self.host_positions, self.host_cell, self.host_pbc, self.starts)

    def graph(self, bonds: Bonds) -> AtomGraph:
        """The graph with bonds of the whole batch.

        Raises:
            StructureError: for coinciding atoms; it says which, and in which system.
        """
        if bonds.clash is not None:
            i, j, distance = bonds.clash
            system = int(np.searchsorted(self.starts, i, side="right")) - 1
            atoms = self.atoms[system]
            try:
                refuse_clash(self.host_numbers[atoms], i - atoms.start, j - atoms.start, distance)
            except StructureError as error:
                name_system(error, system, self.num_systems)
                raise
        return AtomGraph(
            positions=self.positions,
            atomic_numbers=self.atomic_numbers,
            system_index=self.system_index,
            cell=self.cell,
            pbc=self.pbc,
            edge_index=bonds.edge_index.to(self.positions.device),
            cell_shifts=bonds.cell_shifts.to(self.positions.device),
            angle_edges=bonds.angle_edges.to(self.positions.device),
        )


def _starts(system_index: SystemIndex, systems: int) -> NDArray[np.int64]:
    """The first atom of every system, and the number of atoms.  (systems + 1,).

    Raises:
        StructureError: if atoms are not sorted by system, or belong to none.
    """
    index = system_index.cpu().numpy()
    if len(index) and (index.min() < 0 or index.max() >= systems):
        outside = int(np.flatnonzero((index < 0) | (index >= systems))[0])
        msg = f"atom {outside} belongs to system {index[outside]}, and there are cells of {systems}"
        raise StructureError(msg)
    falls = np.flatnonzero(np.diff(index) < 0)
    if len(falls):
        first = int(falls[0]) + 1
        msg = (
            f"atom {first} belongs to system {index[first]} and the one before it to {index[first - 1]}: "
            "sort the atoms by system"
        )
        raise StructureError(msg)
    return np.concatenate([[0], np.bincount(index, minlength=systems).cumsum()]).astype(np.int64)


def _joined(bonds: Sequence[Bonds], starts: NDArray[np.int64]) -> Bonds:
    """Bonds of systems, each with atoms counted from 0, as those of a batch; of clashes the first."""
    if not bonds:
        none = torch.zeros(2, 0, dtype=torch.long)
        return Bonds(none, torch.zeros(0, 3, dtype=torch.float64), none[0], None)
    counts = torch.tensor([one.edge_index.shape[1] for one in bonds])
    angles = torch.tensor([len(one.angle_edges) for one in bonds])
    atoms = torch.from_numpy(starts[:-1])
    clashes = [
        (first + one.clash[0], first + one.clash[1], one.clash[2])
        for first, one in zip(starts.tolist(), bonds, strict=False)
        if one.clash is not None
    ]
    return Bonds(
        edge_index=torch.cat([one.edge_index for one in bonds], dim=1) + atoms.repeat_interleave(counts),
        cell_shifts=torch.cat([one.cell_shifts for one in bonds]),
        angle_edges=torch.cat([one.angle_edges for one in bonds])
        + (counts.cumsum(0) - counts).repeat_interleave(angles),
        clash=clashes[0] if clashes else None,
    )
