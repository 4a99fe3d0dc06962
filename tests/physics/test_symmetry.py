"""What physics forbids a potential to notice: where a system stands, how it is turned, what its atoms are numbered.

Every test runs over all dialects, and in each over crystals (skewed and left-handed too), a slab, a wire, molecules,
single atoms and nothing at all.
"""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell

from tribond.models.force_field import Prediction
from tribond.models.potential import Potential

TOLERANCE = 1e-9  # eV, eV/Å, eV/Å³: rounding only


def orthogonal(determinant: int, seed: int = 0) -> np.ndarray:
    """A random rotation (+1), or one with a reflection (-1)."""
    matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return matrix * determinant * np.sign(np.linalg.det(matrix))


def transformed(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    """Positions and cell, every vector x replaced by matrix · x."""
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell.array @ matrix.T)
    atoms.positions = atoms.positions @ matrix.T
    return atoms


def before_and_after(
    potential: Potential, structures: dict[str, Atoms], change: Callable[[Atoms], Atoms]
) -> list[tuple[str, Prediction, Prediction]]:
    """(name, prediction, prediction after the change) of every structure."""
    before = potential.predict(structures.values())
    after = potential.predict([change(atoms) for atoms in structures.values()])
    return list(zip(structures, before, after, strict=True))


def assert_equal(actual, expected, name: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=TOLERANCE, err_msg=name)


def assert_same(actual: Prediction, expected: Prediction, name: str) -> None:
    assert_equal(actual.energy, expected.energy, name)
    assert_equal(actual.atomic_energies, expected.atomic_energies, name)
    assert_equal(actual.forces, expected.forces, name)
    assert (actual.stress is None) == (expected.stress is None)
    if actual.stress is not None:
        assert_equal(actual.stress, expected.stress, name)


@pytest.mark.parametrize("determinant", [1, -1], ids=["rotation", "reflection"])
def test_energy_stays_and_forces_and_stress_turn_with_the_system(every_potential, structures, determinant):
    matrix = orthogonal(determinant)
    for name, before, after in before_and_after(every_potential, structures, lambda a: transformed(a, matrix)):
        assert_equal(after.energy, before.energy, name)
        assert_equal(after.atomic_energies, before.atomic_energies, name)
        assert_equal(after.forces, before.forces @ matrix.T, name)
        if before.stress is not None:
            assert_equal(after.stress, matrix @ before.stress @ matrix.T, name)


def test_nothing_changes_when_the_whole_system_is_moved(every_potential, structures):
    """Asked for in mattersim#163 and nvalchemi#151: the place of the atoms in the cell must not matter."""

    def move(atoms: Atoms) -> Atoms:
        atoms = atoms.copy()
        atoms.translate([0.7, -51.3, 12.9])
        return atoms

    for name, before, after in before_and_after(every_potential, structures, move):
        assert_same(after, before, name)


def test_nothing_changes_when_atoms_are_moved_by_lattice_vectors(every_potential, structures):
    """Asked for in mattersim#163 and nvalchemi#151: atoms may lie in any image of the cell, each in another."""

    def scatter(atoms: Atoms) -> Atoms:
        atoms = atoms.copy()
        cells = np.random.default_rng(1).integers(-3, 4, (len(atoms), 3)) * atoms.pbc
        atoms.positions += cells @ atoms.cell.array
        return atoms

    for name, before, after in before_and_after(every_potential, structures, scatter):
        assert_same(after, before, name)


def test_nothing_changes_when_atoms_are_wrapped_into_the_cell(potential, structures):
    def wrap(atoms: Atoms) -> Atoms:
        atoms = atoms.copy()
        atoms.translate([2.2, -8.1, 4.4])
        if atoms.pbc.any():
            atoms.wrap()
        return atoms

    for name, before, after in before_and_after(potential, structures, wrap):
        assert_same(after, before, name)


def test_forces_follow_their_atoms_when_atoms_are_renumbered(every_potential, structures):
    orders = {name: np.random.default_rng(2).permutation(len(atoms)) for name, atoms in structures.items()}
    renumbered = {name: atoms[orders[name]] for name, atoms in structures.items()}
    before = every_potential.predict(structures.values())
    after = every_potential.predict(renumbered.values())
    for name, old, new in zip(structures, before, after, strict=True):
        assert_equal(new.energy, old.energy, name)
        assert_equal(new.atomic_energies, old.atomic_energies[orders[name]], name)
        assert_equal(new.forces, old.forces[orders[name]], name)
        if old.stress is not None:
            assert_equal(new.stress, old.stress, name)


