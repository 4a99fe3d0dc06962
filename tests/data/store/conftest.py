"""Labelled crystals whose energies, forces and stresses belong together."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator


def emt(atoms, factor=1.0):
    """With the results of ASE's effective medium theory; the stress is multiplied by a factor."""
    atoms.calc = EMT()
    results = atoms.get_potential_energy(), atoms.get_forces(), factor * atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, energy=results[0], forces=results[1], stress=results[2])
    return atoms


@pytest.fixture(scope="session")
def alloys():
    """(number, seed=..., factor=...) -> alloys of Cu, Al and Ni, rattled and strained."""

    def make(number, *, seed=0, factor=1.0):
        images = []
        for index in range(number):
            random = np.random.default_rng([seed, index])
            atoms = bulk("Cu", a=3.6 + 0.3 * random.random(), cubic=True)
            atoms.symbols = random.choice(["Cu", "Al", "Ni"], 4)
            atoms.rattle(0.1, seed=1000 * seed + index)
            atoms.info["material_id"] = f"m-{seed}-{index // 3}"
            images.append(emt(atoms, factor))
        return images

    return make


@pytest.fixture(scope="session")
def volumes():
    """(factor=...) -> crystals, each at several volumes."""

    def make(factor=1.0):
        images = []
        for symbol in ("Cu", "Al", "Ni", "Au"):
            for scale in np.linspace(0.94, 1.06, 7):
                atoms = bulk(symbol, cubic=True)
                atoms.rattle(0.05, seed=1)
                atoms.set_cell(atoms.cell * scale, scale_atoms=True)
                images.append(emt(atoms, factor))
        return images

    return make
