"""A list that is kept for a whole batch gives, bit for bit, the graphs of a fresh search in every system at every step."""

from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.batches import tensors
from tests.graph.comparison import assert_identical
from tests.graph.test_skin import CUTOFF, KINDS, THREEBODY_CUTOFF, _disturb
from tests.structures import STRUCTURES, rattled
from tribond import compiled
from tribond.errors import ConfigError, StructureError
from tribond.graph import device
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.batch_skin import VerletBatch
from tribond.graph.build import atom_graph
from tribond.graph.device import find_bonds_on_device


def fresh(structures: list[Atoms]) -> AtomGraph:
    return AtomGraph.batch([atom_graph(atoms, CUTOFF, THREEBODY_CUTOFF) for atoms in structures])


def batch(skin: float = 1.0) -> VerletBatch:
    return VerletBatch(CUTOFF, THREEBODY_CUTOFF, skin)


@pytest.fixture(params=["compiled", "python", "device", "nvalchemi"])
def every_way(request, monkeypatch):
    """By compiled code, by numpy, and as on a GPU without and with the package that searches there."""
    if request.param == "python":
        monkeypatch.setattr(compiled, "library", lambda: None)
    if request.param != "nvalchemi":
        monkeypatch.setattr(device, "find_spec", lambda _name: None)
    elif find_spec("nvalchemiops") is None:
        pytest.skip("needs nvalchemi-toolkit-ops: pip install 'tribond[gpu]'")

    def made(skin: float = 1.0) -> VerletBatch:
        graph = batch(skin)
        if request.param in {"device", "nvalchemi"}:
            graph._find = partial(find_bonds_on_device, device="cpu")
        return graph

    return made


@pytest.mark.parametrize("skin", [0.0, 0.3, 1.0, 3.0])
def test_graphs_are_those_of_fresh_searches_at_every_step(every_way, skin):
    """Systems of all kinds, some of which move fast and some hardly: they are renewed at different times."""
    random, structures, graph = np.random.default_rng(0), [build() for build in KINDS.values()], every_way(skin)
    for _ in range(10):
        assert_identical(graph(**tensors(structures)), fresh(structures))
        for number, atoms in enumerate(structures):
            atoms.positions += random.normal(scale=0.02 * number, size=atoms.positions.shape)
    if skin == 1:
        assert 2 * len(structures) < graph.searches < 9 * len(structures)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), skin=st.floats(0, 2), size=st.sampled_from([0.01, 0.1, 0.5]))
def test_so_they_are_whatever_comes_goes_moves_or_is_strained(seed, skin, size):
    random, graph = np.random.default_rng(seed), batch(skin)

    def another() -> Atoms:
        count, cell = int(random.integers(0, 6)), np.diag(random.uniform(2.5, 7, 3)) + random.uniform(-1.5, 1.5, (3, 3))
        pbc = random.integers(0, 2, 3).astype(bool)
        return Atoms(random.choice(["H", "Cu"], count), random.uniform(-20, 20, (count, 3)), cell=cell, pbc=pbc)

    structures = [another() for _ in range(5)]
    for _ in range(8):
        try:
            expected = fresh(structures)
        except StructureError:
            with pytest.raises(StructureError):
                graph(**tensors(structures))
        else:
            assert_identical(graph(**tensors(structures)), expected)
        for atoms in structures:
            if len(atoms) and random.integers(2):
                _disturb(atoms, random, size)
        change = random.integers(6)
        if change == 0 and len(structures) > 1:
            del structures[random.integers(len(structures))]
        elif change == 1:
            structures.insert(random.integers(len(structures) + 1), another())
        elif change == 2:
            structures.append(structures[0].copy())
        elif change == 3:
            random.shuffle(structures)


def test_only_the_system_that_moved_is_searched_anew():
    structures, graph = [rattled(bulk("Cu", cubic=True), seed=seed) for seed in range(6)], batch()
    graph(**tensors(structures))
    assert graph.searches == 6
    structures[2].positions[1, 0] += 0.51
    assert_identical(graph(**tensors(structures)), fresh(structures))
    assert graph.searches == 7
    structures[2].positions[1, 0] += 0.4
    assert_identical(graph(**tensors(structures)), fresh(structures))
    assert graph.searches == 7


def test_a_small_strain_needs_no_search_and_a_large_one_of_one_system_one():
    structures, graph = [STRUCTURES[name]() for name in ("one_atom_cell", "skewed_crystal", "slab", "wire")], batch()
    for step in range(5):
        strained = [atoms.copy() for atoms in structures]
        for atoms in strained:
            deformation = np.eye(3) + 0.003 * step * np.array([[1, 0.5, 0], [0, -1, 0], [0, 0.2, 1]])
            atoms.positions = atoms.positions @ deformation
            atoms.set_cell(atoms.cell.array @ deformation)
        assert_identical(graph(**tensors(strained)), fresh(strained))
    assert graph.searches == 4
    structures[1].set_cell(structures[1].cell.array * 0.7, scale_atoms=True)
    assert_identical(graph(**tensors(structures)), fresh(structures))
    assert graph.searches == 5


def test_systems_that_leave_and_join_leave_the_lists_of_the_others():
    """As torch-sim's batches in flight do: those that are done leave, new ones come at the end. All have the same elements."""
    waiting = [rattled(bulk("Cu", cubic=True), seed=seed) for seed in range(12)]
    for number, atoms in enumerate(waiting):
        atoms.positions += 0.7 * number  # else one would pass for another, and rightly so
    inside, graph = waiting[:6], batch()
    graph(**tensors(inside))
    for gone, new in (([1, 4], 6), ([0], 8), ([3, 4, 5], 9)):
        inside = [atoms for place, atoms in enumerate(inside) if place not in gone] + waiting[new : new + len(gone)]
        before = graph.searches
        assert_identical(graph(**tensors(inside)), fresh(inside))
        assert graph.searches - before == len(gone)
    inside.reverse()
    assert_identical(graph(**tensors(inside)), fresh(inside))
    assert graph.searches == 12


def test_a_list_serves_one_system_alone():
    """Two copies of a system that was kept once: one of them is searched."""
    first, graph = STRUCTURES["crystal"](), batch()
    graph(**tensors([first]))
    assert_identical(graph(**tensors([first, first.copy()])), fresh([first, first]))
    assert graph.searches == 2


def test_what_stops_making_sense_is_refused_at_that_step_and_named():
    structures, graph = [STRUCTURES["crystal"](), STRUCTURES["methanol"](), STRUCTURES["skewed_crystal"]()], batch(20.0)
    graph(**tensors(structures))

    def refused(message: str, **changes) -> None:
        changed = [atoms.copy() for atoms in structures]
        for name, value in changes.items():
            getattr(changed[2], name)[1] = value
        with pytest.raises(StructureError, match=message):
            graph(**tensors(changed))
        assert_identical(graph(**tensors(structures)), fresh(structures))

    refused(r"system 2: the position of atom 1 \(O\)", positions=np.nan)
    refused("system 2: atomic number 0", numbers=0)
    refused(r"system 2: atom 0 \(Cu\) and atom 1 \(O\) are 0.02 Å", positions=structures[2].positions[0] + [0.02, 0, 0])
    refused("system 2: .* span no volume", cell=structures[2].cell[0])
    refused("system 2: the cell .* must be finite", cell=np.nan)


@pytest.mark.parametrize("skin", [-0.1, np.nan, np.inf, "a", None])
def test_a_skin_is_a_length(skin):
    with pytest.raises(ConfigError, match="the skin must be a length"):
        batch(skin)
