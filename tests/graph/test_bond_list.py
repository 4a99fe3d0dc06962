"""The one order of bonds, and lengths that do not depend on the list a bond is in."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.structures import STRUCTURES
from tribond.graph import bond_list
from tribond.graph.bond_list import BondList
from tribond.graph.neighbors import find_bonds, neighbor_list

SEEDS = st.integers(0, 10**6)


def rows(bonds: BondList) -> list[tuple[int, ...]]:
    """(i, j, shift along a, b, c) of every bond."""
    shifts = bonds.shifts[bonds.image]
    return [(i, j, *s) for i, j, s in zip(*bonds.edge_index.tolist(), shifts.tolist(), strict=True)]


def random_pairs(seed: int, atoms: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and shifts without order, none twice."""
    random = np.random.default_rng(seed)
    both = np.unique(
        np.hstack([random.integers(0, atoms, (200, 2)), random.integers(-reach, reach + 1, (200, 3))]), axis=0
    )
    both = random.permutation(both)
    return both[:, :2], both[:, 2:]


@given(seed=SEEDS, atoms=st.sampled_from([1, 2, 7, 1000]), reach=st.sampled_from([0, 1, 3, 50, 10**6]))
def test_bonds_are_sorted_by_centre_neighbour_and_shift(seed, atoms, reach):
    pairs, shifts = random_pairs(seed, atoms, reach)
    expected = sorted((*p, *s) for p, s in zip(pairs.tolist(), shifts.tolist(), strict=True))
    assert rows(BondList.sorted(pairs, shifts.astype(np.int32), atoms)) == expected


@pytest.mark.parametrize("largest", [1, 10**4])
def test_so_they_are_where_one_number_cannot_hold_a_bond(monkeypatch, largest):
    """As with very many atoms, each many cells away from the others: another way to sort, the same order."""
    pairs, shifts = random_pairs(0, 50, 7)
    expected = rows(BondList.sorted(pairs, shifts, 50))
    monkeypatch.setattr(bond_list, "LARGEST_KEY", largest)
    assert rows(BondList.sorted(pairs, shifts, 50)) == expected


def test_shifts_of_any_size_are_kept():
    pairs = np.array([[0, 1], [1, 0], [0, 1]])
    shifts = np.array([[2**40, -(2**40), 0], [-(2**40), 2**40, 0], [0, 0, 2**41]])
    expected = [(0, 1, 0, 0, 2**41), (0, 1, 2**40, -(2**40), 0), (1, 0, -(2**40), 2**40, 0)]
    assert rows(BondList.sorted(pairs, shifts, 2)) == expected


def test_no_bonds_and_no_atoms_are_fine():
    for atoms in (0, 1):
        empty = BondList.sorted(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int32), atoms)
        assert empty.edge_index.shape == (2, 0)
        assert empty.squared_lengths(np.zeros((atoms, 3)), empty.offsets(np.eye(3))).shape == (0,)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_bond_has_the_same_length_bit_for_bit_in_every_list(name):
    atoms = STRUCTURES[name]()
    positions, cell = atoms.positions, atoms.cell.array
    lists = [find_bonds(positions, cell, atoms.pbc, radius) for radius in (3.0, 5.0, 9.0)]
    lengths = [dict(zip(rows(b), b.squared_lengths(positions, b.offsets(cell)), strict=True)) for b in lists]
    for small, large in pairwise(lengths):
        assert small.items() <= large.items()
        for bond in small:
            assert small[bond] == small[(bond[1], bond[0], *(-s for s in bond[2:]))]  # and there and back


@given(seed=SEEDS)
def test_a_list_holds_all_bonds_within_its_radius_however_far_away_the_atoms_are(seed):
    """Positions of many digits are rounded; a search with another rounding must not lose a bond."""
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(3, 5, 3))
    positions = random.uniform(0, 5, (5, 3)) + random.integers(-(10**7), 10**7, (5, 3)) @ cell
    pbc = np.array([True] * 3)
    wide = find_bonds(positions, cell, pbc, 6.5)
    within = wide.squared_lengths(positions, wide.offsets(cell)) < 5.0**2
    expected = [row for row, inside in zip(rows(wide), within, strict=True) if inside]
    i, j, shifts, lengths = neighbor_list(positions, cell, pbc, 5.0)
    assert [(a, b, *s) for a, b, s in zip(i.tolist(), j.tolist(), shifts.tolist(), strict=True)] == expected
    assert (lengths < 5.0).all()
