"""Several starts: the lowest minimum wins, and every start is told."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from tribond.errors import ConfigError
from tribond.properties.relax_starts import relax_from_several
from tribond.properties.relaxation import RelaxationError


class TwoWells(Calculator):
    """One atom on x: E = x⁴ - x² + x/10, minima near -0.73 (the lower one) and 0.68; and a saddle between."""

    implemented_properties = ("energy", "free_energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions[0, 0]
        energy = x**4 - x**2 + 0.1 * x
        forces = np.zeros((1, 3))
        forces[0, 0] = -(4 * x**3 - 2 * x + 0.1)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


class Fails(EMT):
    """EMT that gives no number for structures other than the first one."""

    def __init__(self, first):
        super().__init__()
        self.first = first

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if np.abs(atoms.positions - self.first).max() > 0.05:
            self.results["energy"] = np.nan


def test_the_lower_of_two_minima_wins():
    found = relax_from_several(Atoms("H", [(0.6, 0, 0)]), TwoWells(), 8, rattle_A=1.2, optimizer="FIRE")  # never uphill
    assert len(found.starts) == 8
    ends = [it.relaxation.final.positions[0, 0] for it in found.starts]
    assert ends[0] > 0.6
    assert ends[found.best.number] == pytest.approx(-0.73, abs=0.01)
    assert found.same == sum(end < 0 for end in ends)
    assert found.best.enthalpy < found.starts[0].enthalpy - 0.1


def test_starts_are_the_same_each_time_and_the_first_is_as_given():
    atoms = bulk("Cu", cubic=True)
    one, two = (relax_from_several(atoms, EMT(), count, relax_cell=False) for count in (2, 3))
    for number in range(2):
        np.testing.assert_array_equal(
            one.starts[number].relaxation.initial.positions, two.starts[number].relaxation.initial.positions
        )
    np.testing.assert_array_equal(one.starts[0].relaxation.initial.positions, atoms.positions)
    np.testing.assert_array_equal(atoms.positions, bulk("Cu", cubic=True).positions)


def test_fixed_atoms_are_not_rattled():
    atoms = bulk("Cu", cubic=True)
    atoms.set_constraint(FixAtoms([0, 1]))
    found = relax_from_several(atoms, EMT(), 2, relax_cell=False)
    np.testing.assert_array_equal(found.starts[1].relaxation.initial.positions[:2], atoms.positions[:2])
    assert np.abs(found.starts[1].relaxation.initial.positions[2:] - atoms.positions[2:]).min() > 0


def test_a_start_that_runs_away_is_told_and_the_others_count():
    atoms = bulk("Cu", cubic=True)
    found = relax_from_several(atoms, Fails(atoms.positions.copy()), 3, relax_cell=False)
    assert found.best.number == 0
    assert [it.relaxation is None for it in found.starts] == [False, True, True]
    assert "energy of nan" in found.summary()["all"][1]["problem"]
    with pytest.raises(RelaxationError, match="all 2 starts ran away"):
        relax_from_several(atoms, Fails(atoms.positions + 1), 2, relax_cell=False)


@pytest.mark.parametrize(
    ("starts", "settings", "message"),
    [
        (0, {}, "at least one"),
        (2, {"rattle_A": 0}, "larger than 0"),
        (2, {"fix_symmetry": True}, "no symmetry to keep"),
    ],
)
def test_what_makes_no_sense_is_refused(starts, settings, message):
    with pytest.raises(ConfigError, match=message):
        relax_from_several(bulk("Cu"), EMT(), starts, **settings)
