"""tribond as an ASE calculator: everything ASE asks for, from one evaluation, with ASE's units and signs."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import BFGS

import tribond
from tribond.errors import ConfigError, UnknownElementError


@pytest.fixture
def calculator(potential) -> tribond.Calculator:
    return tribond.Calculator(potential)


@pytest.fixture
def evaluations(potential, monkeypatch) -> list[int]:
    """Grows by one with every evaluation of a potential."""
    calls = []
    predict = tribond.Potential.predict

    def counted(self, structures, **settings):
        calls.append(1)
        return predict(self, structures, **settings)

    monkeypatch.setattr(tribond.Potential, "predict", counted)
    return calls


def test_it_gives_what_the_potential_says(calculator, potential, every_structure):
    expected = potential.predict(every_structure)[0]
    every_structure.calc = calculator
    assert every_structure.get_potential_energy() == expected.energy
    assert every_structure.get_potential_energy(force_consistent=True) == expected.energy
    np.testing.assert_array_equal(every_structure.get_potential_energies(), expected.atomic_energies)
    np.testing.assert_array_equal(every_structure.get_forces(), expected.forces)
    if expected.stress is not None:
        np.testing.assert_array_equal(every_structure.get_stress(voigt=False), expected.stress)


def test_one_evaluation_gives_everything(calculator, structures, evaluations):
    atoms = structures["crystal"]
    atoms.calc = calculator
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    atoms.get_potential_energies()
    assert len(evaluations) == 1


@pytest.mark.parametrize("change", ["positions", "cell", "numbers", "pbc"])
def test_whatever_changes_is_evaluated_anew(calculator, potential, structures, evaluations, change):
    atoms = structures["crystal"]
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    if change == "positions":
        atoms.positions[0, 1] += 0.1
    elif change == "cell":
        atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    elif change == "numbers":
        atoms.numbers[0] = 29
    else:
        atoms.pbc = (True, False, True)
    after = atoms.get_potential_energy()
    assert len(evaluations) == 2
    assert after != before
    assert after == potential.predict(atoms)[0].energy


def test_masses_velocities_and_notes_are_not_worth_an_evaluation(calculator, structures, evaluations):
    atoms = structures["crystal"]
    atoms.calc = calculator
    atoms.get_forces()
    atoms.set_velocities(np.ones((2, 3)))
    atoms.set_masses([1.0, 2.0])
    atoms.info["note"] = "still the same crystal"
    atoms.get_forces()
    assert len(evaluations) == 1


def test_stress_that_does_not_exist_is_refused_and_everything_else_is_there(calculator, structures):
    """Asked for in mattersim#82."""
    slab = structures["slab"]
    slab.calc = calculator
    with pytest.raises(PropertyNotImplementedError, match=r"pbc = \[True, True, False\]"):
        slab.get_stress()
    assert np.isfinite(slab.get_potential_energy())
    assert np.isfinite(slab.get_forces()).all()


def test_no_stress_is_left_over_from_the_crystal_before(calculator, structures):
    crystal, slab = structures["crystal"], structures["slab"]
    crystal.calc = slab.calc = calculator
    crystal.get_stress()
    with pytest.raises(PropertyNotImplementedError):
        slab.get_stress()


def test_unknown_elements_are_refused(calculator):
    gold = Atoms("Au", calculator=calculator)
    with pytest.raises(UnknownElementError, match="Au"):
        gold.get_potential_energy()


def test_ase_finds_the_same_forces_and_stress_by_differences(calculator, structures):
    """With ASE's own code for both."""
    fd = pytest.importorskip("ase.calculators.fd")
    atoms = structures["left_handed_crystal"]
    atoms.calc = calculator
    np.testing.assert_allclose(fd.calculate_numerical_forces(atoms, eps=1e-4), atoms.get_forces(), atol=1e-7)
    np.testing.assert_allclose(fd.calculate_numerical_stress(atoms, eps=1e-4), atoms.get_stress(), atol=1e-8)


def test_ase_can_relax_with_it(make_model, structures):
    """Positions and cell, without a warning."""
    crystal = structures["crystal"]
    crystal.calc = tribond.Calculator(tribond.Potential(make_model()))
    before = crystal.get_potential_energy()
    BFGS(FrechetCellFilter(crystal), logfile=None, maxstep=0.02).run(fmax=1e-3, steps=5)
    assert crystal.get_potential_energy() < before


def test_results_survive_a_file(calculator, structures, tmp_path):
    """As extended XYZ keeps them: energy, forces and stress come back in the same units."""
    atoms = structures["skewed_crystal"]
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress()
    write(tmp_path / "result.xyz", atoms, format="extxyz")
    again = read(tmp_path / "result.xyz", format="extxyz")
    assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(again.get_forces(), forces, atol=1e-7)
    np.testing.assert_allclose(again.get_stress(), stress, atol=1e-7)


def test_atoms_keep_their_results_when_the_calculator_goes_on(calculator, structures):
    atoms = structures["crystal"]
    atoms.calc = calculator
    first = atoms.get_forces()
    copy = first.copy()
    atoms.positions[0, 0] += 0.3
    atoms.get_forces()
    np.testing.assert_array_equal(first, copy)


def test_a_model_of_one_property_is_no_calculator(make_model):
    model = tribond.PropertyModel(make_model(readout="mean"), {"property": {"name": "band gap"}})
    with pytest.raises(ConfigError, match="needs a Potential"):
        tribond.Calculator(model)


def test_a_state_input_is_given_once(make_potential, structures):
    potential = make_potential(state="categorical", state_size=2)
    atoms = structures["crystal"]
    for state in (0, 1):
        atoms.calc = tribond.Calculator(potential, state=state)
        assert atoms.get_potential_energy() == potential.predict(atoms, state=state)[0].energy
    atoms.calc = tribond.Calculator(potential)
    with pytest.raises(ConfigError, match="needs a state input"):
        atoms.get_potential_energy()
