"""LBFGS that leaves saddles, and is ASE's everywhere else."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.optimize import LBFGS

from tribond.properties.careful_lbfgs import CarefulLBFGS
from tribond.properties.relax import relax


class DoubleWell(Calculator):
    """E = Σ (x² - 1)² + y² + z²: minima at x = ±1 Å, a saddle at the origin."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, y, z = self.atoms.positions.T
        self.results["energy"] = float(((x**2 - 1) ** 2 + y**2 + z**2).sum())
        self.results["forces"] = -np.stack([4 * x * (x**2 - 1), 2 * y, 2 * z], axis=1)


@pytest.mark.parametrize("start", [0.01, 0.3, -0.5])
def test_a_saddle_is_left(start):
    result = relax(Atoms("H", [[start, 0.2, 0.0]]), DoubleWell(), fmax_eV_per_A=1e-4, steps=100)
    assert result.converged
    assert result.final.positions[0] == pytest.approx([np.sign(start), 0, 0], abs=1e-3)


def test_ases_own_goes_back_to_the_saddle():
    """Why there is another one; when this fails, ASE has mended it and ours can go."""
    atoms = Atoms("H", [[0.3, 0.2, 0.0]])
    atoms.calc = DoubleWell()
    LBFGS(atoms, logfile=None).run(fmax=1e-4, steps=100)
    assert abs(atoms.positions[0, 0]) < 0.5


def test_away_from_saddles_the_steps_are_ases():
    frames = []
    for kind in (LBFGS, CarefulLBFGS):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.rattle(0.1, seed=1)
        atoms.calc = EMT()
        optimizer = kind(atoms, logfile=None)
        optimizer.run(fmax=1e-3, steps=60)
        frames.append((optimizer.nsteps, atoms.positions))
    assert frames[0][0] == frames[1][0]
    assert (frames[0][1] == frames[1][1]).all()
