"""The compiled search for bonds and the one by numpy and vesin give the same, to the last bit."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.structures import STRUCTURES, rattled
from tribond import compiled
from tribond.errors import StructureError
from tribond.graph import pairs
from tribond.graph.bond_list import BondList
from tribond.graph.bonds import Bonds
from tribond.graph.build import Parts, atom_graph
from tribond.graph.neighbors import bonds_within, find_bonds

pytestmark = pytest.mark.skipif(compiled.library() is None, reason="tribond was installed without a C++ compiler")

LIBRARIES = {library.instruction_set: library for library in compiled.libraries()}
SEEDS = st.integers(0, 10**6)
PBC = list(itertools.product([False, True], repeat=3))


@pytest.fixture(params=LIBRARIES, autouse=True)
def library(request, monkeypatch) -> compiled.Library:
    monkeypatch.setattr(compiled, "library", lambda: LIBRARIES[request.param])
    return LIBRARIES[request.param]


def by_python(function):
    """What `function` gives without the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "library", lambda: None)
        return function()


def bonds_of(atoms: Atoms, cutoff: float, threebody_cutoff: float) -> Bonds:
    parts = Parts.of(atoms)
    positions = torch.from_numpy(atoms.positions.copy())
    return bonds_within(positions, parts.cell[0], parts.pbc[0], cutoff, threebody_cutoff)


def assert_identical(one: Bonds, other: Bonds) -> None:
    for name in ("edge_index", "cell_shifts", "angle_edges"):
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        assert first.is_contiguous()
        assert torch.equal(first, second), name
    assert one.clash == other.clash


def tried(atoms: Atoms, cutoff: float) -> bool:
    """Whether the compiled search answers."""
    parts, positions = Parts.of(atoms), torch.from_numpy(atoms.positions.copy())
    return pairs.search(positions, parts.cell[0], parts.pbc[0], cutoff, 1.0) is not None


def check(atoms: Atoms, cutoff: float = 5.0, threebody_cutoff: float = 4.0) -> Bonds:
    found = bonds_of(atoms, cutoff, threebody_cutoff)
    assert_identical(found, by_python(lambda: bonds_of(atoms, cutoff, threebody_cutoff)))
    return found


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure(name):
    atoms = STRUCTURES[name]()
    assert tried(atoms, 5.0)
    check(atoms)
    check(atoms, 9.0, 9.5)


@settings(max_examples=60)
@given(
    seed=SEEDS,
    pbc=st.sampled_from(PBC),
    count=st.integers(0, 12),
    cutoff=st.floats(0.5, 8.0),
    skew=st.sampled_from([0.0, 1.5, 3.0]),
    away=st.sampled_from([0, 1, 30, 10**5]),
)
def test_any_lattice_with_atoms_anywhere(seed, pbc, count, cutoff, skew, away):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(2, 6, 3)) + random.uniform(-skew, skew, (3, 3))
    if abs(np.linalg.det(cell)) < 1.0:
        cell += 4 * np.eye(3)
    positions = random.uniform(0, 6, (count, 3)) + random.integers(-away, away + 1, (count, 3)) @ cell
    atoms = Atoms(f"H{count}", positions, cell=cell, pbc=pbc)
    found = check(atoms, cutoff, 0.8 * cutoff)
    if away <= 30 and count <= 4:
        assert tried(atoms, cutoff)
    # And from a list that reaches farther, whoever made it and looks through it.
    search = partial(find_bonds, atoms.positions, cell, atoms.pbc, cutoff + 1.0)
    for listed in (search(), by_python(search)):
        select = partial(listed.select, torch.tensor(positions), listed.offsets(cell), cutoff, 0.8 * cutoff)
        assert_identical(select(), found)
        assert_identical(by_python(select), found)


@given(seed=SEEDS, pbc=st.sampled_from(PBC[1:]), height=st.sampled_from([0.4, 2.0, 12.0]))
def test_flat_cells_with_many_images(seed, pbc, height):
    """Lattice vectors that nearly lie in a plane, as long combinations of short ones."""
    random = np.random.default_rng(seed)
    cell = np.array([[3.0, 0, 0], [0.4, 3.2, 0], [random.uniform(-9, 9), random.uniform(-9, 9), height]])
    check(Atoms("HC", scaled_positions=random.uniform(-1, 1, (2, 3)), cell=cell, pbc=pbc))