SUPERCELLS = {
    "crystal": [[1, 1, 0], [-1, 1, 0], [0, 1, 2]],
    "skewed_crystal": [[2, 0, 0], [0, 1, 0], [1, 0, 1]],
    "left_handed_crystal": [[1, 0, 0], [0, 2, 1], [0, 0, 1]],
    "one_atom_cell": [[-1, 1, 1], [1, -1, 1], [1, 1, -1]],
    "slab": [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
    "stretched_crystal": [[2, 0, 0], [0, 1, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("name", SUPERCELLS)
def test_a_supercell_has_the_same_forces_over_and_over_the_same_stress_and_as_much_more_energy(
    every_potential, structures, name
):
    atoms = structures[name]
    matrix = np.array(SUPERCELLS[name])
    copies = abs(round(np.linalg.det(matrix)))
    large = make_supercell(atoms, matrix, order="cell-major")
    one, many = every_potential.predict([atoms, large])
    assert copies > 1
    assert len(large) == copies * len(atoms)
    assert_equal(many.energy, copies * one.energy, name)
    assert_equal(many.atomic_energies, np.tile(one.atomic_energies, copies), name)
    assert_equal(many.forces, np.tile(one.forces, (copies, 1)), name)
    if one.stress is not None:
        assert_equal(many.stress, one.stress, name)


def test_a_wire_three_times_as_long_has_three_times_the_energy(potential, structures):
    one, three = potential.predict([structures["wire"], structures["wire"].repeat((1, 1, 3))])
    assert_equal(three.energy, 3 * one.energy, "wire")
    assert_equal(three.forces, np.tile(one.forces, (3, 1)), "wire")


def test_the_choice_of_lattice_vectors_does_not_matter(potential, structures):
    """A lattice has endlessly many cells: here a long thin one, a left-handed one and one of negative vectors."""
    atoms = structures["skewed_crystal"]
    choices = (
        [[1, 3, 0], [0, 1, 0], [0, -2, 1]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
    )
    others = []
    for choice in choices:
        other = atoms.copy()
        other.set_cell(np.array(choice) @ atoms.cell.array)
        others.append(other)
    expected, *found = potential.predict([atoms, *others])
    for choice, prediction in zip(choices, found, strict=True):
        assert_same(prediction, expected, str(choice))


@pytest.mark.parametrize("name", ["slab", "wire", "methanol"])
def test_lattice_vectors_along_open_axes_do_not_matter(potential, structures, name):
    """Asked for in mattersim#82 and matgl#78: true periodicity along each axis, with no cell made up for the others."""
    atoms = structures[name]
    cells = []
    for vector in ([0, 0, 0], [0.1, 0, 0], [5.0, 3.0, -900.0]):
        other = atoms.copy()
        other.set_cell(np.where(atoms.pbc[:, None], atoms.cell.array, [vector]))
        cells.append(other)
    expected, *found = potential.predict([atoms, *cells])
    for prediction in found:
        assert_same(prediction, expected, name)


def test_a_molecule_in_a_wide_periodic_box_is_as_good_as_free(potential, structures):
    free = structures["methanol"]
    boxed = free.copy()
    boxed.set_cell([30, 31, 32])
    boxed.pbc = True
    without, within = potential.predict([free, boxed])
    assert_equal(within.energy, without.energy, "energy")
    assert_equal(within.forces, without.forces, "forces")


def test_there_is_no_net_force(every_potential, structures):
    for name, prediction in zip(structures, every_potential.predict(structures.values()), strict=True):
        assert_equal(prediction.forces.sum(axis=0), np.zeros(3), name)


def test_there_is_no_net_torque_on_a_molecule(every_potential, structures):
    atoms = structures["methanol"]
    forces = every_potential.predict(atoms)[0].forces
    assert_equal(np.cross(atoms.positions, forces).sum(axis=0), np.zeros(3), "torque")


def test_stress_is_symmetric(every_potential, structures):
    for name, prediction in zip(structures, every_potential.predict(structures.values()), strict=True):
        if prediction.stress is not None:
            assert_equal(prediction.stress, prediction.stress.T, name)


def test_the_energies_of_the_atoms_sum_to_the_energy(every_potential, structures):
    for name, prediction in zip(structures, every_potential.predict(structures.values()), strict=True):
        assert_equal(prediction.atomic_energies.sum(), prediction.energy, name)
