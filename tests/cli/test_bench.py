import json

import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from tests.small_models import random_model
from tribond.checkpoints.native import save_model
from tribond.nn.config import M3GNetConfig
from tribond.speed import limit, measure
from tribond.speed.memory import PeakMemory


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(measure, "LONG_ENOUGH", 0.0)
    monkeypatch.setattr(limit, "SHAPES", ((64, 64, 64),))
    monkeypatch.setattr(limit.multiply_rate, "__kwdefaults__", {"shapes": ((64, 64, 64),), "seconds": 0.01})


def test_a_row_for_every_size(tribond, model_file, tmp_path):
    result = tribond("bench", model_file, "--largest", 40, "--output", tmp_path / "out.json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["atoms", "4", "32"]
    assert "small in float32 on CPU" in lines[-2]
    assert "Al4 repeated" in lines[-2]
    assert lines[-1] == f"wrote {tmp_path / 'out.json'}"
    content = json.loads((tmp_path / "out.json").read_text())
    small, large = content["sizes"]
    assert (small["atoms"], large["atoms"]) == (4, 32)
    assert large["bonds"] == pytest.approx(8 * small["bonds"], rel=0.1)  # the atoms are rattled
    assert large["atom_steps_per_s"] == pytest.approx(32 / large["median_s"])
    expected = large["bonds"] * content["matrix_products_FLOP_per_bond"] / content["matrix_multiplication_FLOP_per_s"]
    assert large["limit_s"] == pytest.approx(expected)
    assert content["model"]["dtype"] == "float32"
    assert content["stopped"] is None


def test_ones_own_structure_and_silence(tribond, model_file, tmp_path):
    write(tmp_path / "run.extxyz", [bulk("Cu"), bulk("Al", cubic=True)])
    out = tmp_path / "out.json"
    result = tribond("bench", model_file, "--structure", f"{tmp_path}/run.extxyz@0", "--largest", 1, "-o", out, "-q")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    content = json.loads(out.read_text())
    assert content["cell"] == "Cu"
    assert [size["atoms"] for size in content["sizes"]] == [1]


def test_stops_before_memory_runs_out(tribond, model_file, tmp_path, monkeypatch):
    monkeypatch.setattr(PeakMemory, "available", lambda _: 1000)
    monkeypatch.setattr(PeakMemory, "peak", lambda _: 900)
    out = tmp_path / "out.json"
    result = tribond("bench", model_file, "--largest", 40, "-o", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "stopped: 32 atoms would need about 0.0 GB of memory" in result.output
    content = json.loads(out.read_text())
    assert [size["atoms"] for size in content["sizes"]] == [4]
    assert content["stopped"].startswith("32 atoms would need")


def test_memory_that_runs_out_after_all_is_an_end_and_no_failure(tribond, model_file, monkeypatch):
    once = iter([measure.Measurement(4, 100, (0.1,), 0, "chunked")])

    def fails_the_second_time(*_):
        for known in once:
            return known
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(measure.Stopwatch, "measure", fails_the_second_time)
    result = tribond("bench", model_file, "--largest", 40, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "stopped: no memory for 32 atoms" in result.output


def test_structures_that_cannot_be_repeated_are_refused(tribond, model_file, tmp_path):
    write(tmp_path / "water.xyz", molecule("H2O"))
    result = tribond("bench", model_file, "--structure", tmp_path / "water.xyz")
    assert result.exit_code == 1
    assert "not periodic along any axis" in result.output
    write(tmp_path / "run.extxyz", [bulk("Cu"), bulk("Al")])
    result = tribond("bench", model_file, "--structure", f"{tmp_path}/run.extxyz@:")
    assert result.exit_code == 1
    assert "names 2 structures; name one" in result.output
    write(tmp_path / "twice.extxyz", Atoms("Cu2", [[0, 0, 0], [0, 0, 0.01]], cell=[4, 4, 4], pbc=True))
    result = tribond("bench", model_file, "--structure", tmp_path / "twice.extxyz")
    assert result.exit_code == 1
    assert "twice.extxyz: atom 0 (Cu) and atom 1 (Cu) are 0.01 Å apart" in " ".join(result.output.split())


def test_unknown_elements_and_property_models_are_refused(tribond, model_file, tmp_path):
    write(tmp_path / "W.cif", bulk("W"))
    result = tribond("bench", model_file, "--structure", tmp_path / "W.cif")
    assert result.exit_code == 1
    assert "does not know W" in result.output
    config = M3GNetConfig(elements=("H",), node_features=8, edge_features=8, num_blocks=1, readout="mean")
    save_model(tmp_path / "property.safetensors", random_model(config), {"name": "property"})
    assert tribond("bench", tmp_path / "property.safetensors").exit_code == 2


def test_an_output_that_is_no_json_is_wrong_usage(tribond, model_file, tmp_path):
    assert tribond("bench", model_file, "--output", tmp_path / "out.txt").exit_code == 2
