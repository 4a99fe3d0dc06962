"""From ASE and pymatgen structures to AtomGraph, with the checks that turn bad input into clear errors."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import StructureError, UnknownElementError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.bond_list import BondList
from tribond.graph.neighbors import find_bonds

if TYPE_CHECKING:
    from pymatgen.core import Molecule, Structure

    AnyStructure: TypeAlias = Atoms | Structure | Molecule

# Closer than this two atoms are one atom twice, whatever the elements: H2 has 0.74 Å, nothing real is below 0.3 Å.
SMALLEST_DISTANCE = 0.1  # Å
SMALLEST_RELATIVE_VOLUME = 1e-6  # volume over the product of the lattice vectors' lengths


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
        StructureError: for positions or cells that are not finite, periodic axes without volume, or coinciding atoms.
    """
    atoms = as_atoms(structure)
    check_atoms(atoms)
    found = find_bonds(positions_of(atoms), cell_of(atoms), atoms.pbc, cutoff)
    return graph_of(atoms, Parts.of(atoms, found), found, cutoff, threebody_cutoff)


@dataclass(frozen=True)
class Parts:
    """What stays the same while only positions change."""

    atomic_numbers: Tensor  # (atoms,) int64
    system_index: Tensor  # (atoms,) int64, zeros
    cell: Tensor  # (1, 3, 3) float64, Å
    pbc: Tensor  # (1, 3) bool
    offsets: NDArray[np.float64]  # (3, images) Å, of the candidates

    @staticmethod
    def of(atoms: Atoms, candidates: BondList) -> "Parts":
        """Copies: a later change of the atoms does not reach them."""
        return Parts(
            atomic_numbers=torch.tensor(atoms.numbers, dtype=torch.long),
            system_index=torch.zeros(len(atoms), dtype=torch.long),
            cell=torch.tensor(cell_of(atoms))[None],
            pbc=torch.tensor(atoms.pbc)[None],
            offsets=candidates.offsets(cell_of(atoms)),
        )


