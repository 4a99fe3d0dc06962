"""Errors against their definitions."""

import numpy as np
import pytest
from ase import Atoms

from tribond.data.frames import Frame
from tribond.evaluation.metrics import FrameResult, errors_of, fit_energy_shift, make_report
from tribond.models.force_field import Prediction
from tribond.units import EV_PER_A3_TO_GPA


def result(
    formula, label=0.0, predicted=0.0, *, forces=None, predicted_forces=None, stress=None, predicted_stress=None
):
    atoms = Atoms(formula, positions=np.zeros((len(Atoms(formula)), 3)))
    zeros = np.zeros((len(atoms), 3))
    frame = Frame(atoms, label, forces, stress, formula)
    given = zeros if predicted_forces is None else predicted_forces
    return FrameResult(frame, Prediction(predicted, np.zeros(len(atoms)), given, predicted_stress))


def test_mae_and_rmse():
    errors = errors_of([[1.0, -2.0], [3.0, 0.0]])
    assert (errors.mae, errors.largest, errors.count) == (1.5, 3.0, 4)
    assert errors.rmse == pytest.approx(np.sqrt(14 / 4))
    assert errors_of([]) is None


def test_energies_are_per_atom_and_every_structure_counts_the_same():
    report = make_report("test", [result("H2", 1.0, 1.2), result("H10", 1.0, 1.0)])
    assert report.energy.mae == pytest.approx(50)  # meV/atom: (100 + 0) / 2
    assert report.energy.count == 2


def test_forces_are_over_components_and_every_atom_counts_the_same():
    one = result("H", forces=np.array([[0.3, 0, 0]]), predicted_forces=np.zeros((1, 3)))
    two = result("O2", forces=np.zeros((2, 3)), predicted_forces=np.zeros((2, 3)))
    report = make_report("test", [one, two])
    assert report.forces.mae == pytest.approx(300 / 9)
    assert report.forces.rmse == pytest.approx(300 / 3)
    assert report.forces.count == 9
    hydrogen, oxygen = report.elements
    assert (hydrogen.symbol, hydrogen.atoms, hydrogen.frames) == ("H", 1, 1)
    assert hydrogen.forces.mae == pytest.approx(100)
    assert oxygen.forces.mae == 0
    assert oxygen.atoms == 2


def test_stress_is_over_nine_components():
    stress = np.zeros((3, 3))
    predicted = stress.copy()
    predicted[0, 1] = predicted[1, 0] = 0.09
    report = make_report("test", [result("H", stress=stress, predicted_stress=predicted)])
    assert report.stress.mae == pytest.approx(0.02 * EV_PER_A3_TO_GPA)
    assert report.stress.count == 9


def test_a_stress_that_only_one_side_has_is_not_compared():
    report = make_report("test", [result("H", stress=np.zeros((3, 3))), result("H", predicted_stress=np.zeros((3, 3)))])
    assert report.stress is None


def test_another_zero_of_energy_is_no_error_after_the_shift():
    shift = {"H": 1.25, "O": -0.5}
    results = [result(f, sum(shift[s] for s in Atoms(f).symbols)) for f in ("H2O", "O2", "H2", "H2O2", "HO")]
    report = make_report("test", results)
    assert report.energy.mae > 100
    assert report.energy_shifted.mae == pytest.approx(0, abs=1e-9)
    assert {element.symbol: element.energy_shift for element in report.elements} == pytest.approx(shift)


def test_the_shift_is_the_best_in_least_squares_per_atom():
    random = np.random.default_rng(1)
    formulas = ("H2O", "O2", "H2", "H2O2", "HO", "H4O3")
    report = make_report("test", [result(formula, *random.normal(size=2)) for formula in formulas])
    best = report.energy_shifted.rmse
    assert best < report.energy.rmse
    shift = fit_energy_shift(report.results)
    from tribond.evaluation.metrics import energy_differences

    for number in shift:
        for change in (-0.01, 0.01):
            moved = shift | {number: shift[number] + change}
            assert errors_of(energy_differences(report.results, moved)).rmse > best


@pytest.mark.parametrize("formulas", [["H2O"], ["H2O", "O2"], ["H2O"] * 1])
def test_no_shift_where_the_fit_would_leave_no_error(formulas):
    report = make_report("test", [result(formula, 1.0) for formula in formulas])
    assert report.energy_shifted is None
    assert all(element.energy_shift is None for element in report.elements)


def test_one_compound_has_one_shift():
    """H and O in one ratio cannot be told apart; their sum can."""
    report = make_report("test", [result("H2O", label) for label in (2.9, 3.0, 3.1)])
    hydrogen, oxygen = report.elements
    assert 2 * hydrogen.energy_shift + oxygen.energy_shift == pytest.approx(3.0)
    assert report.energy_shifted.mae == pytest.approx(1000 * 0.2 / 3 / 3)


def test_nothing_at_all():
    report = make_report("test", [])
    assert (report.frames, report.atoms, report.energy, report.forces, report.stress) == (0, 0, None, None, None)
    assert report.elements == ()
