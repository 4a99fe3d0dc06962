"""Graphs of atoms that move little from one to the next, as in dynamics and relaxation: one search serves many steps."""

from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import ConfigError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.bonds import Bonds
from tribond.graph.build import Parts, as_atoms, atom_graph, cell_of, check_atoms, graph_of, positions_of
from tribond.graph.checks import check_cell
from tribond.graph.device import find_bonds_on_device
from tribond.graph.neighbors import find_bonds

if TYPE_CHECKING:
    from tribond.graph.build import AnyStructure

# In replayed dynamics of silicon and copper from 300 to 1,500 K, 0.75 to 1.5 Å cost about the same and least.
DEFAULT_SKIN = 1.0  # Å


class VerletGraph:
    """Makes the graphs that `atom_graph` makes, equal to the last bit, from a list of neighbours that is kept.

    The list holds all pairs closer than the cutoff and a skin. It is searched for anew when a bond might be missing
    from it: when an atom has moved farther than half the skin since then, less what a strain of the cell uses up of
    it. Positions are compared as they are given: atoms may drift through the cell, and if they are brought back into
    it the list is made anew. Any structure may follow any other.

    Args:
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.
        skin: Å; 0 keeps nothing and searches every time.
        device: where the graphs are wanted. On a GPU the list is kept there, and a step sends positions only.

    Raises:
        ConfigError: for a skin that is negative or not finite.
    """

    def __init__(
        self, cutoff: float, threebody_cutoff: float, skin: float = DEFAULT_SKIN, device: torch.device | str = "cpu"
    ) -> None:
        self._cutoff, self._threebody_cutoff = cutoff, threebody_cutoff
        self._list = VerletList(cutoff, skin, device)

    @property
    def skin(self) -> float:
        """By how much, Å, the kept list reaches farther than bonds do."""
        return self._list.skin

    def __call__(self, structure: "AnyStructure") -> AtomGraph:
        """The graph of a structure.

        Raises:
            StructureError: as `atom_graph` does.
        """
        if self.skin == 0 and self._list.device.type == "cpu":
            return atom_graph(structure, self._cutoff, self._threebody_cutoff)
        atoms = as_atoms(structure)
        listed = self._list(atoms)
        positions = torch.from_numpy(positions_of(atoms).copy()).to(self._list.device)
        bonds = listed.candidates.select(positions, listed.offsets, self._cutoff, self._threebody_cutoff)
        return graph_of(atoms, listed.parts, positions, bonds)


class VerletList:
    """The list of neighbours that a `VerletGraph` keeps.

    Args:
        cutoff: longest bond, Å.
        skin: how much farther the list reaches, Å; 0 keeps nothing.
        device: where the list lies.

    Raises:
        ConfigError: for a skin that is negative or not finite.
    """

    def __init__(self, cutoff: float, skin: float, device: torch.device | str) -> None:
        check_skin(skin)
        self.skin = skin
        self.device = torch.device(device)
        self._cutoff = cutoff
        self._find = find_bonds if self.device.type == "cpu" else partial(find_bonds_on_device, device=self.device)
        self._kept: _Kept[Any] | None = None

    def __call__(self, atoms: Atoms) -> "Listed[Any]":
        """All pairs that may be bonds: the kept ones, in the cell of these atoms, or those of a new search.

        Raises:
            StructureError: for atoms that make no sense; positions are checked as far as the list depends on them.
        """
        listed = None if self._kept is None else self._kept.listed_in(atoms, self._cutoff, self.skin)
        if listed is not None:
            return listed
        kept = self._search(atoms)
        self._kept = kept if self.skin > 0 else None
        return kept.listed

    def _search(self, atoms: Atoms) -> "_Kept[Any]":
        check_atoms(atoms)
        positions, cell, pbc = positions_of(atoms).copy(), cell_of(atoms).copy(), atoms.pbc.copy()
        candidates: _Candidates[Any] = self._find(positions, cell, pbc, self._cutoff + self.skin)
        listed = Listed(Parts.of(atoms, self.device), candidates, candidates.offsets(cell))
        return _Kept(listed, Reference(positions, cell, pbc), atoms.numbers.copy())


