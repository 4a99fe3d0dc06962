"""The neighbour list is that of ASE, for every lattice there is."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.neighborlist import neighbor_list as ase_neighbor_list
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.structures import STRUCTURES, rattled
from tribond import compiled
from tribond.graph.neighbors import complete_cell, neighbor_list


@pytest.fixture(autouse=True, params=["compiled code", "vesin"])
def searched_by(request, monkeypatch):
    """Small cells are searched by compiled code where there is some."""
    if request.param == "vesin":
        monkeypatch.setattr(compiled, "library", lambda: None)
    elif compiled.library() is None:
        pytest.skip("no compiled kernels here")


def ours(atoms: Atoms, cutoff: float) -> dict[tuple[int, ...], float]:
    """{(i, j, shift along a, b, c): length} of every bond, Å."""
    i, j, shifts, lengths = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    bonds = {(a, b, *s): d for a, b, s, d in zip(i.tolist(), j.tolist(), shifts.tolist(), lengths, strict=True)}
    assert len(bonds) == len(i)  # no bond twice
    return bonds


def those_of_ase(atoms: Atoms, cutoff: float) -> dict[tuple[int, ...], float]:
    i, j, shifts, lengths = ase_neighbor_list("ijSd", atoms, cutoff)
    return {(a, b, *s): d for a, b, s, d in zip(i.tolist(), j.tolist(), shifts.tolist(), lengths, strict=True)}


def with_pbc(atoms: Atoms, *pbc: bool) -> Atoms:
    atoms.pbc = pbc
    return atoms


def far_outside() -> Atoms:
    atoms = STRUCTURES["skewed_crystal"]()
    atoms.positions += np.array([[3, -2, 5], [-7, 0, 1], [0, 11, -4]]) @ atoms.cell.array
    return atoms


def flat_cell() -> Atoms:
    """A crystal whose cell is so oblique that images far along one axis are near."""
    atoms = bulk("Cu", "fcc", a=3.6)
    atoms.set_cell(np.array([[1, 0, 0], [4, 1, 0], [-2, 3, 1]]) @ atoms.cell.array)
    return atoms


def gas() -> Atoms:
    return Atoms("H60", positions=np.random.default_rng(0).uniform(0, 15, (60, 3)), cell=[15, 15, 15], pbc=True)


CASES = {name: (build, 5.0) for name, build in STRUCTURES.items()} | {
    "a large cutoff": (STRUCTURES["skewed_crystal"], 14.0),
    "a tiny cell with many images": (lambda: Atoms("H", cell=[1.1, 1.2, 1.3], pbc=True), 5.0),
    "a cell longer than wide": (lambda: Atoms("CuCu", [[0, 0, 0], [0, 0, 30]], cell=[2.3, 2.4, 55], pbc=True), 5.0),
    "an oblique cell": (flat_cell, 5.0),
    "atoms far outside the cell": (far_outside, 5.0),
    "periodic along b only": (lambda: with_pbc(STRUCTURES["skewed_crystal"](), False, True, False), 5.0),
    "periodic along a and c": (lambda: with_pbc(STRUCTURES["skewed_crystal"](), True, False, True), 5.0),
    "a cell that is not used": (lambda: with_pbc(STRUCTURES["skewed_crystal"](), False, False, False), 5.0),
    "a slab without a third vector": (lambda: graphene(a=2.46, vacuum=None), 5.0),
    "a slab on both sides of the origin": (lambda: rattled(fcc111("Cu", (2, 1, 4), vacuum=None)), 5.0),
    "a gas": (gas, 5.0),
    "a large molecule": (lambda: molecule("C60"), 5.0),
}


@pytest.mark.parametrize("case", CASES)
def test_bonds_are_those_of_ase(case):
    build, cutoff = CASES[case]
    atoms = build()
    found, expected = ours(atoms, cutoff), those_of_ase(atoms, cutoff)
    assert found.keys() == expected.keys()
    for bond, length in expected.items():
        assert found[bond] == pytest.approx(length, abs=1e-10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), pbc=st.tuples(*[st.booleans()] * 3), cutoff=st.floats(2.0, 7.0))
def test_bonds_of_any_lattice_are_those_of_ase(seed, pbc, cutoff):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(2, 5, 3)) + random.uniform(-1.5, 1.5, (3, 3))
    atoms = Atoms("H4", scaled_positions=random.uniform(-2, 2, (4, 3)), cell=cell, pbc=pbc)
    assert ours(atoms, cutoff).keys() == those_of_ase(atoms, cutoff).keys()


@pytest.mark.parametrize("name", STRUCTURES)
def test_bonds_come_sorted_by_their_centre_and_each_both_ways(name):
    atoms = STRUCTURES[name]()
    bonds = list(ours(atoms, 5.0))
    assert [bond[0] for bond in bonds] == sorted(bond[0] for bond in bonds)
    assert {(j, i, -a, -b, -c) for i, j, a, b, c in bonds} == set(bonds)


def test_an_atom_is_its_own_neighbour_through_an_image_but_never_where_it_stands():
    """Asked for in mattersim#163: told apart by atom and image, not by a distance near zero."""
    bonds = ours(Atoms("Cu", cell=[3, 3, 3], pbc=True), 3.5)
    assert len(bonds) == 6
    assert (0, 0, 0, 0, 0) not in bonds


