import numpy as np
import pytest

from tribond.data.split import fold_of, reduced_formula


@pytest.mark.parametrize("formula", ["SiO2", "O2Si", "Si2O4", "O4Si2"])
def test_the_same_compound_is_in_the_same_fold(formula):
    assert reduced_formula(formula) == "O2Si"
    assert fold_of(formula, 7) == fold_of("SiO2", 7)


def test_folds_are_equally_large():
    formulas = [f"Al{a}O{b}Ti{c}" for a in range(1, 12) for b in range(1, 12) for c in range(1, 12)]
    compounds = {reduced_formula(formula) for formula in formulas}
    counts = np.bincount([fold_of(formula, 5) for formula in compounds], minlength=5)
    assert counts.min() > 0.85 * len(compounds) / 5
    assert counts.max() < 1.15 * len(compounds) / 5


def test_a_split_is_a_promise():
    """Published splits must not change: these numbers are fixed for ever."""
    assert [fold_of(formula, 10) for formula in ("NaCl", "SiO2", "LiFePO4", "Cu")] == [7, 9, 9, 7]
