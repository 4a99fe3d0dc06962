"""From ASE and pymatgen structures to AtomGraph, with the checks that turn bad input into clear errors."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import StructureError, UnknownElementError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.bonds import SMALLEST_DISTANCE, Bonds
from tribond.graph.elements import check_elements
from tribond.graph.neighbors import bonds_within
from tribond.reading.checks import PLACEHOLDER
from tribond.reading.occupancy import is_full, refuse_partial_occupancy
from tribond.typing import Positions

if TYPE_CHECKING:
    from pymatgen.core import Molecule, Structure

    AnyStructure: TypeAlias = Atoms | Structure | Molecule

# A periodic atom farther out than this, Å, has lost the digits that say where in the cell it is: float64 has sixteen.
FARTHEST = 1e9
LONGEST_VECTOR = 1e5  # Å; the search divides a cell into parts as wide as the cutoff, and there may not be too many
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
        _refuse_clash(atoms, *bonds.clash)
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
    _check_finite(atoms, positions_of(atoms), cell_of(atoms))
    check_cell(cell_of(atoms), atoms.pbc)
    _check_near(atoms, positions_of(atoms))


def _check_near(atoms: Atoms, positions: np.ndarray) -> None:
    """Only along periodic axes: an atom that has flown off along an open one is nobody's neighbour."""
    if not atoms.pbc.any() or np.abs(positions).max(initial=0.0) <= FARTHEST:
        return
    periodic = cell_of(atoms)[atoms.pbc]
    along = np.abs(positions @ (periodic / np.linalg.norm(periodic, axis=1)[:, None]).T).max(axis=1)
    if along.max() > FARTHEST:
        first = int(np.argmax(along))
        msg = (
            f"atom {first} ({atoms.symbols[first]}) is at {positions[first].tolist()}: more than {FARTHEST:g} Å out along a "
            "periodic axis, its place in the cell is no longer resolved; move it into the cell (atoms.wrap())"
        )
        raise StructureError(msg)


def _check_finite(atoms: Atoms, positions: np.ndarray, cell: np.ndarray) -> None:
    numbers = atoms.numbers
    if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= 118):
        first = int(np.flatnonzero((numbers < 1) | (numbers > 118))[0])
        number = int(numbers[first])
        dummy = " (X, a dummy atom)" if number == 0 else ""
        msg = f"atomic number {number}{dummy} of atom {first} is no element; remove the atom or name its element"
        raise UnknownElementError(msg)
    finite = np.isfinite(positions)
    if not finite.all():
        first = int(np.flatnonzero(~finite.all(axis=1))[0])
        msg = f"the position of atom {first} ({atoms.symbols[first]}) is {positions[first].tolist()}; it must be finite"
        raise StructureError(msg)
    if not np.isfinite(cell).all():
        msg = f"the cell {cell.tolist()} must be finite"
        raise StructureError(msg)


def check_cell(cell: np.ndarray, pbc: np.ndarray) -> None:
    """Raise StructureError for periodic axes without volume, a cell that is none, or longer than any; it must be finite."""
    if _is_ordinary(cell, pbc):
        return
    periodic = cell[pbc]
    if len(periodic) == 0:
        return
    if np.abs(periodic).max() > LONGEST_VECTOR:
        longest = float(np.abs(periodic).max())
        msg = f"a periodic lattice vector is {longest:.3g} Å long, more than {LONGEST_VECTOR:g} Å; mend the cell or pbc"
        raise StructureError(msg)
    lengths = np.linalg.norm(periodic, axis=1)
    extent = np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0))  # length, area or volume that the vectors span
    if lengths.min() == 0 or extent < SMALLEST_RELATIVE_VOLUME * np.prod(lengths):
        axes = ", ".join(axis for axis, on in zip("abc", pbc, strict=True) if on)
        msg = f"periodic along {axes}, but these lattice vectors span no volume: {periodic.tolist()}; mend cell or pbc"
        raise StructureError(msg)
    if pbc.all() and np.abs(lengths - 1).max() <= PLACEHOLDER - 1:
        msg = "a periodic cell of 1 1 1 Å holds no structure: programs write that around molecules; set pbc = False"
        raise StructureError(msg)
    # The shortest vector between images, which a skewed cell hides; said here, for a search would find millions.
    reduced = minkowski_reduce(cell, pbc)[0][pbc] if extent < np.prod(lengths) / 10 else periodic
    shortest = float(np.linalg.norm(reduced, axis=1).min())
    if shortest < SMALLEST_DISTANCE:
        msg = f"atoms sit {shortest:.3g} Å from their own periodic images; mend the cell {periodic.tolist()}"
        raise StructureError(msg)


def _is_ordinary(cell: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether a cell is periodic along all axes, not very oblique, and not very small: soon said, as of most cells."""
    a, b, c = cell.tolist()
    volume = abs(
        a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    lengths = [math.hypot(*vector) for vector in (a, b, c)]
    # A little stricter than `check_cell`, to leave it what lies at the edge, and what is too large to be multiplied.
    upright = volume > 0.11 * lengths[0] * lengths[1] * lengths[2]
    sized = min(lengths) > 2 * SMALLEST_DISTANCE and PLACEHOLDER < max(lengths) <= LONGEST_VECTOR
    return upright and sized and bool(pbc.all())


def _refuse_clash(atoms: Atoms, i: int, j: int, distance: float) -> NoReturn:
    symbol_i, symbol_j = (chemical_symbols[atoms.numbers[k]] for k in (i, j))
    image = " and a periodic image of itself" if i == j else f" and atom {j} ({symbol_j})"
    msg = f"atom {i} ({symbol_i}){image} are {distance:.3g} Å apart; remove the duplicate or mend the cell"
    raise StructureError(msg)
