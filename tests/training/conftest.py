"""Small trainings on real physics: alloys labelled with ASE's effective medium theory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from tribond.training.config import TrainingConfig

pytest.importorskip("lightning")

TINY = {"node_features": 8, "edge_features": 8, "num_blocks": 1, "update_hidden": [8], "readout_hidden": [8]}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def alloy(seed, elements=("Cu", "Al", "Ni"), size=1):
    """A rattled, strained random alloy: every label is a real number and none is zero."""
    random = np.random.default_rng(seed)
    atoms = bulk("Cu", a=3.6 + 0.3 * random.random(), cubic=True)[:size]
    atoms.symbols = random.choice(elements, len(atoms))
    atoms.rattle(0.1, seed=seed)
    return atoms


def labelled(atoms, *, zero=0.0, labels=("energy", "forces", "stress")):
    """With the results of EMT; `zero` eV are added for every atom."""
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy() + zero * len(atoms), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        results["stress"] = atoms.get_stress()
    known = {name: value for name, value in results.items() if name in labels}
    atoms.calc = SinglePointCalculator(atoms, **known)
    return atoms


@pytest.fixture(scope="session")
def alloys():
    """(number, seed=..., elements=..., size=..., zero=..., labels=...) -> labelled structures."""

    def make(number, *, seed=0, elements=("Cu", "Al", "Ni"), size=4, **settings):
        return [labelled(alloy(1000 * seed + index, elements, size), **settings) for index in range(number)]

    return make


@pytest.fixture
def dimer():
    """A molecule: no cell, no stress."""
    return labelled(Atoms("CuAl", positions=[[0, 0, 0], [0.1, 0.2, 2.3]]))


@pytest.fixture
def save(tmp_path):
    """(name, structures) -> the file, in tmp_path."""

    def save_structures(name, structures) -> Path:
        write(tmp_path / name, structures, format="extxyz")
        return tmp_path / name

    return save_structures


@pytest.fixture(scope="session")
def make_training():
    """(**changes) -> a training of seconds on alloys.xyz; `train` replaces the sources, `output` the folder."""

    def make(*, train=None, validation_folds=4, data=None, model=None, **changes):
        settings = {
            "name": "tiny",
            "output": "out",
            "data": {
                "train": train or [{"name": "emt", "files": ["alloys.xyz"]}],
                "validation_folds": validation_folds,
                **(data or {}),
            },
            "model": model or {"elements": "data", "settings": TINY},
            "steps": 6,
            "edge_budget": 1500,
            "validate_every": 3,
            "accelerator": "cpu",
            "optimizer": {"learning_rate": 5e-3, "warmup_steps": 2, "ema_decay": 0.9},
        }
        return TrainingConfig.model_validate(settings | changes)

    return make
