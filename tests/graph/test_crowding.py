"""Thousands of atoms on top of each other are refused before all their pairs are written down."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from tribond.errors import StructureError
from tribond.graph.build import atom_graph
from tribond.graph.neighbors import bonds_within, find_bonds

RANDOM = np.random.default_rng(0)
BOX = np.diag([12.0, 12.0, 12.0])


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
@pytest.mark.parametrize("number", [20_000, 8_000])
def test_a_box_full_of_atoms(pbc, number):
    positions = RANDOM.random((number, 3)) * 12.0 + (100.0 if all(pbc) else 0.0)
    with pytest.raises(StructureError, match=r"atoms \d+ and \d+ \(at .*\) are 0\.\d+ Å apart"):
        atom_graph(Atoms(f"H{number}", positions=positions, cell=BOX, pbc=pbc), 5.0, 4.0)
    with pytest.raises(StructureError, match="no matter"):
        find_bonds(positions, BOX, np.array(pbc), 6.0)


def test_a_lump_in_a_large_box():
    positions = np.concatenate([RANDOM.random((3000, 3)) * 200.0, 50.0 + RANDOM.random((3000, 3)) * 4.0])
    with pytest.raises(StructureError, match="atoms lie in a cube of 3 Å"):
        atom_graph(Atoms("H6000", positions=positions, cell=BOX * 20, pbc=True), 5.0, 4.0)


def test_many_atoms_in_a_tiny_cell():
    with pytest.raises(StructureError, match=r"900 atoms in a cell of 27 Å³"):
        atom_graph(Atoms("H900", scaled_positions=RANDOM.random((900, 3)), cell=BOX / 4, pbc=True), 5.0, 4.0)


def test_what_is_dense_and_sound():
    """Diamond at a fifth of its volume, and one atom in a cell of 0.3 Å³."""
    diamond = bulk("C", "diamond", a=3.57 / 5 ** (1 / 3), cubic=True) * (6, 6, 6)
    parts = [torch.from_numpy(np.array(array)) for array in (diamond.positions, diamond.cell.array, diamond.pbc)]
    assert bonds_within(*parts, 4.0, 3.0).edge_index.shape[1] > 100_000
    assert atom_graph(Atoms("H", cell=[0.67] * 3, pbc=True), 5.0, 4.0).num_edges > 1000