@pytest.mark.parametrize("pbc", PBC)
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_left_handed_and_open_cells(pbc, order):
    atoms = STRUCTURES["skewed_crystal"]()
    atoms.set_cell(atoms.cell.array[list(order)])
    atoms.pbc = pbc
    check(atoms)
    atoms.set_cell(np.where(np.array(pbc)[:, None], atoms.cell.array, 0.0))  # no lattice vectors along open axes
    check(atoms)


@pytest.mark.parametrize("cutoff", [2.0, 5.0, 12.0, 20.0])
def test_one_atom_with_many_images(cutoff):
    found = check(bulk("Cu", "fcc", a=3.6), cutoff, cutoff)
    assert found.edge_index.shape[1] == len(found.angle_edges) > 0 or cutoff == 2.0


@pytest.mark.parametrize("box", [None, [7.0, 8.0, 9.0]])
@given(seed=SEEDS)
def test_dimers_at_exactly_the_cutoff(box, seed):
    """One bit decides: the same one both ways."""
    random = np.random.default_rng(seed)
    direction = random.normal(size=3)
    cutoff = random.uniform(1, 3.4)
    start = random.uniform(-50, 50, 3)
    end = start + direction / np.linalg.norm(direction) * cutoff
    for step in range(-3, 4):
        moved = end + step * np.spacing(end)
        atoms = Atoms("H2", [start, moved], cell=box, pbc=box is not None)
        assert check(atoms, cutoff, cutoff).edge_index.shape[1] in {0, 2}
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 3.0]], cell=box, pbc=box is not None)
    assert check(atoms, 3.0, 3.0).edge_index.shape[1] == 0
    found = check(atoms, np.nextafter(3.0, 4.0), 3.0)
    assert found.edge_index.shape[1] == 2
    assert len(found.angle_edges) == 0


@given(seed=SEEDS, distance=st.sampled_from([0.0, 1e-13, 0.01, 0.0999999, 0.1, 0.11]))
def test_the_same_clash_is_reported(seed, distance):
    random = np.random.default_rng(seed)
    atoms = STRUCTURES["skewed_crystal"]()
    twins = random.integers(3, size=2)
    moves = random.normal(size=(2, 3))
    moves *= distance / np.linalg.norm(moves, axis=1)[:, None]
    moves += random.integers(-2, 3, (2, 3)) @ atoms.cell.array
    atoms += Atoms("CC", atoms.positions[twins] + moves)
    check(atoms)
    outcomes = [_outcome(atoms), by_python(lambda: _outcome(atoms))]
    assert outcomes[0] == outcomes[1]


def _outcome(atoms: Atoms) -> str:
    try:
        return str(atom_graph(atoms, 5.0, 4.0).num_edges)
    except StructureError as error:
        return str(error)


@settings(max_examples=40)
@given(
    seed=SEEDS,
    pbc=st.sampled_from(PBC),
    lengths=st.tuples(*[st.sampled_from([3.0, 6.0, 11.0, 16.0, 31.0])] * 3),
    skew=st.sampled_from([0.0, 0.4]),
    lattice=st.booleans(),
    threads=st.sampled_from([1, 2, 5]),
)
def test_many_atoms_in_cells_of_one_and_of_many_boxes(seed, pbc, lengths, skew, lattice, threads):
    """Also on the borders of boxes, outside the cell, and by any number of threads."""
    random = np.random.default_rng(seed)
    cell = np.diag(lengths) @ (np.eye(3) + np.triu(random.uniform(-skew, skew, (3, 3)), 1))
    fractions = random.integers(0, 24, (300, 3)) / 12 if lattice else random.uniform(-1, 2, (300, 3))
    atoms = Atoms("H300", fractions @ cell, cell=cell, pbc=pbc)
    cutoff = random.choice([3.0, lengths[0] / 3, lengths[1] / 2])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert tried(atoms, cutoff)
        check(atoms, cutoff, 0.7 * cutoff)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("pbc", PBC)
def test_clusters_far_from_each_other(pbc):
    """More boxes fit between them than are counted along an axis."""
    random = np.random.default_rng(3)
    far = [[0, 0, 0], [9e5, 0, 0], [0, -9e5, 3e5], [-9e5, 9e5, 9e5]]
    positions = np.concatenate([start + random.uniform(0, 9, (60, 3)) for start in far])
    atoms = Atoms("H240", positions, cell=[12.0, 13.0, 14.0], pbc=pbc)
    assert tried(atoms, 0.9)
    assert check(atoms, 0.9, 0.8).edge_index.shape[1] > 30
    check(atoms, 4.0)


