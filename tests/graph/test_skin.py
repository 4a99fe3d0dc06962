"""A list of neighbours that is kept gives, bit for bit, the graphs of one that is searched for at every step."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph import comparison
from tests.structures import STRUCTURES, rattled
from tribond.errors import ConfigError, StructureError, UnknownElementError
from tribond.graph import skin as skin_module
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.graph.skin import VerletGraph

CUTOFF, THREEBODY_CUTOFF = 5.0, 4.0
SEEDS = st.integers(0, 10**6)


def long_skewed_crystal() -> Atoms:
    """A cell so oblique that lattice vectors far along one axis are near, and large enough to hold a sphere."""
    atoms = bulk("Cu", cubic=True).repeat((4, 3, 3))
    atoms.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ atoms.cell.array)
    return rattled(atoms)


def slab_of_layers() -> Atoms:
    return rattled(fcc111("Cu", (3, 3, 4), vacuum=None))  # no third lattice vector at all


KINDS = STRUCTURES | {
    function.__name__: function for function in (long_skewed_crystal, slab_of_layers)
} | {"c60": lambda: molecule("C60")}  # fmt: skip


@pytest.fixture
def searches(monkeypatch) -> list[float]:
    """The radius of every search for neighbours."""
    radii = []
    search = skin_module.find_bonds

    def counted(positions, cell, pbc, radius):
        radii.append(radius)
        return search(positions, cell, pbc, radius)

    monkeypatch.setattr(skin_module, "find_bonds", counted)
    return radii


def fresh(atoms: Atoms) -> AtomGraph:
    return atom_graph(atoms, CUTOFF, THREEBODY_CUTOFF)


def verlet(skin: float = 1.0) -> VerletGraph:
    return VerletGraph(CUTOFF, THREEBODY_CUTOFF, skin)


def assert_identical(kept: AtomGraph, expected: AtomGraph) -> None:
    """Vectors of bonds, too."""
    comparison.assert_identical(kept, expected)
    assert torch.equal(kept.edge_vectors(), expected.edge_vectors())


@pytest.mark.parametrize("skin", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("name", KINDS)
def test_graphs_are_those_of_a_fresh_search_at_every_step(name, skin, searches):
    random, atoms, graph = np.random.default_rng(0), KINDS[name](), verlet(skin)
    for _ in range(12):
        assert_identical(graph(atoms), fresh(atoms))
        atoms.positions += random.normal(scale=0.05, size=atoms.positions.shape)
    if skin == 0:
        assert graph._list._kept is None
    elif skin == 3:
        assert len(searches) == 1


@settings(max_examples=60)
@given(seed=SEEDS, pbc=st.tuples(*[st.booleans()] * 3), skin=st.floats(0, 2), size=st.sampled_from([0.01, 0.1, 0.5]))
def test_so_they_are_for_any_lattice_any_moves_and_any_strain(seed, pbc, skin, size):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(2.5, 7, 3)) + random.uniform(-1.5, 1.5, (3, 3))
    count = int(random.integers(1, 9))
    # Thin enough that no two atoms coincide, which both would refuse.
    atoms = Atoms(random.choice(["H", "C", "Cu"], count), random.uniform(-20, 20, (count, 3)), cell=cell, pbc=pbc)
    graph = verlet(skin)
    for _ in range(8):
        try:
            expected = fresh(atoms)
        except StructureError:
            with pytest.raises(StructureError):
                graph(atoms)
        else:
            assert_identical(graph(atoms), expected)
        _disturb(atoms, random, size)


def _disturb(atoms: Atoms, random: np.random.Generator, size: float) -> None:
    """One of the things that happen to atoms between two steps."""
    kind = random.integers(10)
    if kind < 5:
        atoms.positions += random.normal(scale=size, size=atoms.positions.shape)
    elif kind == 5:  # strained with its atoms, as by a barostat
        deformation = np.eye(3) + random.normal(scale=size / 5, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    elif kind == 6:  # strained without them
        atoms.set_cell(atoms.cell.array + random.normal(scale=size, size=(3, 3)))
    elif kind == 7:
        atoms.wrap()
    elif kind == 8:  # one atom, by whole cells
        atoms.positions[random.integers(len(atoms))] += random.integers(-2, 3, 3) @ atoms.cell.array
    else:
        atoms.pbc = ~atoms.pbc


@pytest.mark.parametrize("skin", [0.2, 1.0])
def test_an_atom_that_comes_into_reach_is_never_missed(skin):
    """Two atoms approach each other from just outside the list, by just less and just more than half the skin."""
    for step in (0.499, 0.5, 0.501):
        atoms = Atoms("HC", positions=[[0, 0, 0], [0, 0, CUTOFF + skin + 1e-5]])
        graph = verlet(skin)
        assert graph(atoms).num_edges == 0
        for _ in range(3):
            atoms.positions += np.array([[0, 0, 1], [0, 0, -1]]) * step * skin
            assert_identical(graph(atoms), fresh(atoms))
        assert graph(atoms).num_edges == 2


def test_jumps_far_beyond_the_skin_are_followed(searches):
    random = np.random.default_rng(0)
    atoms, graph = rattled(bulk("Cu", cubic=True).repeat(3)), verlet()
    for _ in range(10):
        atoms.positions[random.integers(len(atoms))] += random.normal(scale=8, size=3)
        assert_identical(graph(atoms), fresh(atoms))
    assert len(searches) == 10


def test_a_cell_that_shrinks_step_by_step_brings_in_every_bond(searches):
    """Scaled with its atoms, no atom moves against the cell; distances shrink all the same."""
    atoms, graph = rattled(bulk("Cu", cubic=True).repeat(2)), verlet()
    for _ in range(40):
        assert_identical(graph(atoms), fresh(atoms))
        atoms.set_cell(atoms.cell.array * 0.995, scale_atoms=True)
    assert 1 < len(searches) < 12


@pytest.mark.parametrize("name", ["one_atom_cell", "skewed_crystal", "slab", "wire"])
def test_a_strain_that_is_small_needs_no_search(name, searches):
    """A relaxation strains the cell at every step; along open axes there is no strain, whatever the cell says."""
    atoms, graph = STRUCTURES[name](), verlet()
    for step in range(6):
        deformation = np.eye(3) + 0.003 * step * np.array([[1, 0.5, 0], [0, -1, 0], [0, 0.2, 1]])
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ deformation)
        strained.positions = atoms.positions @ deformation
        assert_identical(graph(strained), fresh(strained))
    assert len(searches) == 1


def test_atoms_may_drift_through_the_cell_without_a_search(searches):
    """Asked for in nvalchemi#151: positions that are wrapped inside a list make atoms jump at the border."""
    atoms, graph = rattled(bulk("Cu", cubic=True).repeat(2)), verlet()
    edge = atoms.cell.array[0, 0]
    atoms.positions[:, 0] += edge - atoms.positions[:, 0].max() - 1e-3  # the first atoms are about to leave
    graph(atoms)
    for _ in range(4):
        atoms.positions[:, 0] += 0.1
        assert_identical(graph(atoms), fresh(atoms))
    assert atoms.positions[:, 0].max() > edge
    assert len(searches) == 1


