"""Graphs of many systems that move, as in batched dynamics and relaxation: one list of neighbours for the whole batch."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tribond.errors import StructureError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.batch_list import BatchList
from tribond.graph.bond_list import BondList
from tribond.graph.checks import check_system, check_systems, name_system
from tribond.graph.device import DeviceBondList, find_bonds_on_device
from tribond.graph.neighbors import find_bonds
from tribond.graph.skin import DEFAULT_SKIN, Reference, check_skin, strains
from tribond.graph.systems import Systems, graph_from_tensors


class VerletBatch:
    """Makes the graphs that `graph_from_tensors` makes, equal to the last bit, from a list of neighbours that is kept.

    It is to a batch what `VerletGraph` is to one system. Only those systems are searched anew that a bond might be
    missing from: whose atoms moved farther than half the skin, less what a strain of the cell uses up of it. Systems may
    come, go and change places from one call to the next: one is known again by its elements and by where its atoms are.

    Args:
        cutoff: longest bond, Å.
        threebody_cutoff: longest bond that takes part in angles, Å.
        skin: Å; 0 keeps nothing and searches every time.
        device: where the tensors lie. On a GPU the list is kept there.

    Attributes:
        searches: how many systems have been searched for neighbours so far.

    Raises:
        ConfigError: for a skin that is negative or not finite.
    """

    def __init__(
        self, cutoff: float, threebody_cutoff: float, skin: float = DEFAULT_SKIN, device: torch.device | str = "cpu"
    ) -> None:
        check_skin(skin)
        self._cutoff, self._threebody_cutoff, self._skin = cutoff, threebody_cutoff, skin
        self._device = torch.device(device)
        self._find = find_bonds if self._device.type == "cpu" else partial(find_bonds_on_device, device=self._device)
        self._kept: _Kept | None = None
        self.searches = 0

    @property
    def skin(self) -> float:
        """By how much, Å, the kept list reaches farther than bonds do."""
        return self._skin

    def __call__(
        self, positions: Tensor, cell: Tensor, pbc: Tensor, atomic_numbers: Tensor, system_index: Tensor
    ) -> AtomGraph:
        """The graph of a batch.

        Args:
            positions: (atoms, 3) Å; atoms may lie outside the cell.
            cell: (systems, 3, 3) Å, rows are a, b, c.
            pbc: (systems, 3) bool, periodic along a, b, c.
            atomic_numbers: (atoms,) whole numbers.
            system_index: (atoms,) whole numbers, the system an atom belongs to, ascending.

        Raises:
            StructureError: as `graph_from_tensors` does.
        """
        if positions.device.type != self._device.type:
            msg = f"positions lie on {positions.device}, and neighbours are wanted on {self._device}; move them there"
            raise StructureError(msg)
        if self._skin == 0 or len(cell) == 0:
            self._kept = None
            self.searches += len(cell)
            cutoffs = {"cutoff": self._cutoff, "threebody_cutoff": self._threebody_cutoff}
            return graph_from_tensors(positions, cell, pbc, atomic_numbers, system_index, **cutoffs)
        systems = Systems.of(positions, cell, pbc, atomic_numbers, system_index)
        kept = self._renewed(systems)
        offsets = kept.offsets(systems.host_cell)
        return systems.graph(kept.pairs.select(systems.positions, offsets, self._cutoff, self._threebody_cutoff))

    def _renewed(self, systems: Systems) -> "_Kept":
        """The list for these systems: the kept one, or one with some systems searched anew."""
        kept = self._kept
        same = kept is not None and kept.is_of(systems)
        fits = kept.covers(systems, self._cutoff, self._skin) if kept and same else [False] * systems.num_systems
        if kept is not None and all(fits):
            _check_cells(systems, kept)
            return kept
        singles: list[_Single | None] = [
            one if fit else None for one, fit in zip(kept.singles, fits, strict=True)
        ] if kept and same else [None] * systems.num_systems  # fmt: skip
        waiting = defaultdict(list)  # of the kept ones, those that have no place yet
        for number, one in enumerate(kept.singles if kept else ()):
            if not (same and fits[number]):
                waiting[one.key].append(one)
        found = [one or self._placed(systems, system, waiting) for system, one in enumerate(singles)]
        renewed = _Kept(found, systems)
        _check_cells(systems, renewed)
        self._kept = renewed
        return self._kept

    def _placed(self, systems: Systems, system: int, waiting: "dict[bytes, list[_Single]]") -> "_Single":
        """The list of one system: one that was kept for a system of the same elements and covers it, or a new one."""
        atoms = systems.atoms[system]
        positions, cell, pbc = systems.host_positions[atoms], systems.host_cell[system], systems.host_pbc[system]
        key = systems.host_numbers[atoms].tobytes() + pbc.tobytes()
        candidates = waiting.get(key, [])
        for place, one in enumerate(candidates):
            if one.reference.covers(positions, cell, self._cutoff, self._skin):
                # Systems keep their order: the next one looks first behind this one.
                waiting[key] = candidates[place + 1 :] + candidates[:place]
                return one
        self.searches += 1
        try:
            check_system(systems.host_numbers[atoms], positions, cell, pbc)
            found = self._find(positions, cell, pbc, self._cutoff + self._skin)
        except StructureError as error:
            name_system(error, system, systems.num_systems)
            raise
        return _Single(found, Reference(positions.copy(), cell.copy(), pbc.copy()), key)


def _check_cells(systems: Systems, kept: "_Kept") -> None:
    """Cells may have become none since the search; positions and numbers are those that were checked, or near them."""
    if not np.array_equal(systems.host_cell, kept.cells):
        nothing = np.zeros(0, dtype=np.int64)
        starts = np.zeros(systems.num_systems + 1, dtype=np.int64)
        check_systems(nothing, np.zeros((0, 3)), systems.host_cell, systems.host_pbc, starts)


@dataclass(frozen=True, eq=False)
class _Single:
    """The list of one system, its atoms counted from 0."""

    pairs: BondList | DeviceBondList  # all closer than cutoff + skin
    reference: Reference
    key: bytes  # atomic numbers and periodic axes


class _Kept:
    """Lists of a batch, each by itself and joined."""

    def __init__(self, singles: "list[_Single]", systems: Systems) -> None:
        self.singles = singles
        self.pairs = BatchList.of([one.pairs for one in singles], systems.starts)
        self.cells = np.stack([one.reference.cell for one in singles])
        self._systems = systems
        self._positions = torch.from_numpy(np.concatenate([one.reference.positions for one in singles]))
        self._positions = self._positions.to(systems.positions.device)
        self._offsets_in: NDArray[np.float64] | None = None

    def is_of(self, systems: Systems) -> bool:
        """Whether these are as many systems of the same elements, periodic along the same axes."""
        before = self._systems
        return (
            np.array_equal(before.starts, systems.starts)
            and np.array_equal(self._pbc, systems.host_pbc)
            and torch.equal(before.atomic_numbers, systems.atomic_numbers)
        )

    @cached_property
    def _pbc(self) -> NDArray[np.bool_]:
        return np.stack([one.reference.pbc for one in self.singles])

    def covers(self, systems: Systems, cutoff: float, skin: float) -> list[bool]:
        """Whether each list still holds all bonds of its system, as `Reference.covers` says of one."""
        cells = systems.host_cell
        moved = systems.positions - self._positions
        stretch = np.ones(len(cells))
        strained = (cells != self.cells).any(axis=(1, 2))
        if strained.any():
            strain = np.broadcast_to(np.eye(3), cells.shape).copy()
            strain[strained], stretch[strained] = strains(self.cells[strained], cells[strained], self._pbc[strained])
            of_atom = torch.from_numpy(strain).to(moved.device).index_select(0, systems.system_index)
            moved = systems.positions - torch.einsum("ax,axy->ay", self._positions, of_atom)
        room = np.where(
            strained, ((cutoff + skin) * stretch - cutoff) / 2, skin / 2
        )  # NaN for a cell that is not finite
        allowed = torch.from_numpy(np.where(room >= 0, room, -1.0)).to(moved.device)
        within = moved.square().sum(dim=1).sqrt() <= allowed.index_select(0, systems.system_index)
        outside = torch.zeros(len(cells), dtype=torch.long, device=moved.device)
        outside.index_add_(0, systems.system_index, (~within).long())
        return [count == 0 and ok for count, ok in zip(outside.tolist(), (room >= 0).tolist(), strict=True)]

    def offsets(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors of the images in these cells, (systems, 3, 3) Å; kept while the cells stay the same."""
        if self._offsets_in is None or not np.array_equal(self._offsets_in, cells):
            self._offsets_in, self._offsets = cells, self.pairs.offsets(cells)
        return self._offsets
