import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write
from ase.stress import voigt_6_to_full_3x3_stress

import tribond as package
from tribond.units import EV_PER_A3_TO_GPA


@pytest.fixture
def inputs(tmp_path):
    """A crystal, a molecule, and a trajectory of three."""
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=1)
    write(tmp_path / "Cu.cif", crystal)
    write(tmp_path / "water.xyz", molecule("H2O"))
    write(tmp_path / "run.extxyz", [crystal, bulk("Al"), bulk("AlCu", "rocksalt", a=5.0)])
    return [tmp_path / name for name in ("Cu.cif", "water.xyz", "run.extxyz")]


def test_table_has_every_structure_with_its_numbers(tribond, inputs, model_file):
    result = tribond("predict", *inputs, "--model", model_file)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 7  # headings, five structures, the unit of the stress
    potential = package.load(model_file, dtype="float64")
    (expected,) = potential.predict(read(inputs[0]))
    row = lines[1].split()
    assert row[:3] == [str(inputs[0]), "Cu4", "4"]
    fmax = np.linalg.norm(expected.forces, axis=1).max()
    stress = (expected.stress * EV_PER_A3_TO_GPA)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    numbers = [expected.energy, expected.energy / 4, fmax, *stress]
    assert [float(word) for word in row[3:]] == pytest.approx(numbers, abs=6e-4)
    assert len(lines[2].split()) == 6  # a molecule has no stress
    assert [line.split()[0] for line in lines[3:6]] == [f"{inputs[2]}@{number}" for number in range(3)]


def test_json_has_everything_in_full_precision(tribond, inputs, model_file, tmp_path):
    result = tribond("predict", *inputs, "--model", model_file, "--output", tmp_path / "new" / "out.json")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "new" / "out.json").read_text())
    assert content["model"]["name"] == "small"
    assert content["model"]["dtype"] == "float64"
    assert [(entry["formula"], entry["frame"]) for entry in content["structures"]] == [
        ("Cu4", None),
        ("H2O", None),
        ("Cu4", 0),
        ("Al", 1),
        ("AlCu", 2),
    ]
    (expected,) = package.load(model_file, dtype="float64").predict(read(inputs[0]))
    first = content["structures"][0]
    assert first["energy_eV"] == pytest.approx(expected.energy, abs=1e-12)
    assert first["forces_eV_per_A"] == pytest.approx(expected.forces, abs=1e-12)
    assert first["stress_eV_per_A3"] == pytest.approx(expected.stress, abs=1e-12)
    assert sum(first["atomic_energies_eV"]) == pytest.approx(expected.energy)
    assert content["structures"][1]["stress_eV_per_A3"] is None


def test_extxyz_carries_results_that_ase_reads(tribond, inputs, model_file, tmp_path):
    out = tmp_path / "out.extxyz"
    assert tribond("predict", *inputs, "--model", model_file, "--output", out).exit_code == 0
    frames = read(out, index=":")
    assert [str(frame.symbols) for frame in frames] == ["Cu4", "OH2", "Cu4", "Al", "AlCu"]
    (expected,) = package.load(model_file, dtype="float64").predict(read(inputs[0]))
    assert frames[0].get_potential_energy() == pytest.approx(expected.energy, abs=1e-6)
    assert frames[0].get_forces() == pytest.approx(expected.forces, abs=1e-6)
    assert voigt_6_to_full_3x3_stress(frames[0].get_stress()) == pytest.approx(expected.stress, abs=1e-6)
    assert frames[2].info["source"] == f"{inputs[2]}@0"


def test_frames_are_chosen_by_index(tribond, inputs, model_file):
    result = tribond("predict", f"{inputs[2]}@-1", "--model", model_file)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[:2] == [f"{inputs[2]}@2", "AlCu"]


def test_one_bad_frame_does_not_take_the_others_along(tribond, model_file, tmp_path):
    flat = Atoms("Cu", cell=[(3, 0, 0), (0, 3, 0), (3, 3, 0)], pbc=True)
    write(tmp_path / "run.traj", [bulk("Cu"), bulk("W"), flat, Atoms("Cu2", positions=np.zeros((2, 3))), bulk("Al")])
    out = tmp_path / "out.json"
    result = tribond("predict", tmp_path / "run.traj", "--model", model_file, "--output", out)
    assert result.exit_code == 1
    assert "run.traj@1: this model does not know W; it knows H O Al Cu" in result.output
    assert "run.traj@2: periodic along a, b, c, but these lattice vectors span no volume" in result.output
    assert "run.traj@3: atom 0 (Cu) and atom 1 (Cu) are 0 Å apart" in result.output
    entries = json.loads(out.read_text())["structures"]
    assert ["error" in entry for entry in entries] == [False, True, True, True, False]


def test_nothing_readable_fails(tribond, model_file, tmp_path):
    (tmp_path / "empty.cif").touch()
    out = tmp_path / "out.extxyz"
    result = tribond("predict", tmp_path / "empty.cif", "--model", model_file, "--output", out)
    assert result.exit_code == 1
    assert "the file is empty" in result.output
    assert not out.exists()


@pytest.mark.parametrize("name", ["out.cif", "out", "run.extxyz", "folder.json"])
def test_senseless_outputs_are_wrong_usage(tribond, inputs, model_file, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    before = inputs[2].read_bytes()
    assert tribond("predict", *inputs, "--model", model_file, "--output", name).exit_code == 2
    assert inputs[2].read_bytes() == before


def test_float32_and_quiet(tribond, inputs, model_file, tmp_path):
    out = tmp_path / "out.json"
    result = tribond("predict", inputs[0], "-m", model_file, "--dtype", "float32", "-o", out, "-q", "--device", "cpu")
    assert result.exit_code == 0
    assert result.output == ""
    assert json.loads(out.read_text())["model"] == {
        "name": "small",
        "level_of_theory": "none",
        "cutoff_A": 5.0,
        "dtype": "float32",
        "device": "cpu",
    }


def test_device_that_is_not_there_is_wrong_usage(tribond, inputs, model_file):
    result = tribond("predict", inputs[0], "--model", model_file, "--device", "toaster")
    assert result.exit_code == 2
    assert "toaster" in result.output
