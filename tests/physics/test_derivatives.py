"""Forces, stress and hessian are the derivatives of the energy, for every dialect and every kind of structure."""

import numpy as np
import pytest
from ase import Atoms

STEP = 1e-4  # Å, or strain: truncation and rounding are both near 1e-8 there


def displaced(atoms: Atoms, atom: int, axis: int, step: float) -> Atoms:
    atoms = atoms.copy()
    atoms.positions[atom, axis] += step
    return atoms


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Cell and positions, every vector x replaced by (1 + strain) · x."""
    atoms = atoms.copy()
    deformation = np.eye(3) + strain
    atoms.set_cell(atoms.cell.array @ deformation.T)
    atoms.positions = atoms.positions @ deformation.T
    return atoms


def displacements(atoms: Atoms) -> list[Atoms]:
    """Every coordinate moved forth and back, in the order (atom, axis, forth and back)."""
    return [
        displaced(atoms, atom, axis, step) for atom in range(len(atoms)) for axis in range(3) for step in (STEP, -STEP)
    ]


def test_forces_are_minus_the_slope_of_the_energy(every_potential, bonded_structure):
    atoms = bonded_structure
    energies = np.array([p.energy for p in every_potential.predict(displacements(atoms))]).reshape(len(atoms), 3, 2)
    numerical = -(energies[..., 0] - energies[..., 1]) / (2 * STEP)
    forces = every_potential.predict(atoms)[0].forces
    np.testing.assert_allclose(forces, numerical, rtol=1e-5, atol=1e-7)


def test_stress_is_the_slope_of_the_energy_with_strain_over_the_volume(every_potential, periodic_structure):
    """Asked for in matgl#222 and chgnet#75: all nine components, in eV/Å³ and with ASE's sign."""
    atoms = periodic_structure
    pairs = [(a, b) for a in range(3) for b in range(3)]
    strains = []
    for a, b in pairs:
        strain = np.zeros((3, 3))
        strain[a, b] += STEP / 2
        strain[b, a] += STEP / 2
        strains += [strain, -strain]
    predictions = every_potential.predict([strained(atoms, strain) for strain in strains])
    energies = np.array([p.energy for p in predictions]).reshape(3, 3, 2)
    numerical = (energies[..., 0] - energies[..., 1]) / (2 * STEP) / atoms.get_volume()
    stress = every_potential.predict(atoms)[0].stress
    np.testing.assert_allclose(stress, numerical, rtol=1e-5, atol=1e-8)


def test_turning_the_crystal_costs_no_energy(potential, structures):
    """The antisymmetric strains, which stress says nothing about."""
    atoms = structures["skewed_crystal"]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        turn = np.zeros((3, 3))
        turn[a, b], turn[b, a] = STEP, -STEP
        forth, back = potential.predict([strained(atoms, turn), strained(atoms, -turn)])
        assert (forth.energy - back.energy) / (2 * STEP) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("name", ["skewed_crystal", "one_atom_cell", "slab", "methanol", "far_dimer"])
def test_the_hessian_is_minus_the_slope_of_the_forces(potential, structures, name):
    atoms = structures[name]
    forces = np.array([p.forces for p in potential.predict(displacements(atoms))])
    forth, back = forces.reshape(len(atoms), 3, 2, len(atoms), 3).transpose(2, 0, 1, 3, 4)
    (prediction,) = potential.predict(atoms, with_hessian=True)
    np.testing.assert_allclose(prediction.hessian, -(forth - back) / (2 * STEP), rtol=1e-5, atol=1e-6)


def test_the_hessian_is_symmetric_and_blind_to_moving_everything(every_potential, structures):
    (prediction,) = every_potential.predict(structures["crystal"], with_hessian=True)
    matrix = prediction.hessian.reshape(6, 6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    np.testing.assert_allclose(prediction.hessian.sum(axis=2), 0, atol=1e-9)


@pytest.mark.parametrize("name", ["isolated_atom", "stretched_crystal", "no_atoms"])
def test_the_hessian_without_bonds_is_zero(potential, structures, name):
    atoms = structures[name]
    (prediction,) = potential.predict(atoms, with_hessian=True)
    assert prediction.hessian.shape == (len(atoms), 3, len(atoms), 3)
    assert not prediction.hessian.any()


def test_every_structure_of_a_list_gets_its_own_hessian(potential, structures):
    several = [structures[name] for name in ("methanol", "isolated_atom", "crystal")]
    together = potential.predict(several, with_hessian=True)
    for atoms, prediction in zip(several, together, strict=True):
        (alone,) = potential.predict(atoms, with_hessian=True)
        np.testing.assert_allclose(prediction.hessian, alone.hessian, atol=1e-10)
