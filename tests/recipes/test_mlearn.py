"""The recipe of mlearn: its settings can be used, its split leaves no frame out or in both parts, its table is right."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from tests.small_models import random_model, small_config
from tribond.checkpoints.native import save_model
from tribond.models.potential import Potential

pytest.importorskip("lightning")
from tribond.training.config import TrainingConfig

RECIPE = Path(__file__).parents[2] / "recipes/mlearn"


def script(name):
    """A module of the recipe; another recipe has some of the same names."""
    spec = importlib.util.spec_from_file_location(f"mlearn_{name}", RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def call(monkeypatch):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        script(name).main()

    return run


def silicon(number):
    """Frames with labels of no meaning, each another."""
    frames = []
    for index in range(number):
        atoms = bulk("Si")
        atoms.rattle(0.1, seed=index)
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - index, forces=np.full((2, 3), 0.1 * index))
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("element", ["Si", "Cu", "Mo"])
def test_settings_can_be_used(element):
    config = TrainingConfig.read(RECIPE / f"{element}.yaml")
    assert config.model.elements == [element]
    assert config.steps == 20_000


def test_each_frame_is_in_one_part(call, tmp_path):
    write(tmp_path / "Si_train.extxyz.gz", silicon(26))
    call("split", tmp_path, tmp_path / "data")
    parts = [read(tmp_path / "data" / f"Si_{part}.extxyz", ":") for part in ("train", "validation")]
    assert [len(part) for part in parts] == [23, 3]
    energies = [atoms.get_potential_energy() for part in parts for atoms in part]
    assert sorted(energies) == sorted(-10.0 - index for index in range(26))


def test_the_table_has_the_errors_of_every_seed(call, tmp_path, capsys):
    frames = silicon(3)
    write(tmp_path / "Si_validation.extxyz", frames)
    expected = []
    for seed in (0, 1):
        folder = tmp_path / "runs" / f"Si-four-{seed}"
        folder.mkdir(parents=True)
        model = random_model(small_config(), seed)
        save_model(folder / "model.safetensors", model, {"steps": 7 + seed})
        found = Potential(model).predict(frames)
        expected.append(
            1000 * np.mean([abs(it.energy - a.get_potential_energy()) / 2 for a, it in zip(frames, found, strict=True)])
        )
    call("table", tmp_path / "runs", tmp_path, "validation")
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith(f"| Si-four | 0, 1 | {np.mean(expected):.1f} ± {np.std(expected, ddof=1):.1f} | ")
    assert row.endswith("| 7, 8 |")


def test_settings_of_a_variant_reach_into_the_file():
    content = {"model": {"settings": {"max_n": 4}}}
    script("run").changed(content, "model.settings.bodies", 4)
    script("run").changed(content, "optimizer.learning_rate", 1e-3)
    assert content == {"model": {"settings": {"max_n": 4, "bodies": 4}}, "optimizer": {"learning_rate": 1e-3}}