def test_lengths_are_those_of_the_vectors_even_far_from_the_origin():
    atoms = STRUCTURES["methanol"]()
    near = ours(atoms, 5.0)
    atoms.translate([1e5, -2e5, 3e5])
    far = ours(atoms, 5.0)
    assert near.keys() == far.keys()
    assert max(abs(near[bond] - far[bond]) for bond in near) < 1e-9


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), (True, False, True), (False, False, False)])
def test_open_axes_get_unit_vectors_normal_to_the_periodic_ones(pbc):
    pbc = np.array(pbc)
    cell = STRUCTURES["skewed_crystal"]().cell.array
    completed = complete_cell(cell, pbc)
    np.testing.assert_array_equal(completed[pbc], cell[pbc])
    np.testing.assert_allclose(completed[~pbc] @ completed[~pbc].T, np.eye((~pbc).sum()), atol=1e-14)
    np.testing.assert_allclose(completed[~pbc] @ completed[pbc].T, 0, atol=1e-14)


def test_a_fully_periodic_cell_stays_as_it_is():
    cell = STRUCTURES["left_handed_crystal"]().cell.array
    np.testing.assert_array_equal(complete_cell(cell, np.array([True, True, True])), cell)


@pytest.mark.parametrize("distance", [1e3, 1e6, 1e12])
def test_a_far_atom_is_no_neighbour_and_costs_nothing(distance):
    """An atom that flew off, out of a molecule or off a slab: a search over the empty space would take for ever."""
    positions = np.array([[0.0, 0, 0], [0, 0, distance], [0, 0, 1]])
    for cell, pbc in ((np.zeros((3, 3)), [False] * 3), (np.diag([3.0, 3, 0]), [True, True, False])):
        far = neighbor_list(positions, cell, np.array(pbc), 5.0)
        near = neighbor_list(np.array([[0.0, 0, 0], [0, 0, 20], [0, 0, 1]]), cell, np.array(pbc), 5.0)
        bonds = [sorted(zip(*(part.tolist() for part in (i, j)), shifts.tolist(), strict=True))
                 for i, j, shifts, _ in (far, near)]  # fmt: skip
        assert bonds[0] == bonds[1]


def test_atoms_many_cells_away_have_the_same_neighbours():
    """Drifting through the cell in a long simulation changes nothing but the shifts."""
    cell, pbc = np.array([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]]), np.array([True] * 3)
    positions = np.array([[0.0, 0, 0], [1.8, 0.1, 0]])
    moved = positions + np.array([[100_000, -7, 3], [0, 0, -50_000]]) @ cell
    i, j, shifts, lengths = neighbor_list(moved, cell, pbc, 5.0)
    np.testing.assert_allclose(np.linalg.norm(moved[j] - moved[i] + shifts @ cell, axis=1), lengths, atol=1e-9)
    np.testing.assert_allclose(np.sort(lengths), np.sort(neighbor_list(positions, cell, pbc, 5.0)[3]), atol=1e-9)


def test_arrays_of_any_kind_are_taken():
    atoms = rattled(bulk("Si", cubic=True))
    expected = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, 5.0)
    backwards = atoms.positions[::-1].copy()[::-1]
    big_endian = atoms.positions.astype(">f8")
    for positions in (backwards, big_endian, np.asfortranarray(atoms.positions)):
        for pbc in (atoms.pbc, np.array([1, 1, 1])):
            found = neighbor_list(positions, np.asfortranarray(atoms.cell.array), pbc, 5.0)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("pbc", [(False, True, True), (False, True, False)])
def test_a_long_cell_that_is_open_along_an_axis_is_searched(pbc):
    """vesin 0.6.2, asked for this as it is, ends the process."""
    turned = np.array([[0.36, 0.93, 0.0], [-0.93, 0.36, 0.0], [0.0, 0.0, 1.0]])
    chain = np.arange(300)[:, None] * np.array([0.0, 3.0, 0.0]) @ turned
    centres, neighbours, shifts, _ = neighbor_list(chain, np.diag([20.0, 50000.0, 13.0]) @ turned, np.array(pbc), 5.0)
    assert len(centres) == 2 * 299
    assert set(np.abs(neighbours - centres)) == {1}
    assert not shifts.any()
