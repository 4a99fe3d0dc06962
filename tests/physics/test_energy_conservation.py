"""Molecular dynamics at constant energy: forces that are not the exact slope of a smooth energy would heat or cool it.

Asked for in ml-peg#851, with chgnet#79: atoms cross both cutoffs on the way.
"""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

import tribond

TEMPERATURE_K = 1500
DURATION_FS = 60


def hot_crystal() -> Atoms:
    atoms = bulk("SiC", "zincblende", a=4.4, cubic=True)  # 8 atoms, about 47 neighbours each
    spread = np.sqrt(atoms.get_masses()[:, None] * units.kB * TEMPERATURE_K)
    atoms.set_momenta(spread * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    return atoms


def trajectory(potential, timestep_fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Total and potential energy (eV) every 2 fs of velocity Verlet."""
    atoms = hot_crystal()
    atoms.calc = tribond.Calculator(potential)
    energies = []
    dynamics = VelocityVerlet(atoms, timestep=timestep_fs * units.fs)
    dynamics.attach(
        lambda: energies.append((atoms.get_total_energy(), atoms.get_potential_energy())),
        interval=round(2 / timestep_fs),
    )
    dynamics.run(round(DURATION_FS / timestep_fs))
    total, potential_energy = np.array(energies).T
    return total, potential_energy


@pytest.fixture(scope="module")
def trajectories(make_model):
    model = make_model()
    model.reference_energy.set(scale=[10.0] * 5)  # eV: forces of several eV/Å, as in a real crystal
    potential = tribond.Potential(model)
    return {timestep: trajectory(potential, timestep) for timestep in (2.0, 1.0)}


def test_the_total_energy_is_conserved(trajectories):
    total, potential_energy = trajectories[1.0]
    exchanged = np.ptp(potential_energy)  # between motion and bonds
    assert exchanged > 0.3
    assert np.ptp(total) < 0.002 * exchanged


def test_what_is_left_is_the_error_of_the_integrator_which_falls_with_the_square_of_the_time_step(trajectories):
    coarse, fine = (np.ptp(trajectories[timestep][0]) for timestep in (2.0, 1.0))
    assert coarse / fine == pytest.approx(4, rel=0.15)


def test_there_is_no_drift(trajectories):
    """The second half of the trajectory is on average where the first half was."""
    total, potential_energy = trajectories[1.0]
    first, second = np.array_split(total, 2)
    assert abs(first.mean() - second.mean()) < 0.0005 * np.ptp(potential_energy)
