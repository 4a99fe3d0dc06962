"""Energy, forces and virial of one system as a pure function of tensors, which tracers and compilers can follow."""

import torch
from torch import Tensor, nn

from tribond.backends.bond_sums import sum_forces
from tribond.graph.atom_graph import AtomGraph
from tribond.nn.m3gnet import M3GNet

PADDING = 2  # tracers take sizes of 0 and 1 for special cases; with so many more, no size is one


def energy_and_gradient(
    model: M3GNet, vectors: Tensor, atomic_numbers: Tensor, edge_index: Tensor, angle_edges: Tensor, owned: Tensor
) -> tuple[Tensor, Tensor]:
    """Energy of every atom, and the derivative of their sum by every bond vector.

    There is no branch and no loop that depends on a value or on a number of atoms or bonds: `torch.compile` with
    `dynamic=True, fullgraph=True` takes it as it is, and so does `make_fx`. It is not for second derivatives.

    Args:
        model: an M3GNet with an extensive readout and no state input.
        vectors: (edges, 3) Å.
        atomic_numbers: (atoms,) int64, of elements that the model knows.
        edge_index: (2, edges) int64, the centre i and the neighbour j of every bond.
        angle_edges: (angle_edges,) int64, the bonds within the three-body cutoff.
        owned: (atoms,) bool, atoms whose energy counts; that of the others is zero.

    Returns:
        (atoms,) eV, float64, and (edges, 3) eV/Å.
    """

    def energy(vectors: Tensor) -> tuple[Tensor, Tensor]:
        graph = _graph(vectors, atomic_numbers, edge_index, angle_edges)
        atomic_energies = torch.where(owned, model.atomic_energies(vectors, graph), 0.0)
        return atomic_energies.sum(), atomic_energies

    gradient, atomic_energies = torch.func.grad(energy, has_aux=True)(vectors)
    return atomic_energies, gradient


class OneSystem(nn.Module):
    """What a package computes: `forward` is its contract, which docs/export.md describes for users.

    Args:
        model: an M3GNet with an extensive readout and no state input.
    """

    def __init__(self, model: M3GNet) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        positions: Tensor,
        atomic_numbers: Tensor,
        owned: Tensor,
        edge_index: Tensor,
        shift_vectors: Tensor,
        angle_edges: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Energy, forces and virial of one system.

        Args:
            positions: (atoms, 3) Å, float64.
            atomic_numbers: (atoms,) int64.
            owned: (atoms,) bool, False for ghosts: their energy does not count, but they feel forces.
            edge_index: (2, edges) int64, centre i and neighbour j of every bond shorter than the cutoff, in any order.
            shift_vectors: (edges, 3) Å, float64, what is added to r_j - r_i: S·cell, zero where j is not an image.
            angle_edges: (angle_edges,) int64, the bonds shorter than the three-body cutoff.

        Returns:
            Energy () eV, energies of all atoms (atoms,) eV, forces (atoms, 3) eV/Å and virial dE/dε (3, 3) eV, all of
            them float64, and NaN if one of the atoms is of an element that the model does not know.
        """
        num_atoms, num_edges = positions.shape[0], edge_index.shape[1]
        centre, neighbour = edge_index
        vectors = positions[neighbour] - positions[centre] + shift_vectors
        some_element = self.model.config.atomic_numbers[0]
        known = self._knows(atomic_numbers)
        # A bond of a padded atom with itself, which is nobody's neighbour else, and whose energy does not count.
        atomic_energies, gradient = energy_and_gradient(
            self.model,
            torch.cat([vectors, vectors.new_ones(PADDING, 3)]),
            torch.cat(
                [torch.where(known, atomic_numbers, some_element), atomic_numbers.new_full((PADDING,), some_element)]
            ),
            torch.cat([edge_index, edge_index.new_full((2, PADDING), num_atoms)], dim=1),
            torch.cat([angle_edges, angle_edges.new_full((PADDING,), num_edges)]),
            torch.cat([owned, owned.new_zeros(PADDING)]),
        )
        atomic_energies, gradient = atomic_energies[:num_atoms], gradient[:num_edges]
        forces = sum_forces(gradient, edge_index, torch.zeros_like(positions))
        virial = vectors.T @ gradient
        doubt = torch.where(known.all(), 0.0, torch.nan).to(positions.dtype)
        energy = atomic_energies.sum() + self.model.reference_energy.offset
        return energy + doubt, atomic_energies + doubt, forces + doubt, (virial + virial.T) / 2 + doubt

    def _knows(self, atomic_numbers: Tensor) -> Tensor:
        """Whether the model has an embedding for each atom.  (atoms,) any whole numbers -> (atoms,) bool."""
        rows = self.model.row_of_element
        possible = (atomic_numbers >= 0) & (atomic_numbers < rows.shape[0])
        return rows[torch.where(possible, atomic_numbers, 0)] >= 0


def _graph(vectors: Tensor, atomic_numbers: Tensor, edge_index: Tensor, angle_edges: Tensor) -> AtomGraph:
    """A graph with what the network reads: elements and bonds. Positions and cells are zeros, and never looked at."""
    num_atoms = atomic_numbers.shape[0]
    return AtomGraph(
        positions=vectors.new_zeros(num_atoms, 3),
        atomic_numbers=atomic_numbers,
        system_index=torch.zeros_like(atomic_numbers),
        cell=vectors.new_zeros(1, 3, 3),
        pbc=torch.zeros(1, 3, dtype=torch.bool, device=vectors.device),
        edge_index=edge_index,
        cell_shifts=torch.zeros_like(vectors),
        angle_edges=angle_edges,
    )
