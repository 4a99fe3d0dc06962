"""The cell filter: ASE's numbers, and forces that are derivatives of the enthalpy."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter

from tribond.properties.log_strain import LogStrainFilter

PRESSURE = 0.03  # eV/Å³


def crystal(seed: int = 3) -> Atoms:
    atoms = bulk("Ar", cubic=True)
    random = np.random.default_rng(seed)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * random.normal(size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    atoms.calc = LennardJones(epsilon=0.01, sigma=3.4, rc=8.0, smooth=True)
    return atoms


@pytest.mark.parametrize("constant_volume", [False, True])
def test_positions_and_forces_are_those_of_ases_filter(constant_volume):
    ours, theirs = crystal(), crystal()
    mine = LogStrainFilter(ours, pressure=PRESSURE, constant_volume=constant_volume)
    ases = FrechetCellFilter(theirs, scalar_pressure=PRESSURE, constant_volume=constant_volume)
    move = 0.3 * np.random.default_rng(0).normal(size=(7, 3))
    for _ in range(2):  # the second from a strained cell
        mine.set_positions(mine.get_positions() + move)
        ases.set_positions(ases.get_positions() + move)
        assert np.allclose(ours.cell.array, theirs.cell.array, rtol=0, atol=1e-12)
        assert np.allclose(ours.positions, theirs.positions, rtol=0, atol=1e-12)
        assert np.allclose(mine.get_forces(), ases.get_forces(), rtol=1e-11, atol=1e-11)
        assert np.allclose(mine.stress, ases.stress, rtol=1e-11, atol=1e-14)
    assert np.abs(mine.get_positions()[4:]).max() > 0.5


def test_forces_are_derivatives_of_the_enthalpy():
    atoms = crystal()
    cell = LogStrainFilter(atoms, pressure=PRESSURE)
    start = cell.get_positions() + 0.4 * np.random.default_rng(1).normal(size=(7, 3))
    cell.set_positions(start)
    forces = cell.get_forces()
    for row, axis in ((0, 1), (4, 0), (5, 2), (6, 1)):
        energies = []
        for step in (1e-4, -1e-4):
            moved = start.copy()
            moved[row, axis] += step
            cell.set_positions(moved)
            energies.append(atoms.get_potential_energy() + PRESSURE * atoms.get_volume())
        assert forces[row, axis] == pytest.approx((energies[1] - energies[0]) / 2e-4, abs=1e-7)


def test_a_cell_that_a_constraint_adjusts_is_taken_over():
    atoms = bulk("Ar", cubic=True)
    atoms.set_constraint(FixSymmetry(atoms))
    cell = LogStrainFilter(atoms)
    moved = cell.get_positions()
    moved[4] += [0.2, 0.1, 0.0]  # no longer cubic, if nobody forbids it
    cell.set_positions(moved)
    assert np.ptp(atoms.cell.lengths()) < 1e-10
    strain = cell.get_positions()[4:] / len(atoms)
    assert np.allclose(strain, np.eye(3) * strain[0, 0], rtol=0, atol=1e-10)
    assert strain[0, 0] == pytest.approx(np.log(atoms.cell.lengths()[0] / bulk("Ar", cubic=True).cell.lengths()[0]))
