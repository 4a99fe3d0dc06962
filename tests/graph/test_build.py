"""From structures to graphs: what is taken, what is refused, and that the words of a refusal help."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from tests.structures import STRUCTURES
from tribond.errors import StructureError, TribondError
from tribond.graph.build import as_atoms, as_list, atom_graph


def test_a_graph_holds_the_structure_in_float64():
    atoms = STRUCTURES["skewed_crystal"]()
    graph = atom_graph(atoms, 5.0, 4.0)
    assert graph.positions.dtype == graph.cell.dtype == graph.cell_shifts.dtype == torch.float64
    np.testing.assert_array_equal(graph.positions, atoms.positions)
    np.testing.assert_array_equal(graph.cell[0], atoms.cell.array)
    assert graph.atomic_numbers.tolist() == atoms.numbers.tolist()
    assert graph.pbc.tolist() == [[True, True, True]]
    assert graph.system_index.tolist() == [0, 0, 0]
    assert graph.state is None


@pytest.mark.parametrize("name", STRUCTURES)
def test_bonds_that_take_part_in_angles_are_those_below_the_three_body_cutoff(name):
    graph = atom_graph(STRUCTURES[name](), 5.0, 4.0)
    lengths = graph.edge_vectors().norm(dim=1)
    assert (lengths < 5.0).all()
    assert graph.angle_edges.tolist() == torch.nonzero(lengths < 4.0)[:, 0].tolist()


def test_structures_are_only_read(every_structure):
    """A forward pass must never change its input, nor must a later change of the input reach the graph."""
    before = every_structure.copy()
    graph = atom_graph(every_structure, 5.0, 4.0)
    assert every_structure == before
    every_structure.positions += 1.0
    np.testing.assert_array_equal(graph.positions, before.positions)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_position_that_is_not_finite_is_refused_with_the_atom(bad):
    atoms = molecule("CH3OH")
    atoms.positions[1, 2] = bad
    with pytest.raises(StructureError, match=r"position of atom 1 \(O\).*finite"):
        atom_graph(atoms, 5.0, 4.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_cell_that_is_not_finite_is_refused(bad):
    atoms = bulk("Cu", cubic=True)
    cell = atoms.cell.array.copy()
    cell[1, 1] = bad
    atoms.cell = cell
    with pytest.raises(StructureError, match="cell .* must be finite"):
        atom_graph(atoms, 5.0, 4.0)


@pytest.mark.parametrize(
    ("cell", "pbc", "axes"),
    [
        (np.zeros((3, 3)), (True, True, True), "a, b, c"),
        ([[4, 0, 0], [0, 4, 0], [4, 4, 0]], (True, True, True), "a, b, c"),
        ([[4, 0, 0], [0, 4, 0], [0, 0, 0]], (True, True, True), "a, b, c"),
        ([[4, 0, 0], [0, 4, 0], [4, 4, 1e-6]], (True, True, True), "a, b, c"),
        ([[4, 0, 0], [8, 0, 0], [0, 0, 4]], (True, True, False), "a, b"),
        ([[4, 0, 0], [0, 4, 0], [0, 0, 0]], (False, False, True), "c"),
    ],
)
def test_periodic_axes_without_volume_are_refused_with_the_axes(cell, pbc, axes):
    atoms = Atoms("Cu", cell=cell, pbc=pbc)
    with pytest.raises(StructureError, match=f"periodic along {axes}, .* no volume"):
        atom_graph(atoms, 5.0, 4.0)


def test_so_are_lattice_vectors_of_almost_no_length():
    with pytest.raises(StructureError):
        atom_graph(Atoms("Cu", cell=[4, 4, 1e-9], pbc=True), 5.0, 4.0)


def test_a_cell_without_volume_is_fine_along_open_axes():
    assert atom_graph(Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=np.zeros((3, 3))), 5.0, 4.0).num_edges == 2


@pytest.mark.parametrize("distance", [0.0, 1e-12, 0.05])
@pytest.mark.parametrize("box", [False, True], ids=["free", "periodic"])
def test_atoms_on_top_of_each_other_are_refused_with_both_and_their_distance(distance, box):
    """Asked for in mattersim#163: where others give NaN. Exactly the same place is no exception."""
    atoms = Atoms("HCSi", positions=[[0, 0, 3], [1, 1, 1], [1, 1, 1 + distance]])
    if box:
        atoms.set_cell([6, 6, 6])
        atoms.pbc = True
    with pytest.raises(StructureError, match=r"atom 1 \(C\) and atom 2 \(Si\) are .* Å apart"):
        atom_graph(atoms, 5.0, 4.0)


