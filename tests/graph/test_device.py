"""The list of neighbours for a GPU, run here on the CPU: the same bonds in the same order, to the last bit."""

from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.test_skin import CUTOFF, KINDS, THREEBODY_CUTOFF, assert_identical, fresh, verlet
from tests.structures import STRUCTURES
from tribond.errors import StructureError
from tribond.graph import bond_list, device
from tribond.graph.bond_list import BondList
from tribond.graph.device import DeviceBondList, find_bonds_on_device
from tribond.graph.neighbors import find_bonds
from tribond.graph.skin import VerletGraph

SEARCHES = {"own": None, "nvalchemi": "nvalchemiops"}


@pytest.fixture(params=SEARCHES)
def search(request, monkeypatch):
    """Both ways to search: without the optional package, and with it."""
    package = SEARCHES[request.param]
    if package is None:
        monkeypatch.setattr(device, "find_spec", lambda _name: None)
    elif find_spec(package) is None:
        pytest.skip("needs nvalchemi-toolkit-ops: pip install 'tribond[gpu]'")
    return partial(find_bonds_on_device, device="cpu")


def on_device(search, skin: float = 1.0) -> VerletGraph:
    """A VerletGraph that treats the CPU as it treats a GPU."""
    graph = verlet(skin)
    graph._find = search
    return graph


def assert_same_list(found: DeviceBondList, expected: BondList) -> None:
    np.testing.assert_array_equal(found.edge_index.numpy(), expected.edge_index)
    np.testing.assert_array_equal(found.shifts[found.image].numpy(), expected.shifts[expected.image])


@pytest.mark.parametrize("name", KINDS)
def test_the_list_is_that_of_the_cpu(search, name):
    atoms = KINDS[name]()
    for moved in (0.0, 37.0):
        arguments = (atoms.positions + moved, atoms.cell.array, atoms.pbc, 6.0)
        assert_same_list(search(*arguments), find_bonds(*arguments))


def test_neighbours_are_never_capped(search):
    """Six hundred an atom: more than the optional package makes room for at first."""
    random = np.random.default_rng(0)
    arguments = (random.uniform(0, 10, (700, 3)), np.eye(3) * 10, np.array([True] * 3), 6.0)
    assert_same_list(search(*arguments), find_bonds(*arguments))


@given(seed=st.integers(0, 10**6))
def test_pairs_without_order_come_in_the_order_of_the_cpu(seed):
    random = np.random.default_rng(seed)
    rows = np.unique(np.hstack([random.integers(0, 9, (100, 2)), random.integers(-3, 4, (100, 3))]), axis=0)
    rows = random.permutation(rows)
    found = device._sorted(torch.tensor(rows[:, :2].T.copy()), torch.tensor(rows[:, 2:]), 9)
    assert_same_list(found, BondList.sorted(rows[:, :2], rows[:, 2:], 9))


def test_so_they_do_where_one_number_cannot_hold_a_bond(monkeypatch):
    rows = np.random.default_rng(0).permutation([[i, j, s, 0, 0] for i in range(4) for j in range(4) for s in (0, 1)])
    expected = BondList.sorted(rows[:, :2], rows[:, 2:], 4)
    for module in (device, bond_list):
        monkeypatch.setattr(module, "LARGEST_KEY", 10)
    assert_same_list(device._sorted(torch.tensor(rows[:, :2].T.copy()), torch.tensor(rows[:, 2:]), 4), expected)


@pytest.mark.parametrize("name", KINDS)
def test_graphs_are_those_of_the_cpu_at_every_step(search, name):
    random, atoms, graph = np.random.default_rng(0), KINDS[name](), on_device(search)
    for step in range(10):
        assert_identical(graph(atoms), fresh(atoms))
        atoms.positions += random.normal(scale=0.05, size=atoms.positions.shape)
        if step == 5:
            atoms.set_cell(atoms.cell.array * 0.99)


def test_coinciding_atoms_are_refused(search):
    atoms, graph = Atoms("HCSi", positions=[[0, 0, 3], [1, 1, 1], [1, 1, 1.6]]), on_device(search)
    graph(atoms)
    atoms.positions[2, 2] = 1.02
    with pytest.raises(StructureError, match=r"atom 1 \(C\) and atom 2 \(Si\) are 0.02 Å apart"):
        graph(atoms)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_gpu_makes_the_same_graphs(name):
    random, atoms = np.random.default_rng(0), STRUCTURES[name]()
    graph = VerletGraph(CUTOFF, THREEBODY_CUTOFF, device="cuda")
    for _ in range(5):
        made = graph(atoms)
        assert made.device.type == "cuda"
        assert_identical(made.to("cpu"), fresh(atoms))
        atoms.positions += random.normal(scale=0.1, size=atoms.positions.shape)
