import csv
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from tribond.units import EV_PER_A3_TO_GPA


def crystals(number, elements=("Cu", "Al")):
    images = []
    for seed in range(number):
        atoms = bulk("Cu", a=3.7 + 0.02 * seed, cubic=True)
        atoms.symbols = np.random.default_rng(seed).choice(elements, len(atoms))
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    return images


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "alloys.extxyz", crystals(8))
    return tmp_path / "alloys.extxyz"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def summary(out):
    return json.loads((out / "summary.json").read_text())


def test_the_numbers_are_printed_and_written(tribond, model_file, data, out):
    result = tribond("evaluate", model_file, data, "-o", out)
    assert result.exit_code == 0
    content = summary(out)
    (report,) = content["reports"]
    assert report["frames"] == 8
    for quantity, errors, digits in (
        ("energy (meV/atom)", report["energy_errors_meV_per_atom"], 2),
        ("energy, shifted (meV/atom)", report["energy_shifted_errors_meV_per_atom"], 2),
        ("forces (meV/Å)", report["forces_errors_meV_per_A"], 2),
        ("stress (GPa)", report["stress_errors_GPa"], 4),
    ):
        line = next(line for line in result.stdout.splitlines() if quantity in line)
        assert f"{errors['mae']:.{digits}f}" in line
        assert f"{errors['rmse']:.{digits}f}" in line
    assert report["energy_shifted_errors_meV_per_atom"]["mae"] < report["energy_errors_meV_per_atom"]["mae"] / 10
    assert content["model"]["name"] == "small"
    assert "parity_alloys.png" in result.stdout
    assert (out / "parity_alloys.png").stat().st_size > 10_000
    assert not (out / "predictions_alloys.extxyz.gz").exists()


def test_several_files_and_one_that_fails(tribond, model_file, data, tmp_path, out):
    write(tmp_path / "more.extxyz", crystals(3))
    (tmp_path / "bad.extxyz").write_text("nonsense")
    result = tribond(
        "evaluate", model_file, data, tmp_path / "bad.extxyz", tmp_path / "no.xyz", tmp_path / "m*.extxyz", "-o", out
    )
    assert result.exit_code == 1
    assert f"error: no file matches {tmp_path / 'no.xyz'}" in result.output
    assert "bad.extxyz" in result.output
    assert summary(out)["failed"] == 2
    assert [report["frames"] for report in summary(out)["reports"]] == [8, 3]
    assert "11 structures, 44 atoms" in result.stdout  # of all files together


def test_nothing_works(tribond, model_file, tmp_path, out):
    assert tribond("evaluate", model_file, tmp_path / "no.xyz", "-o", out).exit_code == 1
    assert not out.exists()


def test_unknown_elements_are_counted(tribond, model_file, tmp_path, out):
    write(tmp_path / "some.extxyz", [*crystals(3), *crystals(2, ("Au", "Pt"))])
    result = tribond("evaluate", model_file, tmp_path / "some.extxyz", "-o", out)
    assert result.exit_code == 0
    assert "2 of 5 structures left out (unknown to the model: Pt, Au)" in result.output
    assert summary(out)["reports"][0]["skipped"] == {"unknown to the model: Pt, Au": 2}


def test_only_unknown_elements(tribond, model_file, tmp_path, out):
    write(tmp_path / "some.extxyz", crystals(2, ("Au", "Pt")))
    result = tribond("evaluate", model_file, tmp_path / "some.extxyz", "-o", out)
    assert result.exit_code == 1
    assert "no structure is left to evaluate" in result.output


def test_a_random_part(tribond, model_file, data, out):
    def frames(*options):
        options = ("--frames", 3, "--labels", "energy", *options)
        assert tribond("evaluate", model_file, data, "-o", out, *options).exit_code == 0
        with (out / "frames.csv").open() as file:
            return [row["frame"] for row in csv.DictReader(file)]

    first = frames()
    assert len(first) == 3
    assert first == sorted(first) == frames("--seed", 0)
    assert first != frames("--seed", 1)


def test_some_labels(tribond, model_file, data, out):
    result = tribond("evaluate", model_file, data, "-o", out, "--labels", "energy,stress")
    assert result.exit_code == 0
    assert summary(out)["reports"][0]["forces_errors_meV_per_A"] is None
    assert "forces (meV/Å)" not in result.stdout


def test_the_unit_of_stress(tribond, model_file, data, tmp_path, out):
    images = read(data, ":")
    for atoms in images:
        results = dict(atoms.calc.results)
        atoms.calc = SinglePointCalculator(atoms, **(results | {"stress": results["stress"] * EV_PER_A3_TO_GPA}))
    write(tmp_path / "gpa.extxyz", images)
    tribond("evaluate", model_file, data, "-o", out, "--labels", "stress")
    expected = summary(out)["reports"][0]["stress_errors_GPa"]
    options = ("--labels", "stress", "--stress-unit", "GPa", "-o", out)
    assert tribond("evaluate", model_file, tmp_path / "gpa.extxyz", *options).exit_code == 0
    assert summary(out)["reports"][0]["stress_errors_GPa"] == pytest.approx(expected, rel=1e-6)


def test_filters(tribond, model_file, data, out):
    largest = sorted(np.abs(atoms.get_forces()).max() for atoms in read(data, ":"))
    limit = (largest[2] + largest[3]) / 2
    result = tribond("evaluate", model_file, data, "-o", out, "--max-force", limit)
    assert summary(out)["reports"][0]["frames"] == 3
    assert "5 of 8 structures are beyond" in result.output
    assert tribond("evaluate", model_file, data, "-o", out, "--max-stress", 0).exit_code == 1


def test_a_molecule_has_no_stress(tribond, model_file, tmp_path, out):
    atoms = Atoms("CuAl", positions=[[0, 0, 0], [0, 0, 2.5]])
    atoms.calc = SinglePointCalculator(atoms, energy=1.5, forces=[[0, 0, 1], [0, 0, -1]])
    write(tmp_path / "molecule.extxyz", atoms)
    assert tribond("evaluate", model_file, tmp_path / "molecule.extxyz", "-o", out).exit_code == 0
    assert summary(out)["reports"][0]["stress_errors_GPa"] is None


def test_predictions(tribond, model_file, data, out):
    assert tribond("evaluate", model_file, data, "-o", out, "--predictions").exit_code == 0
    assert len(read(out / "predictions_alloys.extxyz.gz", ":")) == 8


def test_quiet(tribond, model_file, data, out):
    result = tribond("evaluate", model_file, data, "-o", out, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (out / "summary.json").is_file()


def test_wrong_usage(tribond, model_file, data, out):
    assert tribond("evaluate", model_file, data, "-o", out, "--labels", "energy,charge").exit_code == 2
    assert tribond("evaluate", model_file, data, "-o", data).exit_code == 2
    assert tribond("evaluate", "no-such-model", data, "-o", out).exit_code == 2
    assert tribond("evaluate", model_file, data, "-o", out, "--device", "abacus").exit_code == 2
    assert tribond("evaluate", model_file).exit_code == 2
    result = tribond("evaluate", model_file, data, "-o", out, "--key", "heat", "--structure", "cif")
    assert result.exit_code == 2
    assert "--structure, --key" in result.output
    assert "is for models of properties; this is a potential" in " ".join(result.output.split())
