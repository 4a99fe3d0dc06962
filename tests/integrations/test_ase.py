"""tribond as an ASE calculator: everything ASE asks for, from one evaluation, with ASE's units and signs."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator as ASECalculator
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.optimize import BFGS

import tribond
from tribond.errors import ConfigError, StructureError, UnknownElementError
from tribond.graph import skin as skin_module


@pytest.fixture
def calculator(potential) -> tribond.Calculator:
    return tribond.Calculator(potential)


@pytest.fixture
def evaluations(potential, monkeypatch) -> list[int]:
    """Grows by one with every evaluation of a potential."""
    calls = []
    evaluate = tribond.Potential.evaluate

    def counted(self, graph):
        calls.append(1)
        return evaluate(self, graph)

    monkeypatch.setattr(tribond.Potential, "evaluate", counted)
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


def test_a_change_in_the_last_digit_is_a_change(calculator, potential, structures, evaluations):
    """ASE overlooks those below 1e-15 Å."""
    atoms = structures["crystal"]
    atoms.positions[0] = 0.0
    atoms.calc = calculator
    atoms.get_forces()
    atoms.positions[0, 0] = 1e-300
    atoms.get_forces()
    assert len(evaluations) == 2


def test_it_says_what_has_changed_as_ase_does(calculator, structures):
    atoms = structures["slab"]
    everything = set(ASECalculator.check_state(calculator, atoms))
    assert set(calculator.check_state(atoms)) == everything
    atoms.calc = calculator
    atoms.get_forces()
    assert calculator.check_state(atoms) == []
    for change, names in (
        (lambda moved: moved.positions.__iadd__(0.1), {"positions"}),
        (lambda moved: moved.set_cell(moved.cell.array * 1.1), {"cell"}),
        (lambda moved: moved.set_atomic_numbers([1] * len(moved)), {"numbers"}),
        (lambda moved: moved.set_pbc([True, False, False]), {"pbc"}),
        (lambda moved: moved.set_initial_magnetic_moments([1.0] * len(moved)), set()),
    ):
        changed = atoms.copy()
        change(changed)
        assert set(calculator.check_state(changed)) == names
    assert calculator.check_state(atoms[:-1])


def test_nothing_is_left_of_other_atoms_when_it_fails(calculator, structures):
    crystal, broken = structures["crystal"], structures["crystal"].copy()
    calculator.calculate(crystal)
    broken.positions[0, 0] = np.nan
    with pytest.raises(StructureError):
        calculator.calculate(broken)
    assert calculator.results == {}
    broken.calc = calculator
    with pytest.raises(StructureError):
        broken.get_forces()
    crystal.calc = calculator
    assert np.isfinite(crystal.get_forces()).all()


def test_atoms_of_the_last_calculation_are_a_copy_and_can_be_calculated_again(calculator, structures):
    atoms = structures["crystal"]
    atoms.calc = calculator
    forces = atoms.get_forces()
    atoms.positions[0, 0] += 0.2
    calculator.calculate()
    np.testing.assert_array_equal(calculator.results["forces"], forces)


def langevin(potential, skin: float, steps: int) -> tuple[list[np.ndarray], list[float]]:
    """Positions and energies of hot copper oxide, step by step."""
    atoms = bulk("CuO", "rocksalt", a=4.2).repeat(2)
    atoms.rattle(0.05, seed=0)
    atoms.calc = tribond.Calculator(potential, skin=skin)
    dynamics = Langevin(
        atoms, 2 * units.fs, temperature_K=3000, friction=0.02 / units.fs, fixcm=False, rng=np.random.default_rng(0)
    )
    positions, energies = [], []
    for _ in dynamics.irun(steps):
        positions.append(atoms.positions.copy())
        energies.append(atoms.get_potential_energy())
    return positions, energies


def test_a_trajectory_does_not_depend_on_the_skin_not_by_a_bit(make_potential, monkeypatch):
    """Some hundred thousand roundings, of which one that differs would change every number after it."""
    searches = []
    search = skin_module.find_bonds
    monkeypatch.setattr(skin_module, "find_bonds", lambda *args: (searches.append(1), search(*args))[1])
    potential = make_potential(dtype=torch.float32)
    positions, energies = langevin(potential, 0.0, 60)
    for skin in (0.5, 1.0):
        searches.clear()
        again, energies_again = langevin(potential, skin, 60)
        assert 2 < len(searches) < len(positions) / 2
        assert np.array_equal(positions, again)
        assert energies == energies_again


def test_a_relaxation_does_not_depend_on_the_skin_not_by_a_bit(potential, structures):
    def relaxed(skin):
        atoms = structures["skewed_crystal"].copy()
        atoms.calc = tribond.Calculator(potential, skin=skin)
        BFGS(FrechetCellFilter(atoms), logfile=None, maxstep=0.05).run(fmax=1e-3, steps=8)
        return atoms

    first, second = relaxed(0.0), relaxed(1.0)
    assert np.array_equal(first.positions, second.positions)
    assert np.array_equal(first.cell.array, second.cell.array)


def test_a_calculator_serves_many_atoms_in_turn(calculator, potential, structures):
    for _ in range(2):
        for atoms in structures.values():
            atoms.calc = calculator
            np.testing.assert_array_equal(atoms.get_forces(), potential.predict(atoms)[0].forces)


def test_a_negative_skin_is_refused(potential):
    with pytest.raises(ConfigError, match="skin"):
        tribond.Calculator(potential, skin=-1.0)


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
