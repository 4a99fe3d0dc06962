"""The example of a whole loop: an ensemble trains, runs, selects, is given labels and trains again, and its errors fall."""

import importlib.util
from pathlib import Path

from ase.io import read, write

EXAMPLE = Path(__file__).parents[2] / "examples" / "active_learning" / "loop.py"


def test_errors_fall_with_labels_that_the_ensemble_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("loop", EXAMPLE)
    loop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loop)
    (tmp_path / "learned").mkdir()  # what a call that was killed in a later round has left
    write(tmp_path / "learned" / "labelled-1.extxyz", loop.labelled(loop.first_structures(3)))
    first, second = loop.main(["--rounds", "2", "--members", "2", "--steps", "60", "--output", "learned"])
    assert second["forces_MAE_meV_per_A"] < 0.5 * first["forces_MAE_meV_per_A"]
    assert second["labels"] > first["labels"] == 8
    chosen = read(tmp_path / "learned" / "chosen-0.extxyz", ":")
    assert all(atoms.calc is None for atoms in chosen)  # their labels come from the truth, not from the model
    assert (tmp_path / "learned" / "errors.csv").read_text().count("\n") == 3
