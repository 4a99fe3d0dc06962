"""pymatgen's structures are as good as ASE's."""

import numpy as np
import pytest

from tests.structures import STRUCTURES
from tribond.errors import StructureError, UnknownElementError
from tribond.graph.build import as_atoms, as_list, atom_graph

core = pytest.importorskip("pymatgen.core")


def structure_of(atoms, **settings):
    """The pymatgen Structure of ASE Atoms, without pymatgen's adaptor."""
    lattice = core.Lattice(atoms.cell.array, pbc=tuple(atoms.pbc.tolist()))
    symbols = atoms.get_chemical_symbols()
    return core.Structure(lattice, symbols, atoms.positions, coords_are_cartesian=True, **settings)


@pytest.mark.parametrize("name", ["crystal", "skewed_crystal", "left_handed_crystal", "one_atom_cell", "slab"])
def test_a_structure_gives_the_same_prediction(potential, name):
    atoms = STRUCTURES[name]()
    if name == "slab":
        atoms.cell[2, 2] = 20.0  # pymatgen wants a third vector
    a, b = potential.predict([atoms, structure_of(atoms)])
    assert b.energy == pytest.approx(a.energy, abs=1e-10)
    np.testing.assert_allclose(b.forces, a.forces, atol=1e-10)
    if a.stress is None:
        assert b.stress is None
    else:
        np.testing.assert_allclose(b.stress, a.stress, atol=1e-10)


def test_a_molecule_gives_the_same_prediction(potential):
    atoms = STRUCTURES["methanol"]()
    molecule = core.Molecule(atoms.get_chemical_symbols(), atoms.positions)
    a, b = potential.predict([atoms, molecule])
    assert b.energy == pytest.approx(a.energy, abs=1e-12)
    np.testing.assert_allclose(b.forces, a.forces, atol=1e-12)
    assert b.stress is None


def test_one_structure_or_molecule_is_a_list_of_one():
    structure = structure_of(STRUCTURES["crystal"]())
    molecule = core.Molecule(["C", "O"], [[0, 0, 0], [0, 0, 1.1]])
    assert as_list(structure) == [structure]
    assert as_list(molecule) == [molecule]


def test_oxidation_states_do_not_matter():
    atoms = STRUCTURES["crystal"]()
    charged = structure_of(atoms)
    charged.add_oxidation_state_by_element({"Si": 4, "C": -4})
    assert as_atoms(charged).numbers.tolist() == atoms.numbers.tolist()


def test_periodicity_along_each_axis_is_kept():
    """Asked for in mattersim#82."""
    lattice = core.Lattice(np.diag([4.0, 5.0, 20.0]), pbc=(True, True, False))
    slab = core.Structure(lattice, ["Cu"], [[0.1, 0.2, 0.3]])
    assert as_atoms(slab).pbc.tolist() == [True, True, False]


def test_structures_are_only_read(potential):
    structure = structure_of(STRUCTURES["crystal"](), site_properties={"magmom": [1.0, 2.0]})
    before = structure.copy()
    potential.predict(structure)
    assert structure == before


def test_partly_occupied_sites_are_refused_with_what_to_do():
    disordered = core.Structure(core.Lattice.cubic(4.0), [{"Cu": 0.5, "Si": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match="partly occupied"):
        atom_graph(disordered, 5.0, 4.0)


def test_dummies_are_named():
    dummy = core.Structure(core.Lattice.cubic(5.0), [core.DummySpecies("X"), "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(UnknownElementError, match="site 0 holds X0.*no element"):
        as_atoms(dummy)
