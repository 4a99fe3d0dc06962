"""Batches of tensors become the graphs that structures become one by one, bit by bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from tests.graph.batches import tensors
from tests.graph.comparison import assert_identical
from tests.structures import STRUCTURES, rattled
from tribond import compiled
from tribond.errors import StructureError, UnknownElementError
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.graph.systems import graph_from_tensors

CUTOFFS = {"cutoff": 5.0, "threebody_cutoff": 4.0}


def one_by_one(structures: list[Atoms]) -> AtomGraph:
    return AtomGraph.batch([atom_graph(atoms, **CUTOFFS) for atoms in structures])


def many() -> list[Atoms]:
    """Every kind, of every size and periodicity, empty ones first, within and last."""
    kinds = [build() for build in STRUCTURES.values()]
    return [Atoms(), *kinds, rattled(bulk("Cu", cubic=True).repeat(3)), *reversed(kinds)]


@pytest.mark.parametrize("library", ["compiled", "python"])
def test_a_batch_is_that_of_its_systems(library, monkeypatch):
    if library == "python":
        monkeypatch.setattr(compiled, "library", lambda: None)
    structures = many()
    assert_identical(graph_from_tensors(**tensors(structures), **CUTOFFS), one_by_one(structures))


def test_float32_and_int32_are_taken_as_they_are():
    structures = many()
    given = tensors(structures)
    given |= {name: given[name].float() for name in ("positions", "cell")}
    given |= {name: given[name].int() for name in ("atomic_numbers", "system_index")}
    rounded = [Atoms(a.numbers, np.float32(a.positions), cell=np.float32(a.cell.array), pbc=a.pbc) for a in structures]
    assert_identical(graph_from_tensors(**given, **CUTOFFS), one_by_one(rounded))


def test_transposed_cells_and_strided_positions_are_read_as_they_stand():
    """torch-sim keeps lattice vectors as columns and hands out a view."""
    structures = many()
    given = tensors(structures)
    given["cell"] = given["cell"].mT.contiguous().mT
    given["positions"] = torch.cat([given["positions"]] * 2, dim=1)[:, :3]
    assert_identical(graph_from_tensors(**given, **CUTOFFS), one_by_one(structures))


def test_later_changes_do_not_reach_the_graph():
    structures = [STRUCTURES["crystal"](), STRUCTURES["methanol"]()]
    given = tensors(structures)
    graph, before = graph_from_tensors(**given, **CUTOFFS), one_by_one(structures)
    for tensor in given.values():
        tensor.zero_()
    assert_identical(graph, before)


@pytest.mark.parametrize("structures", [[], [Atoms()], [Atoms(), Atoms()]], ids=["none", "empty", "empties"])
def test_there_may_be_nothing(structures):
    given = tensors(structures) if structures else {n: t[:0] for n, t in tensors([STRUCTURES["crystal"]()]).items()}
    graph = graph_from_tensors(**given, **CUTOFFS)
    assert (graph.num_systems, graph.num_atoms, graph.num_edges) == (len(structures), 0, 0)


def broken(**changes) -> dict[str, torch.Tensor]:
    return tensors([STRUCTURES["crystal"](), STRUCTURES["methanol"](), STRUCTURES["slab"]()]) | changes


GOOD = broken()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": GOOD["positions"][:-1]}, r"atomic_numbers of shape \(12,\) must have \(11,\)"),
        ({"cell": GOOD["cell"][:2]}, r"pbc of shape \(3, 3\) must have \(2, 3\)"),
        ({"pbc": torch.tensor([True, True, False])}, r"pbc of shape \(3,\) must have \(3, 3\)"),
        ({"pbc": GOOD["pbc"].long()}, "pbc must be bool, not torch.int64"),
        ({"positions": GOOD["positions"].long()}, "positions must be floats, not torch.int64"),
        ({"atomic_numbers": GOOD["atomic_numbers"].double()}, "atomic_numbers must be whole numbers"),
        ({"system_index": GOOD["system_index"].flip(0)}, "atom 4 belongs to system 1 .* sort the atoms by system"),
        ({"system_index": GOOD["system_index"] + 1}, "atom 8 belongs to system 3, and there are cells of 3"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(StructureError, match=message):
        graph_from_tensors(**broken(**changes), **CUTOFFS)


def test_what_single_systems_refuse_is_refused_with_the_number_of_the_system():
    def crystal(index: int, change) -> list[Atoms]:
        atoms = [STRUCTURES["crystal"](), STRUCTURES["methanol"](), STRUCTURES["skewed_crystal"]()]
        change(atoms[index])
        return atoms

    def nan(atoms: Atoms) -> None:
        atoms.positions[1, 2] = np.nan

    def dummy(atoms: Atoms) -> None:
        atoms.numbers[0] = 0

    def flat(atoms: Atoms) -> None:
        atoms.cell[2] = atoms.cell[1]

    def twice(atoms: Atoms) -> None:
        atoms.positions[1] = atoms.positions[0] + [0, 0, 0.01]

    def far(atoms: Atoms) -> None:
        atoms.positions[1] += 3e9

    def endless(atoms: Atoms) -> None:
        atoms.cell[0, 0] = np.inf

    cases = [
        (crystal(1, nan), r"system 1: the position of atom 1 \(O\)"),
        (crystal(0, dummy), "system 0: atomic number 0"),
        (crystal(2, flat), "system 2: .* span no volume"),
        (crystal(2, endless), "system 2: the cell .* must be finite"),
        (crystal(2, far), r"system 2: atom 1 \(O\) is at"),
        (crystal(2, twice), r"system 2: atom 0 \(Cu\) and atom 1 \(O\) are 0.01 Å apart"),
        (crystal(2, twice)[2:], r"^atom 0 \(Cu\) and atom 1 \(O\) are 0.01 Å apart"),
    ]
    for structures, message in cases:
        with pytest.raises(StructureError, match=message):
            graph_from_tensors(**tensors(structures), **CUTOFFS)
    with pytest.raises(UnknownElementError):
        graph_from_tensors(**tensors(cases[1][0]), **CUTOFFS)


def test_of_many_systems_the_crowded_one_is_named():
    crowd = Atoms("H4000", positions=np.random.default_rng(0).uniform(0, 2, (4000, 3)))
    with pytest.raises(StructureError, match="system 1: .* no matter is as dense"):
        graph_from_tensors(**tensors([STRUCTURES["crystal"](), crowd]), **CUTOFFS)


def test_no_gradient_comes_along():
    given = broken()
    given["positions"].requires_grad_()
    graph = graph_from_tensors(**given, **CUTOFFS)
    assert not graph.positions.requires_grad
    assert replace(graph).edge_vectors().requires_grad is False