def check_skin(skin: object) -> None:
    """Raise ConfigError for a skin that is no length: negative, not finite, no number."""
    if not isinstance(skin, Real) or not (np.isfinite(float(skin)) and float(skin) >= 0):
        msg = f"the skin must be a length in Å, 0 or more, not {skin}"
        raise ConfigError(msg)


@dataclass(frozen=True, eq=False)
class Reference:
    """Where the atoms were when a list of their neighbours was made."""

    positions: NDArray[np.float64]  # (atoms, 3) Å
    cell: NDArray[np.float64]  # (3, 3) Å
    pbc: NDArray[np.bool_]  # (3,)

    def covers(self, positions: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float, skin: float) -> bool:
        """Whether the list still holds all bonds of the same atoms, now here.

        What is not finite is not covered: no comparison holds for it.

        Args:
            positions: (atoms, 3) Å.
            cell: (3, 3) Å.
            cutoff: longest bond, Å.
            skin: by how much, Å, the list reaches farther.
        """
        if (cell == self.cell).all():
            return _farthest(positions - self.positions) <= skin / 2
        (strain,), (stretch,) = strains(self.cell[None], cell[None], self.pbc[None])
        # With r = r₀ F + u_j - u_i, a bond had the length |r₀| <= (|r| + 2 max |u|) / (smallest stretch by F).
        return cutoff + 2 * _farthest(positions - self.positions @ strain) <= (cutoff + skin) * float(stretch)


def strains(
    old: NDArray[np.float64], new: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F that takes the periodic lattice vectors of cells from old to new, and leaves what is normal to them.

    Args:
        old: (systems, 3, 3) Å, finite.
        new: (systems, 3, 3) Å.
        pbc: (systems, 3) periodic along a, b, c.

    Returns:
        F (systems, 3, 3) and the smallest stretch by it (systems,); NaN where a new cell is not finite.
    """
    before = np.where(pbc[:, :, None], old, 0.0)
    finite = np.array([np.isfinite(cell).all() for cell in new])
    change = np.where(pbc[:, :, None] & finite[:, None, None], new - old, 0.0)
    strain = np.eye(3) + np.linalg.pinv(before) @ change
    stretch = np.linalg.svd(strain, compute_uv=False)[:, -1]
    strain[~finite] = np.nan
    return strain, np.where(finite, stretch, np.nan)


Offsets = TypeVar("Offsets")


class _Candidates(Protocol[Offsets]):
    """A list that holds all bonds, and longer pairs, too: on the CPU a BondList."""

    def offsets(self, cell: NDArray[np.float64]) -> Offsets:
        """Vectors of the images in a cell, as `select` takes them."""

    def select(self, positions: Tensor, offsets: Offsets, cutoff: float, threebody_cutoff: float) -> Bonds:
        """The pairs that are bonds."""


@dataclass(frozen=True, eq=False)
class Listed(Generic[Offsets]):
    """What serves many steps, in one cell."""

    parts: Parts
    candidates: _Candidates[Offsets]  # all pairs closer than cutoff + skin
    offsets: Offsets  # of the candidates in this cell


@dataclass(frozen=True, eq=False)
class _Kept(Generic[Offsets]):
    """A list of pairs, and the atoms that it was made for."""

    listed: Listed[Offsets]
    reference: Reference
    numbers: NDArray[np.int64]  # (atoms,)

    def listed_in(self, atoms: Atoms, cutoff: float, skin: float) -> Listed[Offsets] | None:
        """The list in the cell of these atoms, or None if it might lack one of their bonds.

        Raises:
            StructureError: for a cell without volume.
        """
        reference = self.reference
        same = len(atoms) == len(self.numbers) and bool((atoms.pbc == reference.pbc).all())
        if not same or not (atoms.numbers == self.numbers).all():
            return None
        cell = cell_of(atoms)
        if not reference.covers(positions_of(atoms), cell, cutoff, skin):
            return None
        if (cell == reference.cell).all():
            return self.listed
        check_cell(cell, reference.pbc)
        listed = self.listed
        return replace(listed, parts=listed.parts.in_cell(cell), offsets=listed.candidates.offsets(cell))


def _farthest(moves: NDArray[np.float64]) -> float:
    """The longest of these vectors, (atoms, 3); NaN if one of them is not a number."""
    return float(np.sqrt(np.einsum("ax,ax->a", moves, moves).max(initial=0.0)))