def test_crystals_of_thousands_of_atoms():
    atoms = bulk("Si", cubic=True).repeat(6)
    assert tried(atoms, 5.0)
    assert check(atoms).edge_index.shape[1] == 28 * len(atoms)
    check(rattled(atoms, 0.1), 6.0)


def test_what_would_take_too_many_tries_is_left_to_vesin(monkeypatch):
    atoms = rattled(bulk("Si", cubic=True).repeat(2), 0.05)
    monkeypatch.setattr(pairs, "MOST_TRIED", 10**9)
    found = check(atoms)
    monkeypatch.setattr(pairs, "MOST_TRIED", 10)
    assert not tried(atoms, 5.0)
    assert_identical(found, bonds_of(atoms, 5.0, 4.0))


class Failing:
    """Functions that do what the library does until one is told to fail."""

    def __init__(self, functions, **outcomes):
        self.functions, self.outcomes, self.deleted = functions, outcomes, 0

    def __getattr__(self, name):
        if name == "tribond_search_delete":
            self.deleted += 1
        if name in self.outcomes:
            return lambda *_: self.outcomes[name]
        return getattr(self.functions, name)


@pytest.mark.parametrize(
    ("function", "outcome", "error", "message"),
    [
        ("tribond_search", compiled.NO_MEMORY, MemoryError, "no memory for the bonds of 1 atoms within 5.0 Å"),
        ("tribond_search", compiled.FAILED, RuntimeError, "the search for the bonds of 1 atoms within 5.0 Å failed"),
        ("tribond_search_write", compiled.FAILED, RuntimeError, "failed"),
    ],
)
def test_a_search_that_fails_says_so_and_leaves_nothing_behind(library, monkeypatch, function, outcome, error, message):
    failing = Failing(library.functions, **{function: outcome})
    monkeypatch.setattr(compiled, "library", lambda: compiled.Library(failing, "failing"))
    with pytest.raises(error, match=message):
        bonds_of(bulk("Cu"), 5.0, 4.0)
    assert failing.deleted == 1


def test_no_atoms():
    assert tried(Atoms(), 5.0)
    assert check(Atoms()).edge_index.shape == (2, 0)


def test_far_atoms_are_left_to_vesin():
    for distance in (1e5, 1e7, 1e12, 1e200):
        atoms = molecule("CH3OH")
        atoms.positions[1, 2] = distance
        assert tried(atoms, 5.0) == (distance < 1e6)
        check(atoms)


@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf])
def test_no_radius_and_what_is_not_finite_are_not_searched_for(radius):
    atoms = STRUCTURES["crystal"]()
    assert not tried(atoms, radius)
    atoms.positions[0, 0] = radius
    if radius != -1.0:
        assert not tried(atoms, 5.0)
    flat = Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True)
    assert not tried(flat, 5.0)
    assert not tried(Atoms("H", cell=np.zeros((3, 3)), pbc=(False, True, False)), 5.0)


@pytest.mark.parametrize(
    ("centre", "neighbour", "image"), [(0, 2, 0), (2, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 1, 1), (0, 1, -1)]
)
def test_lists_that_name_atoms_or_images_that_do_not_exist_are_refused(centre, neighbour, image):
    wrong = BondList(np.array([[centre], [neighbour]]), np.array([image]), np.zeros((1, 3), dtype=np.int64))
    with pytest.raises(IndexError, match="2 atoms and 1 images"):
        wrong.select(torch.zeros(2, 3, dtype=torch.float64), np.zeros((3, 1)), 5.0, 4.0)


def test_lists_of_the_wrong_length_are_refused():
    positions = torch.zeros(2, 3, dtype=torch.float64)
    table = np.zeros((1, 3), dtype=np.int64)
    short = BondList(np.array([[0, 1], [1, 0]]), np.array([0]), table)
    right = np.array([[0], [1]])
    with pytest.raises(ValueError, match="a list of 2 pairs and 1 images"):
        short.select(positions, np.zeros((3, 1)), 5.0, 4.0)
    with pytest.raises(ValueError, match="a list of 1 pairs and 1 images"):
        BondList(right, np.array([0]), table).select(positions, np.zeros((3, 2)), 5.0, 4.0)
    with pytest.raises(ValueError, match="a list of 1 pairs and 1 images"):
        BondList(right[:1], np.array([0]), table).select(positions, np.zeros((3, 1)), 5.0, 4.0)
    with pytest.raises(ValueError, match="a list of 1 pairs and 1 images"):
        BondList(right, np.array([0]), table[:, :2]).select(positions, np.zeros((3, 1)), 5.0, 4.0)
    with pytest.raises(ValueError, match="a tensor of shape"):
        BondList(right, np.array([0]), table).select(positions[:, :2], np.zeros((3, 1)), 5.0, 4.0)