def test_wrapping_costs_one_search_and_changes_nothing(searches):
    atoms, graph = rattled(bulk("Cu", cubic=True).repeat(2)), verlet()
    atoms.positions += 3.0
    graph(atoms)
    atoms.wrap()
    for _ in range(3):
        atoms.positions += 0.01
        assert_identical(graph(atoms), fresh(atoms))
    assert len(searches) == 2


def test_bonds_do_not_care_where_the_crystal_lies():
    atoms, graph = rattled(bulk("SiC", "zincblende", a=4.4, cubic=True).repeat(2)), verlet()
    near = graph(atoms)
    atoms.positions += [1000.0, -500.0, 250.0]
    far = graph(atoms)
    assert torch.equal(near.edge_index, far.edge_index)
    assert torch.equal(near.cell_shifts, far.cell_shifts)


def test_other_structures_may_follow(searches):
    graph = verlet()
    for build in [*KINDS.values(), *reversed(KINDS.values())]:
        assert_identical(graph(build()), fresh(build()))


def test_other_elements_in_the_same_places_are_other_atoms():
    atoms, graph = STRUCTURES["crystal"](), verlet()
    graph(atoms)
    atoms.numbers[0] = 29
    assert_identical(graph(atoms), fresh(atoms))


def test_a_later_change_of_the_atoms_does_not_reach_the_list():
    """Nor do atoms that are changed in place hide that they moved."""
    atoms, graph = STRUCTURES["skewed_crystal"](), verlet()
    first = graph(atoms)
    before = first.positions.clone()
    atoms.positions += np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 2]])
    cell = atoms.cell.array
    cell[0, 0] += 1.0  # ASE hands out the array itself
    assert_identical(graph(atoms), fresh(atoms))
    assert torch.equal(first.positions, before)


