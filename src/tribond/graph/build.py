"""From ASE and pymatgen structures to AtomGraph, with the checks that turn bad input into clear errors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import StructureError, UnknownElementError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.bonds import Bonds
from tribond.graph.checks import check_system, refuse_clash
from tribond.graph.elements import check_elements
from tribond.graph.neighbors import bonds_within
from tribond.reading.occupancy import is_full, refuse_partial_occupancy
from tribond.typing import Positions

if TYPE_CHECKING:
    from pymatgen.core import Molecule, Structure

    AnyStructure: TypeAlias = Atoms | Structure | Molecule


def atom_graph(structure: "AnyStructure", cutoff: float, threebody_cutoff: float) -> AtomGraph:
    """Describe one structure by its atoms and bonds.

    Args:
        structure: ASE Atoms, or a pymatgen Structure or Molecule; only read.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.

    Returns:
        The graph of one system; bonds are sorted by centre, then neighbour, then shift. No bonds, no angles and no
        atoms are all valid.

    Raises:
        StructureError: for positions or cells that are not finite or far too large, periodic axes without volume, or
            coinciding atoms.
    """
    atoms = as_atoms(structure)
    check_atoms(atoms)
    parts, positions = Parts.of(atoms), torch.from_numpy(positions_of(atoms).copy())
    bonds = bonds_within(positions, parts.cell[0], parts.pbc[0], cutoff, threebody_cutoff)
    return graph_of(atoms, parts, positions, bonds)


@dataclass(frozen=True)
class Parts:
    """What stays the same while only positions change."""

    atomic_numbers: Tensor  # (atoms,) int64
    system_index: Tensor  # (atoms,) int64, zeros
    cell: Tensor  # (1, 3, 3) float64, Å
    pbc: Tensor  # (1, 3) bool

    @staticmethod
    def of(atoms: Atoms, device: torch.device | str = "cpu") -> "Parts":
        """Copies: a later change of the atoms does not reach them."""
        return Parts(
            atomic_numbers=torch.from_numpy(atoms.numbers.astype(np.int64)).to(device),
            system_index=torch.zeros(len(atoms), dtype=torch.long, device=device),
            cell=torch.from_numpy(cell_of(atoms).copy()[None]).to(device),
            pbc=torch.from_numpy(atoms.pbc.copy()[None]).to(device),
        )

    def in_cell(self, cell: NDArray[np.float64]) -> "Parts":
        """The same in another cell, (3, 3) Å."""
        return replace(self, cell=torch.from_numpy(cell.copy()[None]).to(self.cell.device))


def graph_of(atoms: Atoms, parts: Parts, positions: Positions, bonds: Bonds) -> AtomGraph:
    """The graph of checked atoms.

    Args:
        atoms: checked by `check_atoms`; only read.
        parts: of these atoms.
        positions: (atoms, 3) float64 Å, theirs.
        bonds: theirs.

    Raises:
        StructureError: for coinciding atoms.
    """
    if bonds.clash is not None:
        refuse_clash(atoms.numbers, *bonds.clash)
    return AtomGraph(
        positions=positions,
        atomic_numbers=parts.atomic_numbers,
        system_index=parts.system_index,
        cell=parts.cell,
        pbc=parts.pbc,
        edge_index=bonds.edge_index,
        cell_shifts=bonds.cell_shifts,
        angle_edges=bonds.angle_edges,
    )


def positions_of(atoms: Atoms) -> NDArray[np.float64]:
    """(atoms, 3) Å; the array of the atoms, not a copy."""
    return np.asarray(atoms.positions, dtype=np.float64)


def cell_of(atoms: Atoms) -> NDArray[np.float64]:
    """(3, 3) Å; the array of the atoms, not a copy."""
    return np.asarray(atoms.cell.array, dtype=np.float64)


def as_atoms(structure: "AnyStructure") -> Atoms:
    """The structure as ASE Atoms; Atoms come back as they are.

    Raises:
        StructureError: if it is neither ASE's nor pymatgen's, or has partly occupied sites.
    """
    if isinstance(structure, Atoms):
        refuse_partial_occupancy(structure)
        return structure
    if not all(hasattr(structure, name) for name in ("is_ordered", "cart_coords")):
        msg = f"a structure must be ase.Atoms or a pymatgen Structure or Molecule, not {type(structure).__name__}"
        raise StructureError(msg)
    if not structure.is_ordered and not all(
        is_full(site.species.num_atoms) and len(site.species) == 1 for site in structure
    ):
        msg = f"{structure.formula} has partly occupied sites; order it first (pymatgen's OrderDisorderedStructure...)"
        raise StructureError(msg)
    dummies = [number for number, site in enumerate(structure) if not _is_element(next(iter(site.species)))]
    if dummies:
        msg = f"site {dummies[0]} holds {structure[dummies[0]].species_string}, which is no element; remove it or name its element"
        raise UnknownElementError(msg)
    numbers = [next(iter(site.species)).Z for site in structure]
    lattice: Any = getattr(structure, "lattice", None)
    if lattice is None:
        return Atoms(numbers=numbers, positions=structure.cart_coords, pbc=False)
    return Atoms(numbers=numbers, positions=structure.cart_coords, cell=lattice.matrix, pbc=lattice.pbc)


def graphs_of(
    structures: "Sequence[AnyStructure]", cutoff: float, threebody_cutoff: float, elements: Sequence[str]
) -> Iterator[AtomGraph]:
    """The graph of each structure, if its elements are known.

    Raises:
        StructureError: for a structure that makes no sense or holds another element; of several, it says which.
    """
    for index, structure in enumerate(structures):
        try:
            graph = atom_graph(structure, cutoff, threebody_cutoff)
            check_elements(graph.atomic_numbers.tolist(), elements)
        except ValueError as error:
            if len(structures) > 1:
                error.args = (f"structure {index}: {error}",)
            raise
        yield graph


def as_list(structures: "AnyStructure | Iterable[AnyStructure]") -> list["AnyStructure"]:
    """One structure or many, as a list. (ASE Atoms and pymatgen structures are iterable themselves: over atoms.)"""
    if isinstance(structures, Atoms) or hasattr(structures, "cart_coords"):
        return [structures]
    if not isinstance(structures, Iterable):
        return [structures]  # no structure at all: `as_atoms` says so
    return list(structures)


def _is_element(species: Any) -> bool:
    """Whether this is an Element or a Species; a DummySpecies has a hash for its atomic number."""
    return isinstance(species.Z, int) and 1 <= species.Z < len(chemical_symbols)


def check_atoms(atoms: Atoms) -> None:
    """Raise StructureError for what is no element, for what is not finite, and for periodic axes without volume."""
    check_system(atoms.numbers, positions_of(atoms), cell_of(atoms), atoms.pbc)
