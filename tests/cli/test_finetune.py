"""`tribond finetune`: the files that it writes, what it holds out and teaches again, and what it says at the end."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from tribond.checkpoints.native import load_model, save_model
from tribond.data.common_crystals import common_crystals, disturbed, is_standing, replay_set, standing_set
from tribond.data.frames import Frame
from tribond.data.split import reduced_formula
from tribond.nn.config import preset
from tribond.nn.m3gnet import M3GNet

pytest.importorskip("lightning")

from tribond.training.finetune import hold_out

TINY = {"node_features": 8, "edge_features": 8, "num_blocks": 1, "update_hidden": (8,), "readout_hidden": (8,)}


@pytest.fixture
def base(tmp_path):
    torch.manual_seed(0)
    model = M3GNet(preset("paper", elements=("Cu", "Al", "Ni", "Pd", "Au"), **TINY))
    model.reference_energy.set(scale=[1.0] * 5, reference=[-3.0] * 5)
    save_model(tmp_path / "base.safetensors", model, {"name": "base"})
    return tmp_path / "base.safetensors"


@pytest.fixture
def data(tmp_path):
    images = []
    for seed in range(10):
        atoms = bulk("Cu", a=3.6, cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    write(tmp_path / "copper.extxyz", images)
    return tmp_path / "copper.extxyz"


def test_common_crystals_are_split_by_compound_and_never_change():
    crystals = common_crystals()
    assert len(crystals) > 200
    standing = {reduced_formula(it.atoms.get_chemical_formula()) for it in crystals if is_standing(it)}
    taught = replay_set(500, [*{s for it in crystals for s in it.atoms.symbols}], first=["Mo"])
    assert standing.isdisjoint(reduced_formula(atoms.get_chemical_formula()) for atoms in taught)
    assert "Mo" in taught[0].symbols
    named = standing_set(["Cu", "Al", "Ni", "Au"])
    assert {reduced_formula(atoms.get_chemical_formula()) for _, atoms in named} <= standing
    for crystal in crystals:
        assert np.array_equal(disturbed(crystal, 1).positions, disturbed(crystal, 1).positions)
        distances = crystal.atoms.repeat(2).get_all_distances(mic=True)
        assert distances[~np.eye(len(distances), dtype=bool)].min() > 1.3, crystal.name


def test_from_a_few_frames_to_a_model_with_its_price(tribond, base, data, tmp_path):
    out = tmp_path / "out"
    command = ("finetune", base, data, "-o", out, "--steps", "4", "--replay", "6", "--accelerator", "cpu")
    result = tribond(*command)
    assert result.exit_code == 0, result.output
    assert "6 structures to train on, 4 held out" in result.output
    assert "before" in result.stdout
    assert "common crystals, not taught" in result.stdout
    assert {path.name for path in (out / "data").iterdir()} == {"train.extxyz", "validation.extxyz", "replay.extxyz"}
    labels = read(out / "data" / "replay.extxyz", ":")
    assert len(labels) == 6
    model = tribond("predict", out / "data" / "replay.extxyz", "-m", base, "-o", tmp_path / "again.json")
    assert model.exit_code == 0, model.output
    again = json.loads((tmp_path / "again.json").read_text())["structures"]
    assert [it["energy_eV"] for it in again] == pytest.approx(
        [atoms.get_potential_energy() for atoms in labels], abs=1e-5
    )
    moved = json.loads((out / "forgetting.json").read_text())["moved"]
    assert set(moved) == {"with Cu", "of other elements"}
    assert tribond(*command).exit_code == 0  # of a complete one the result again
    other = tribond(*command, "--learning-rate", "0.01")
    assert other.exit_code == 2
    assert "fine-tuning with other options" in other.output


def test_reference_energies_alone_are_no_forgetting(tribond, base, data, tmp_path):
    """Nothing but the zero of energy moves: common crystals must not seem to have changed."""
    out = tmp_path / "out"
    result = tribond(
        "finetune",
        base,
        data,
        "-o",
        out,
        "--steps",
        "1",
        "--replay",
        "0",
        "--accelerator",
        "cpu",
        "--learning-rate",
        "1e-12",
    )
    assert result.exit_code == 0, result.output
    before, after = (load_model(path)[0].reference_energy.reference for path in (base, out / "model.safetensors"))
    assert abs(float((after - before)[0])) > 1.0
    for group in json.loads((out / "forgetting.json").read_text())["moved"].values():
        assert group["energy_meV_per_atom"] < 0.01
        assert group["forces_meV_per_A"] < 0.01
    assert "warning" not in result.output


def test_frozen_parts_stay_and_a_model_that_forgets_is_told(tribond, base, data, tmp_path):
    out = tmp_path / "out"
    result = tribond(
        *("finetune", base, data, "-o", out, "--steps", "30", "--replay", "0", "--accelerator", "cpu"),
        *("--learning-rate", "0.3", "--freeze", "embedding,block1"),
    )
    assert result.exit_code == 0, result.output
    before, after = (dict(load_model(path)[0].named_parameters()) for path in (base, out / "model.safetensors"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"readout"}
    assert "the model has moved far" in result.output


def test_what_cannot_be_done_is_said(tribond, base, data, tmp_path):
    result = tribond("finetune", base, data, "--freeze", "block7", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "has no block7" in result.output
    write(tmp_path / "few.extxyz", read(data, ":3"))
    result = tribond("finetune", base, tmp_path / "few.extxyz", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "3 frames are too few" in result.output
    strange = read(data, "0")
    strange.symbols[0] = "W"
    strange.calc = SinglePointCalculator(strange, energy=0.0)
    write(tmp_path / "strange.extxyz", [strange] * 8)
    result = tribond("finetune", base, tmp_path / "strange.extxyz", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "does not know W" in result.output


def test_files_of_others_are_never_replaced(tribond, base, data, tmp_path):
    """In the user's own folder: neither the data that is read nor another file of the same name."""
    mine = tmp_path / "work" / "data" / "train.extxyz"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(data.read_bytes())
    for given in (mine, data):
        result = tribond("finetune", base, given, "-o", tmp_path / "work", "--steps", "1", "--replay", "0")
        assert result.exit_code == 2
        assert "was not written by a fine-tuning" in result.output
        assert mine.read_bytes() == data.read_bytes()
    other = mine.rename(mine.with_name("mine.extxyz"))
    result = tribond("finetune", base, f"{other}@:8", "-o", tmp_path / "work", "--steps", "1", "--replay", "0")
    assert result.exit_code == 2
    assert "where fine-tuning writes its own files" in result.output
    assert [path.name for path in (tmp_path / "work").rglob("*")] == ["data", "mine.extxyz"]