def test_structures_are_only_read(every_structure):
    before, graph = every_structure.copy(), verlet()
    graph(every_structure)
    graph(every_structure)
    assert every_structure == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["crystal", "methanol"])
def test_positions_that_stop_being_finite_are_refused_at_that_step(name, bad):
    atoms, graph = STRUCTURES[name](), verlet()
    graph(atoms)
    good = atoms.positions.copy()
    atoms.positions[1, 2] = bad
    with pytest.raises(StructureError, match="position of atom 1 .* finite"):
        graph(atoms)
    atoms.positions = good
    assert_identical(graph(atoms), fresh(atoms))


def test_an_atom_that_flies_off_loses_its_bonds_and_nothing_else():
    atoms, graph = STRUCTURES["methanol"](), verlet()
    whole = graph(atoms)
    with_atom = (whole.edge_index == 1).any(0)
    for distance in (1e3, 1e9, 1e200):
        atoms.positions[1, 2] = distance
        assert torch.equal(graph(atoms).edge_index, whole.edge_index[:, ~with_atom])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_so_is_a_cell(bad):
    atoms, graph = STRUCTURES["crystal"](), verlet()
    graph(atoms)
    cell = atoms.cell.array.copy()
    cell[1, 1] = bad
    atoms.set_cell(cell)
    with pytest.raises(StructureError, match="cell .* must be finite"):
        graph(atoms)


@pytest.mark.parametrize("squeeze", [0.0, 1e-9, 1e-3])
def test_a_cell_that_collapses_is_refused(squeeze):
    atoms, graph = STRUCTURES["one_atom_cell"](), verlet(20.0)
    graph(atoms)
    atoms.set_cell(atoms.cell.array * [1, 1, squeeze], scale_atoms=True)
    with pytest.raises(StructureError):
        graph(atoms)


def test_atoms_that_come_to_coincide_are_refused_though_the_list_still_holds(searches):
    atoms, graph = Atoms("HCSi", positions=[[0, 0, 3], [1, 1, 1], [1, 1, 1.6]]), verlet(2.0)
    graph(atoms)
    atoms.positions[2, 2] = 1.02
    with pytest.raises(StructureError, match=r"atom 1 \(C\) and atom 2 \(Si\) are 0.02 Å apart"):
        graph(atoms)
    assert len(searches) == 1
    atoms.positions[2, 2] = 1.5
    assert_identical(graph(atoms), fresh(atoms))


def test_what_is_no_element_is_refused_at_that_step():
    atoms, graph = STRUCTURES["crystal"](), verlet()
    graph(atoms)
    atoms.numbers[0] = 0
    with pytest.raises(UnknownElementError, match="dummy"):
        graph(atoms)


def test_partly_occupied_sites_are_refused_at_that_step():
    atoms, graph = STRUCTURES["crystal"](), verlet()
    graph(atoms)
    atoms.info["occupancy"] = {"0": {"Si": 0.6, "C": 0.4}}
    with pytest.raises(StructureError, match="partly occupied"):
        graph(atoms)


@pytest.mark.parametrize("skin", [-0.1, np.nan, np.inf, "a", None])
def test_a_skin_is_a_length(skin):
    with pytest.raises(ConfigError, match="the skin must be a length"):
        verlet(skin)
