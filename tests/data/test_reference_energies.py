import logging

import numpy as np
import pytest
from ase import Atoms

from tribond.data.frames import Frame
from tribond.data.reference_energies import composition_matrix, fit_reference_energies

NUMBERS = (1, 8, 29)  # H, O, Cu
TRUTH = np.array([-1.0, -5.0, -3.5])


def frames_of(*formulas, noise=0.0):
    random = np.random.default_rng(0)
    frames = []
    for formula in formulas:
        atoms = Atoms(formula)
        energy = sum(TRUTH[NUMBERS.index(number)] for number in atoms.numbers) + noise * random.normal()
        frames.append(Frame(atoms, float(energy), None, None, formula))
    return frames


def test_composition_matrix():
    assert composition_matrix(frames_of("H2O", "CuO2"), NUMBERS).tolist() == [[2, 1, 0], [0, 2, 1]]


def test_exact_energies_are_found():
    assert fit_reference_energies(frames_of("H2O", "CuO", "Cu2O", "H2"), NUMBERS) == pytest.approx(TRUTH)


def test_every_atom_counts_the_same_not_every_structure():
    """Least squares of energies per atom: a large cell must not outweigh a small one of the same compound."""
    once = [*frames_of("H2O", "CuO"), *frames_of("Cu", noise=1.0)]
    large = [*frames_of("H2O", "CuO"), *frames_of("Cu" * 10)]
    large[-1] = Frame(large[-1].atoms, once[-1].energy * 10, None, None, "large")
    assert fit_reference_energies(large, NUMBERS) == pytest.approx(fit_reference_energies(once, NUMBERS))


def test_a_constant_ratio_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        energies = fit_reference_energies(frames_of("H2O", "H4O2"), NUMBERS, "water")
    assert "water: 2 elements but only 1 independent compositions" in caplog.text
    assert 2 * energies[0] + energies[1] == pytest.approx(2 * TRUTH[0] + TRUTH[1])
    assert energies[2] == 0


def test_no_energies():
    assert fit_reference_energies([Frame(Atoms("H"), None, None, None, "x")], NUMBERS).tolist() == [0, 0, 0]