def test_a_model_of_no_common_crystal_has_no_replay(tribond, tmp_path):
    model = M3GNet(preset("paper", elements=("H", "O"), **TINY))
    model.reference_energy.set(scale=[1.0] * 2, reference=[-3.0] * 2)
    save_model(tmp_path / "water.safetensors", model, {"name": "water"})
    images = []
    for seed in range(10):
        atoms = Atoms("OH2", [[0, 0, 0], [0.97, 0, 0], [-0.24, 0.94, 0]])
        atoms.rattle(0.05, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=-9.0 - 0.1 * seed, forces=np.full((3, 3), 0.01 * seed))
        images.append(atoms)
    write(tmp_path / "water.extxyz", images)
    command = ("finetune", tmp_path / "water.safetensors", tmp_path / "water.extxyz", "-o", tmp_path / "out")
    result = tribond(*command, "--steps", "2", "--accelerator", "cpu")
    assert result.exit_code == 0, result.output
    assert "there is no replay: no common crystal is made of elements" in result.output
    assert not (tmp_path / "out" / "data" / "replay.extxyz").exists()
    assert tribond(*command, "--steps", "2", "--accelerator", "cpu").exit_code == 0  # the result again


def test_several_processes_are_refused(tribond, base, data, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    result = tribond("finetune", base, data, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "fine-tuning is one process" in result.output
    assert not (tmp_path / "out").exists()


def test_one_compound_with_nearly_all_frames_is_not_held_out():
    def frames(sizes):
        pairs = [(formula, size) for formula, size in sizes.items() for _ in range(size)]
        return [Frame(Atoms(formula), 0.0, None, None, formula) for formula, _ in pairs]

    compounds = [f"Cu{number}O" for number in range(1, 31)]
    for seed in range(20):  # whichever compound comes first
        notes = []
        train, held = hold_out(frames({"Si": 900} | dict.fromkeys(compounds, 10)), seed, notes.append)
        assert (len(held), notes) == (120, [])  # twelve of thirty, and none of silicon
        assert {frame.origin for frame in train}.isdisjoint(frame.origin for frame in held)
        train, held = hold_out(frames({"Si": 900} | dict.fromkeys(compounds, 2)), seed, notes.append)
        assert (len(train), len(held)) == (864, 96)
        assert "at random, not by compound: 900 are of Si" in notes[0]