def test_so_are_atoms_on_top_of_the_image_of_another():
    atoms = Atoms("HC", positions=[[0, 0, 0], [6, 0, 0.01]], cell=[6, 6, 6], pbc=True)
    with pytest.raises(StructureError, match=r"atom 0 \(H\) and atom 1 \(C\)"):
        atom_graph(atoms, 5.0, 4.0)


def test_and_exactly_on_the_image_of_another():
    """As in files that list an atom at both ends of the cell."""
    atoms = Atoms("HC", positions=[[0, 0, 0], [6, 0, 0]], cell=[6, 6, 6], pbc=True)
    with pytest.raises(StructureError, match=r"atom 0 \(H\) and atom 1 \(C\)"):
        atom_graph(atoms, 5.0, 4.0)


def test_and_atoms_on_their_own_image():
    with pytest.raises(StructureError, match="periodic images"):
        atom_graph(Atoms("H", cell=[0.05, 5, 5], pbc=True), 5.0, 4.0)


def test_hydrogen_molecules_are_not_too_short():
    assert atom_graph(Atoms("H2", [[0, 0, 0], [0, 0, 0.6]]), 5.0, 4.0).num_edges == 2


@pytest.mark.parametrize("thing", ["POSCAR", 7, None, [1, 2], np.zeros((2, 3))], ids=repr)
def test_things_that_are_no_structures_are_refused_by_their_type(thing):
    with pytest.raises(StructureError, match=f"not {type(thing).__name__}"):
        as_atoms(thing)


def test_all_refusals_can_be_caught_as_one_and_are_value_errors():
    assert issubclass(StructureError, TribondError)
    assert issubclass(TribondError, ValueError)


def test_atoms_come_through_as_they_are():
    atoms = STRUCTURES["slab"]()
    assert as_atoms(atoms) is atoms


def test_one_structure_is_a_list_of_one_though_it_is_iterable_itself():
    atoms = STRUCTURES["slab"]()
    assert as_list(atoms) == [atoms]
    assert as_list(iter([atoms, atoms])) == [atoms, atoms]


def test_a_skewed_cell_that_is_nearly_flat_is_refused_at_once():
    cell = [[10, 0, 0], [0, 10, 0], [5, 5, 0.003]]
    with pytest.raises(StructureError, match="periodic images"):
        atom_graph(Atoms("Cu", cell=cell, pbc=True), 5.0, 4.0)


@pytest.mark.parametrize("number", [0, -1, 119])
def test_what_is_no_element_is_refused(number):
    with pytest.raises(StructureError, match=f"atomic number {number}"):
        atom_graph(Atoms(numbers=[number], positions=[[0, 0, 0]]), 5.0, 4.0)


def test_partly_occupied_sites_of_a_cif_are_refused():
    atoms = Atoms("Cu", cell=[3, 3, 3], pbc=True, info={"occupancy": {"0": {"Cu": 0.6, "Zn": 0.4}}})
    with pytest.raises(StructureError, match="partly occupied"):
        atom_graph(atoms, 5.0, 4.0)


@pytest.mark.parametrize("distance", [5.43e12, 5.43e15, 5.43e18, 1e300])
def test_a_periodic_atom_too_far_out_to_be_resolved_is_refused(distance):
    atoms = Atoms("Si2", positions=[[0, 0, 0], [distance + 1.36, 1.36, 1.36]], cell=[5.43] * 3, pbc=True)
    with pytest.raises(StructureError, match=r"atom 1 \(Si\) is at .* no longer resolved; move it into the cell"):
        atom_graph(atoms, 5.0, 4.0)
    atoms.pbc = (False, True, True)
    assert atom_graph(atoms, 5.0, 4.0).num_atoms == 2  # along an open axis nothing depends on where it is


@pytest.mark.parametrize("length", [1.1e6, 1e9, 1e300])
def test_a_periodic_axis_without_end_is_refused(length):
    """The search once divided by zero there, which ends the process."""
    atoms = Atoms("Si", cell=[length, 5.6, 5.6], pbc=True)
    with pytest.raises(StructureError, match="a periodic lattice vector is .* Å long"):
        atom_graph(atoms, 5.0, 4.0)


def test_a_box_of_one_angstrom_around_a_molecule_is_refused():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0.74, 0, 0]], cell=[1, 1, 1], pbc=True)
    with pytest.raises(StructureError, match="cell of 1 1 1 Å holds no structure.*set pbc = False"):
        atom_graph(atoms, 5.0, 4.0)
    atoms.pbc = False
    assert atom_graph(atoms, 5.0, 4.0).edge_index.shape[1] == 2
