import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator


@pytest.fixture
def labelled_crystal():
    """A rattled, sheared copper crystal with the results of effective medium theory."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array @ (np.array([[1.01, 0.02, 0], [0, 0.97, 0.01], [0.02, 0, 1.01]])), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def labelled_molecule():
    atoms = Atoms("CuAl", positions=[[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = SinglePointCalculator(atoms, energy=1.5, forces=[[0, 0, 1], [0, 0, -1]])
    return atoms
