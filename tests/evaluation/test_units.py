"""Labels in another unit are told from predictions."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk

from tribond.data.frames import Frame
from tribond.evaluation.units import unit_notes


def results(forces=1.0, stress=1.0, noise=0.2):
    random = np.random.default_rng(0)
    made = []
    for _ in range(4):
        force, tensor = random.normal(size=(8, 3)), random.normal(size=(3, 3)) * 0.05
        frame = SimpleNamespace(
            energy=None,
            forces=forces * (force + noise * random.normal(size=(8, 3))),
            stress=stress * (tensor + 0.05 * noise * random.normal(size=(3, 3))),
        )
        made.append(SimpleNamespace(frame=frame, prediction=SimpleNamespace(forces=force, stress=tensor)))
    return made


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({"forces": 1 / 51.4221}, "hartree/bohr"),
        ({"forces": 23.06}, "kcal/mol"),
        ({"forces": -1.0}, "gradients"),
        ({"stress": -1602.2}, "VASP's kbar"),
        ({"stress": 160.2}, "GPa"),
        ({"stress": -1.0}, "other sign"),
        ({"stress": -300.0}, "another unit or another sign"),
    ],
)
def test_known_factors(factors, words):
    (note,) = unit_notes(results(**factors))
    assert words in note


@pytest.mark.parametrize(("unit", "words"), [(1 / 27.2114, "hartree"), (96.485, "kJ/mol"), (1.0, None), (0.25, None)])
def test_energies_are_compared_without_those_of_the_elements(unit, words):
    random = np.random.default_rng(1)
    made = []
    for _ in range(16):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.symbols[0] = random.choice(["Na", "K"])
        energy = float(random.normal())
        label = unit * (energy + 0.1 * random.normal()) - 300.0 * (atoms.symbols == "K").sum() - 20.0 * len(atoms)
        frame = Frame(atoms, label, None, None, "x")
        made.append(SimpleNamespace(frame=frame, prediction=SimpleNamespace(energy=energy, forces=None, stress=None)))
    notes = unit_notes(made)
    assert [words in note for note in notes] == ([] if words is None else [True])
    assert unit_notes(made[:8]) == []


def test_what_is_right_or_says_nothing():
    assert unit_notes(results()) == []
    assert unit_notes(results(noise=100.0)) == []
    assert unit_notes([]) == []
