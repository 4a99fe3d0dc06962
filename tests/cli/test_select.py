"""`tribond select`: files in, chosen structures and a table out; an interrupted call goes on."""

import csv

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

import tribond as package
from tribond.checkpoints.ensemble import write_ensemble
from tribond.checkpoints.native import save_model
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet
from tribond.screening import scored_pool


@pytest.fixture
def ensemble(tmp_path):
    files = []
    for seed in range(2):
        torch.manual_seed(seed)
        config = M3GNetConfig(elements=("Al", "Cu"), node_features=8, edge_features=8, num_blocks=1)
        files.append(tmp_path / f"{seed}.safetensors")
        save_model(files[-1], M3GNet(config, torch.float32), {"name": f"member {seed}"})
    write_ensemble(tmp_path / "ensemble.json", files)
    return tmp_path / "ensemble.json"


@pytest.fixture
def pool(tmp_path):
    images = []
    for seed in range(12):
        atoms = bulk("Cu", a=3.4 + 0.05 * seed, cubic=True)
        atoms.symbols[: seed % 3] = "Al"
        atoms.rattle(0.05 * (seed % 4), seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
        atoms.info |= {"virial": np.eye(3), "REF_energy": -1.0, "material": "alloy"}
        for name in ("force", "REF_forces"):
            atoms.arrays[name] = np.ones((len(atoms), 3))
        images.append(atoms)
    images.insert(5, bulk("Au"))  # which the model does not know
    write(tmp_path / "pool.extxyz", images)
    write(tmp_path / "known.extxyz", images[:2])
    return tmp_path / "pool.extxyz"


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_chosen_structures_and_their_table(tribond, ensemble, pool, tmp_path):
    command = ("select", pool, "-n", 4, "-m", ensemble, "--known", tmp_path / "known.extxyz", "--min-distance", 1e-6)
    result = tribond(*command, "-o", tmp_path / "chosen.extxyz")
    assert result.exit_code == 0, result.output
    assert "pool.extxyz@5" in result.output  # left out, with the reason
    chosen, rows = read(tmp_path / "chosen.extxyz", ":"), rows_of(tmp_path / "chosen.csv")
    assert [atoms.info["source"] for atoms in chosen] == [row["structure"] for row in rows]
    assert "10 candidates; 2 like one of 2 known ones" in " ".join(result.stdout.split())
    numbers = [int(row["structure"].rpartition("@")[2]) for row in rows]
    originals = read(pool, ":")
    model = package.load(ensemble, device="cpu", dtype="float32")
    for atoms, row, number in zip(chosen, rows, numbers, strict=True):
        assert atoms.calc is None  # a model's energies would pass for labels, and these, too:
        assert not {"virial", "REF_energy", "force", "REF_forces"} & {*atoms.info, *atoms.arrays}
        assert atoms.info["material"] == "alloy"
        np.testing.assert_allclose(atoms.positions, originals[number].positions, atol=1e-7)
        (expected,) = model.predict(originals[number])
        assert float(row["max_force_spread_eV_per_A"]) == pytest.approx(expected.spread.max_force_spread, rel=1e-4)
    spreads = [float(row["max_force_spread_eV_per_A"]) for row in rows]
    assert spreads[0] == max(spreads)
    assert not (tmp_path / "chosen.extxyz.parts").exists()
    again = tribond(*command, "-o", tmp_path / "again.extxyz", "--keep-labels")
    assert again.exit_code == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "chosen.csv").read_bytes()
    kept = read(tmp_path / "again.extxyz", 0)
    assert kept.get_potential_energy() == pytest.approx(originals[numbers[0]].get_potential_energy())
    assert {"virial", "REF_energy", "force", "REF_forces"} <= {*kept.info, *kept.arrays}
    few = ("select", pool, "-n", 2, "-m", ensemble, "--min-distance", 100, "-o", tmp_path / "few.extxyz")
    for more, advised in (((), False), (("--candidates", 2), True)):
        told = " ".join(tribond(*few, *more).output.split())
        assert "1 instead of 2: all other candidates are nearer to these than the least distance" in told
        assert ("a larger --candidates looks at more" in told) == advised
    bound = np.median(spreads)
    result = tribond(*command, "-o", tmp_path / "tame.extxyz", "--max-force-spread-eV-per-A", bound)
    assert max(float(row["max_force_spread_eV_per_A"]) for row in rows_of(tmp_path / "tame.csv")) <= bound
    assert "beyond the bound" in result.stdout


def test_one_model_chooses_by_difference_alone(tribond, ensemble, pool, tmp_path):
    command = ("select", pool, "-n", 3, "-m", tmp_path / "0.safetensors")
    result = tribond(*command, "-o", tmp_path / "three.extxyz")
    assert result.exit_code == 0, result.output
    assert len(rows_of(tmp_path / "three.csv")) == 3
    wrong = tribond(*command, "--candidates", 5)
    assert (wrong.exit_code, "it is for ensembles" in " ".join(wrong.output.split())) == (2, True)
    itself = tribond("select", pool, "-n", 3, "-m", ensemble, "-o", pool)
    assert (itself.exit_code, "never overwritten" in " ".join(itself.output.split())) == (2, True)


def test_an_interrupted_call_goes_on_with_what_it_had(tribond, ensemble, pool, tmp_path, monkeypatch):
    monkeypatch.setattr(scored_pool, "AT_ONCE", 4)
    calls, whole = [], scored_pool.score

    def counted(*arguments, **settings):
        calls.append(len(arguments[1]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(scored_pool, "score", counted)
    command = ("select", pool, "-n", 4, "-m", ensemble, "-o")
    stopped = tribond(*command, tmp_path / "chosen.extxyz")
    assert stopped.exit_code != 0
    assert not (tmp_path / "chosen.extxyz").exists()
    assert tribond(*command, tmp_path / "chosen.extxyz").exit_code == 0
    assert calls == [4, 4, 4, 4, 1]  # the third again, and the fourth
    assert tribond(*command, tmp_path / "whole.extxyz").exit_code == 0
    assert (tmp_path / "chosen.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "chosen.extxyz").read_bytes() == (tmp_path / "whole.extxyz").read_bytes()