def graph_of(atoms: Atoms, parts: Parts, candidates: BondList, cutoff: float, threebody_cutoff: float) -> AtomGraph:
    """The graph of checked atoms from a list that holds all their bonds, and perhaps longer pairs, too.

    Args:
        atoms: checked by `check_atoms`; only read.
        parts: of these atoms and candidates.
        candidates: all pairs closer than the cutoff, and any others.
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.

    Raises:
        StructureError: for coinciding atoms.
    """
    positions = positions_of(atoms)
    squared = candidates.squared_lengths(positions, parts.offsets)
    _check_distances(atoms, candidates, squared)
    edge_index, image = candidates.edge_index, candidates.image
    keep = np.flatnonzero(squared < cutoff**2)
    if len(keep) < len(squared):
        edge_index, image, squared = edge_index.take(keep, axis=1), image.take(keep), squared.take(keep)
    return AtomGraph(
        positions=torch.from_numpy(positions.copy()),
        atomic_numbers=parts.atomic_numbers,
        system_index=parts.system_index,
        cell=parts.cell,
        pbc=parts.pbc,
        edge_index=torch.from_numpy(edge_index),
        cell_shifts=torch.from_numpy(candidates.shifts.astype(np.float64).take(image, axis=0)),
        angle_edges=torch.from_numpy(np.flatnonzero(squared < threebody_cutoff**2)),
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
    if not structure.is_ordered:
        msg = f"{structure.formula} has partly occupied sites; order it first (pymatgen's OrderDisorderedStructure...)"
        raise StructureError(msg)
    numbers = [specie.Z for specie in structure.species]
    lattice: Any = getattr(structure, "lattice", None)
    if lattice is None:
        return Atoms(numbers=numbers, positions=structure.cart_coords, pbc=False)
    return Atoms(numbers=numbers, positions=structure.cart_coords, cell=lattice.matrix, pbc=lattice.pbc)


def refuse_partial_occupancy(atoms: Atoms) -> None:
    """Raise StructureError if the file that the atoms came from (a CIF) has sites that are only partly occupied."""
    occupancy = atoms.info.get("occupancy") or {}
    partial = {symbol: value for site in occupancy.values() for symbol, value in site.items() if value < 1}
    if partial:
        sites = ", ".join(f"{symbol} {value:g}" for symbol, value in partial.items())
        msg = f"sites are partly occupied ({sites}); make an ordered structure of it first"
        raise StructureError(msg)


def as_list(structures: "AnyStructure | Iterable[AnyStructure]") -> list["AnyStructure"]:
    """One structure or many, as a list. (ASE Atoms and pymatgen structures are iterable themselves: over atoms.)"""
    if isinstance(structures, Atoms) or hasattr(structures, "cart_coords"):
        return [structures]
    if not isinstance(structures, Iterable):
        return [structures]  # no structure at all: `as_atoms` says so
    return list(structures)


def check_atoms(atoms: Atoms) -> None:
    """Raise StructureError for what is no element, for what is not finite, and for periodic axes without volume."""
    _check_finite(atoms, positions_of(atoms), cell_of(atoms))
    check_cell(cell_of(atoms), atoms.pbc)


def _check_finite(atoms: Atoms, positions: np.ndarray, cell: np.ndarray) -> None:
    outside = (atoms.numbers < 1) | (atoms.numbers > 118)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        number = int(atoms.numbers[first])
        dummy = " (X, a dummy atom)" if number == 0 else ""
        msg = f"atomic number {number}{dummy} of atom {first} is no element; remove the atom or name its element"
        raise UnknownElementError(msg)
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        first = int(bad[0])
        msg = f"the position of atom {first} ({atoms.symbols[first]}) is {positions[first].tolist()}; it must be finite"
        raise StructureError(msg)
    if not np.isfinite(cell).all():
        msg = f"the cell {cell.tolist()} must be finite"
        raise StructureError(msg)


def check_cell(cell: np.ndarray, pbc: np.ndarray) -> None:
    """Raise StructureError for periodic axes without volume; the cell must be finite."""
    periodic = cell[pbc]
    if len(periodic) == 0:
        return
    lengths = np.linalg.norm(periodic, axis=1)
    extent = np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0))  # length, area or volume that the vectors span
    if lengths.min() == 0 or extent < SMALLEST_RELATIVE_VOLUME * np.prod(lengths):
        axes = ", ".join(axis for axis, on in zip("abc", pbc, strict=True) if on)
        msg = f"periodic along {axes}, but these lattice vectors span no volume: {periodic.tolist()}; mend cell or pbc"
        raise StructureError(msg)
    # The shortest vector between images, which a skewed cell hides; said here, for a search would find millions.
    reduced = minkowski_reduce(cell, pbc)[0][pbc] if extent < np.prod(lengths) / 10 else periodic
    shortest = float(np.linalg.norm(reduced, axis=1).min())
    if shortest < SMALLEST_DISTANCE:
        msg = f"atoms sit {shortest:.3g} Å from their own periodic images; mend the cell {periodic.tolist()}"
        raise StructureError(msg)


def _check_distances(atoms: Atoms, candidates: BondList, squared: NDArray[np.float64]) -> None:
    """Raise StructureError if two atoms coincide; squared lengths of all candidates, (edges,) Å²."""
    if squared.min(initial=np.inf) >= SMALLEST_DISTANCE**2:
        return
    shortest = int(np.argmin(squared))
    i, j = candidates.edge_index[:, shortest].tolist()
    symbol_i, symbol_j = (chemical_symbols[atoms.numbers[k]] for k in (i, j))
    image = " and a periodic image of itself" if i == j else f" and atom {j} ({symbol_j})"
    distance = f"{np.sqrt(squared[shortest]):.3g} Å"
    msg = f"atom {i} ({symbol_i}){image} are {distance} apart; remove the duplicate or mend the cell"
    raise StructureError(msg)
