"""Compositions in a few arrays are those of the atoms; and the fit to a million of them is the fit to all."""

import numpy as np
from ase.symbols import Symbols
from hypothesis import given
from hypothesis import strategies as st

from tribond.data import composition as module
from tribond.data import reference_energies
from tribond.data.composition import Composition
from tribond.data.reference_energies import fit_energies, residuals
from tribond.data.split import reduced_formula

STRUCTURES = st.lists(st.lists(st.integers(1, 118), min_size=1, max_size=12), min_size=1, max_size=8)


def of(structures):
    numbers = np.concatenate([np.array(it, dtype=np.uint8) for it in structures])
    return Composition.of_atoms(numbers, np.concatenate([[0], np.cumsum([len(it) for it in structures])]))


@given(STRUCTURES, st.data())
def test_compositions(structures, data):
    composition = of(structures)
    assert composition.formulas() == [reduced_formula(str(Symbols(it))) for it in structures]
    elements = composition.elements().tolist()
    assert elements == sorted({number for it in structures for number in it})
    matrix = np.array([[it.count(number) for number in elements] for it in structures])
    assert np.array_equal(composition.matrix(elements), matrix)
    rows = np.array(data.draw(st.lists(st.integers(0, len(structures) - 1), min_size=1)))
    both = Composition.joined([composition, composition.take(rows)])
    assert np.array_equal(both.matrix(elements), np.concatenate([matrix, matrix[rows]]))
    values = np.random.default_rng(0).random(256)
    assert np.allclose(composition.total(values), matrix @ values[elements])
    known = elements[: len(elements) // 2]
    assert composition.only(known).tolist() == [set(it) <= set(known) for it in structures]
    same = np.equal.outer(composition.compounds(), composition.compounds())
    formulas = np.array(composition.formulas())
    assert np.array_equal(same, np.equal.outer(formulas, formulas))


def test_many_structures_are_fitted_in_parts_to_the_same_energies(monkeypatch):
    random = np.random.default_rng(0)
    # Na and Cl always together: the rank is one less than the number of elements, in parts as well.
    structures = [
        [11, 17] * int(random.integers(0, 3)) + random.choice([6, 8, 14], int(random.integers(1, 5))).tolist()
        for _ in range(500)
    ]
    composition = of(structures)
    numbers = [6, 8, 11, 14, 17]
    energies = composition.matrix(numbers) @ random.normal(-5, 2, 5) + random.normal(0, 0.1, 500)
    whole, rank = fit_energies(composition, energies, numbers)
    for where in (module, reference_energies):
        monkeypatch.setattr(where, "CHUNK", 20)
    parts, rank_of_parts = fit_energies(composition, energies, numbers)
    assert (rank, rank_of_parts) == (4, 4)
    assert np.abs(parts - whole).max() < 1e-10
    assert np.abs(residuals(composition, energies, numbers, parts)).max() < 1
