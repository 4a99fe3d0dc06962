"""Sign and unit of the stress, told by crystals that resist.

Asked for in matgl#222, #286, #497, #702, m3gnet#2, #31 and chgnet#75, #228.
"""

import ase.units
import numpy as np
import pytest
from ase import Atoms

import tribond
from tribond.models.potential import Potential
from tribond.units import EV_PER_A3_TO_GPA


def scaled(atoms: Atoms, factor: float) -> Atoms:
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return atoms


@pytest.fixture
def repulsive(make_model, structures) -> Potential:
    """A potential whose crystal takes energy to compress; the sign of a random one is seen to."""
    model = make_model()
    crystal = structures["crystal"]
    small, large = (p.energy for p in Potential(model).predict([scaled(crystal, 0.99), scaled(crystal, 1.01)]))
    if small < large:
        model.reference_energy.set(scale=(-model.reference_energy.scale).tolist())
    return Potential(model)


def test_a_crystal_that_pushes_outward_has_negative_stress(repulsive, structures):
    """Tension is positive: a compressed crystal has negative stress, and its pressure is minus a third of the trace."""
    crystal = structures["crystal"]
    small, large = repulsive.predict([scaled(crystal, 0.99), scaled(crystal, 1.01)])
    assert small.energy > large.energy
    assert np.trace(repulsive.predict(crystal)[0].stress) < 0


def test_pressure_is_minus_the_slope_of_the_energy_with_volume_in_eV_per_cubic_angstrom(repulsive, structures):
    crystal = structures["crystal"]
    small, large = scaled(crystal, 1 - 1e-4), scaled(crystal, 1 + 1e-4)
    energies = [prediction.energy for prediction in repulsive.predict([small, large])]
    pressure = -(energies[1] - energies[0]) / (large.get_volume() - small.get_volume())
    stress = repulsive.predict(crystal)[0].stress
    assert pressure > 0
    assert -np.trace(stress) / 3 == pytest.approx(pressure, rel=1e-5)


def test_a_chain_pulled_along_c_feels_it_along_c_only(make_potential):
    """Far apart sideways, bonded along c: one component of the stress, and its sign is that of dE/dc."""
    potential = make_potential()
    lengths = (2.4 - 1e-4, 2.4, 2.4 + 1e-4)
    chains = [Atoms("Cu", cell=[20, 20, length], pbc=True) for length in lengths]
    short, middle, long = potential.predict(chains)
    slope = (long.energy - short.energy) / 2e-4  # eV/Å
    assert middle.stress[2, 2] == pytest.approx(slope / (20 * 20), rel=1e-5)
    others = middle.stress.copy()
    others[2, 2] = 0
    np.testing.assert_allclose(others, 0, atol=1e-12)


def test_the_calculator_gives_the_same_stress_in_voigt_order(potential, structures):
    atoms = structures["skewed_crystal"]
    atoms.calc = tribond.Calculator(potential)
    s = potential.predict(atoms)[0].stress
    expected = [s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]]
    np.testing.assert_allclose(atoms.get_stress(), expected, atol=1e-14)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), s, atol=1e-14)


def test_the_conversion_to_gigapascal_is_that_of_ase():
    assert pytest.approx(1 / ase.units.GPa, rel=1e-6) == EV_PER_A3_TO_GPA
