"""A batch of atomic systems as tensors: what every model of tribond reads."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from tribond.typing import (
    AngleEdges,
    AtomicNumbers,
    Cells,
    CellShifts,
    EdgeIndex,
    EdgeVectors,
    PeriodicAxes,
    Positions,
    SystemIndex,
)


@dataclass(frozen=True, eq=False)
class AtomGraph:
    """Atoms, cells and bonds of one or many systems, concatenated; bonds are sorted by their centre atom.

    Positions and cells are float64 whatever the precision of the model, so that a bond across a large cell loses no
    digits; the model rounds the bond vectors, not the positions. Nothing here is ever modified in place.
    """

    positions: Positions  # (atoms, 3) float64 | Å, as given: atoms may lie outside the cell
    atomic_numbers: AtomicNumbers  # (atoms,) int64
    system_index: SystemIndex  # (atoms,) int64 | the system an atom belongs to, ascending
    cell: Cells  # (systems, 3, 3) float64 | Å, rows are a, b, c; zero rows where there is no lattice vector
    pbc: PeriodicAxes  # (systems, 3) bool | periodic along a, b, c
    edge_index: EdgeIndex  # (2, edges) int64 | row 0: centre i (ascending), row 1: neighbour j
    cell_shifts: CellShifts  # (edges, 3) float64 | whole cells between i and the image of j (ASE's S)
    angle_edges: AngleEdges  # (angle_edges,) int64 | the bonds shorter than the three-body cutoff, ascending
    state: Tensor | None = None  # (systems, state) float64, or (systems,) int64 for categories | the input u

    @property
    def num_systems(self) -> int:
        """Systems in the batch."""
        return self.cell.shape[0]

    @property
    def num_atoms(self) -> int:
        """Atoms of all systems together."""
        return self.positions.shape[0]

    @property
    def num_edges(self) -> int:
        """Directed bonds of all systems together: i to j and j to i are two."""
        return self.edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.positions.device

    def edge_vectors(self) -> EdgeVectors:
        """Vectors r_j + S·cell - r_i of all bonds.  (edges, 3), Å, float64."""
        centre, neighbour = self.edge_index
        if self.num_systems == 1:  # no copy of the cell for every bond
            shift = self.cell_shifts @ self.cell[0]
        else:
            shift = torch.einsum("ea,eax->ex", self.cell_shifts, self.cell[self.system_index[centre]])
        vectors = self.positions.index_select(0, neighbour)
        vectors -= self.positions.index_select(0, centre)
        vectors += shift
        return vectors

    def volumes(self) -> Tensor:
        """Cell volumes; left-handed cells count positive, systems that are not fully periodic give NaN. (systems,), Å³."""
        a, b, c = self.cell.unbind(1)
        volume = (torch.linalg.cross(a, b) * c).sum(1).abs()
        return torch.where(self.pbc.all(dim=1), volume, torch.nan)

    def atoms_per_system(self) -> Tensor:
        """Number of atoms of every system.  (systems,) int64."""
        return torch.zeros_like(self.cell[:, 0, 0], dtype=torch.long).index_add(
            0, self.system_index, torch.ones_like(self.system_index)
        )

    def to(self, device: torch.device | str) -> "AtomGraph":
        """The same batch on another device; itself where it lies there already."""
        if self.device == torch.device(device):
            return self
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: None if value is None else value.to(device) for name, value in tensors.items()}
        return replace(self, **moved)

    @staticmethod
    def batch(graphs: Sequence["AtomGraph"]) -> "AtomGraph":
        """Concatenate graphs into one; the order of systems, atoms and bonds is kept. One graph is a batch already.

        Raises:
            ValueError: if `graphs` is empty, or only some of them carry a state.
        """
        if not graphs:
            msg = "cannot batch zero graphs"
            raise ValueError(msg)
        if len(graphs) == 1:
            return graphs[0]
        with_state = [graph.state for graph in graphs if graph.state is not None]
        if with_state and len(with_state) < len(graphs):
            msg = f"{len(graphs) - len(with_state)} of {len(graphs)} systems have no state input; give all or none"
            raise ValueError(msg)
        atoms, systems = [graph.num_atoms for graph in graphs], [graph.num_systems for graph in graphs]
        edges, angles = [graph.num_edges for graph in graphs], [len(graph.angle_edges) for graph in graphs]
        device = graphs[0].device
        return AtomGraph(
            positions=torch.cat([graph.positions for graph in graphs]),
            atomic_numbers=torch.cat([graph.atomic_numbers for graph in graphs]),
            system_index=torch.cat([graph.system_index for graph in graphs]) + _offsets(systems, atoms, device),
            cell=torch.cat([graph.cell for graph in graphs]),
            pbc=torch.cat([graph.pbc for graph in graphs]),
            edge_index=torch.cat([graph.edge_index for graph in graphs], dim=1) + _offsets(atoms, edges, device),
            cell_shifts=torch.cat([graph.cell_shifts for graph in graphs]),
            angle_edges=torch.cat([graph.angle_edges for graph in graphs]) + _offsets(edges, angles, device),
            state=torch.cat(with_state) if with_state else None,
        )

    def split(self) -> list["AtomGraph"]:
        """The single systems, in order: the inverse of `batch`."""
        atoms = self.atoms_per_system().tolist()
        system_of_edge = self.system_index[self.edge_index[0]]
        edges = torch.bincount(system_of_edge, minlength=self.num_systems).tolist()
        angles = torch.bincount(system_of_edge[self.angle_edges], minlength=self.num_systems).tolist()
        graphs, atom, edge, angle = [], 0, 0, 0
        for system in range(self.num_systems):
            of_atom = slice(atom, atom + atoms[system])
            of_edge = slice(edge, edge + edges[system])
            of_angle = slice(angle, angle + angles[system])
            graphs.append(
                AtomGraph(
                    positions=self.positions[of_atom],
                    atomic_numbers=self.atomic_numbers[of_atom],
                    system_index=self.system_index[of_atom] - system,
                    cell=self.cell[system : system + 1],
                    pbc=self.pbc[system : system + 1],
                    edge_index=self.edge_index[:, of_edge] - atom,
                    cell_shifts=self.cell_shifts[of_edge],
                    angle_edges=self.angle_edges[of_angle] - edge,
                    state=None if self.state is None else self.state[system : system + 1],
                )
            )
            atom, edge, angle = of_atom.stop, of_edge.stop, of_angle.stop
        return graphs


def _offsets(sizes: Sequence[int], repeats: Sequence[int], device: torch.device) -> Tensor:
    """Where each part starts when parts of these sizes are laid end to end, once for each of its own `repeats`."""
    starts = torch.tensor([0, *accumulate(sizes[:-1])], device=device)
    return starts.repeat_interleave(torch.tensor(repeats, device=device), output_size=sum(repeats))