def test_positions_and_cells_of_any_kind_are_taken():
    atoms = bulk("Si", cubic=True)  # whose numbers float32 cannot hold: 5.43 / 4
    positions, cell, pbc = torch.tensor(atoms.positions), torch.tensor(atoms.cell.array), torch.tensor(atoms.pbc)
    expected = bonds_within(positions, cell, pbc, 5.0, 4.0)
    columns = bonds_within(positions.T.contiguous().T, cell.mT.contiguous().mT, pbc.int(), 5.0, 4.0)
    assert_identical(columns, expected)
    assert bonds_within(positions.float(), cell.float(), pbc, 5.0, 4.0).edge_index.equal(expected.edge_index)
    listed = find_bonds(atoms.positions, atoms.cell.array, atoms.pbc, 6.0)
    for array in (listed.edge_index, listed.image, listed.shifts):
        array.flags.writeable = False
    offsets = listed.offsets(atoms.cell.array)
    assert listed.select(positions.float(), offsets, 5.0, 4.0).edge_index.equal(expected.edge_index)


@given(seed=SEEDS, size=st.integers(0, 400))
def test_any_list_is_looked_through_alike(seed, size):
    """Lists in memory of any layout, with lengths that overflow, too."""
    random = np.random.default_rng(seed)
    atoms, images = 7, 5
    ends = random.integers(0, atoms, (size, 2)).T  # columns side by side in memory
    listed = BondList(ends, random.integers(0, images, size), random.integers(-3, 4, (images, 3)))
    positions = torch.tensor(random.normal(scale=3, size=(atoms, 3)))
    positions[0, 0] = random.choice([0.0, 1e200])
    cell = random.normal(scale=3, size=(3, 3))
    given_to = (positions, listed.offsets(cell), 5.0, 4.0)
    assert_identical(listed.select(*given_to), by_python(lambda: listed.select(*given_to)))


@given(seed=SEEDS)
def test_lengths_are_the_same_to_the_last_bit(seed):
    """Told of the shortest pair alone, so of many crystals and lists."""
    random, functions = np.random.default_rng(seed), compiled.library().functions
    counts, least = torch.zeros(3, dtype=torch.long), torch.zeros(1, dtype=torch.float64)
    for _ in range(20):
        cell = 4 * np.eye(3) + random.normal(scale=0.5, size=(3, 3))
        atoms = Atoms("H2", random.normal(scale=9, size=(2, 3)), cell=cell, pbc=True)
        parts, positions = Parts.of(atoms), torch.tensor(atoms.positions)
        found, told = torch.zeros(1, dtype=torch.long), (counts.data_ptr(), least.data_ptr())
        given_to = (2, positions.data_ptr(), parts.cell.data_ptr(), parts.pbc.data_ptr(), 5.0, 25.0, 16.0, 1e9, 1)
        assert functions.tribond_search(*given_to, found.data_ptr(), *told) == 0
        functions.tribond_search_delete(found.item())
        bonds = bonds_of(atoms, 5.0, 4.0)
        listed = BondList.in_order(bonds.edge_index.numpy(), bonds.cell_shifts.numpy().astype(np.int64))
        offsets = listed.offsets(cell)
        squared = listed.squared_lengths(atoms.positions, offsets)
        assert least.item() == squared.min()
        for bond in range(0, listed.num_edges, 7):
            ends, image, kind = listed.edge_index[:, [bond]], listed.image[[bond]], np.zeros(1, dtype=np.uint8)
            of_one = tuple(map(pairs._address, (ends, image, offsets)))
            given_to = (2, 1, len(listed.shifts), positions.data_ptr(), *of_one, 25.0, 16.0, pairs._address(kind))
            assert functions.tribond_pairs_measure(*given_to, *told) == 0
            assert least.item() == squared[bond]


def test_results_share_no_memory_with_the_list():
    listed = find_bonds(np.zeros((1, 3)), 3 * np.eye(3), np.array([True] * 3), 3.5)
    bonds = listed.select(torch.zeros(1, 3, dtype=torch.float64), listed.offsets(3 * np.eye(3)), 3.5, 3.5)
    bonds.edge_index.fill_(9)
    assert (listed.edge_index == 0).all()
