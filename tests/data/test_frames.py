import gzip
import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from tribond.data.frames import expand, read_frames
from tribond.errors import DataError
from tribond.units import EV_PER_A3_TO_GPA


def test_labels_come_back_as_they_were(tmp_path, labelled_crystal):
    write(tmp_path / "a.extxyz", [labelled_crystal] * 2)
    first, second = read_frames(str(tmp_path / "a.extxyz"), source=3)
    assert first.energy == pytest.approx(labelled_crystal.get_potential_energy())
    assert first.forces == pytest.approx(labelled_crystal.get_forces(), abs=1e-7)
    assert first.stress == pytest.approx(labelled_crystal.get_stress(voigt=False), abs=1e-7)
    assert (first.origin, second.origin) == ("a.extxyz#0", "a.extxyz#1")
    assert first.source == 3
    assert first.atoms.calc is None


def test_stress_in_gigapascal(tmp_path, labelled_crystal):
    stress = labelled_crystal.get_stress() * EV_PER_A3_TO_GPA
    labelled_crystal.calc = SinglePointCalculator(labelled_crystal, energy=0.0, stress=stress)
    write(tmp_path / "a.extxyz", labelled_crystal)
    (frame,) = read_frames(str(tmp_path / "a.extxyz"), stress_unit="GPa")
    assert frame.stress * EV_PER_A3_TO_GPA == pytest.approx(labelled_crystal.get_stress(voigt=False), abs=1e-6)


def test_only_the_labels_asked_for(tmp_path, labelled_crystal):
    write(tmp_path / "a.extxyz", labelled_crystal)
    (frame,) = read_frames(str(tmp_path / "a.extxyz"), labels=["forces"])
    assert frame.energy is None
    assert frame.stress is None
    assert frame.forces is not None


def test_what_has_no_volume_has_no_stress(tmp_path, labelled_crystal):
    results = labelled_crystal.calc.results
    labelled_crystal.pbc = (True, True, False)
    labelled_crystal.calc = SinglePointCalculator(labelled_crystal, **results)
    write(tmp_path / "a.traj", labelled_crystal)
    (frame,) = read_frames(str(tmp_path / "a.traj"))
    assert frame.stress is None
    assert frame.energy is not None


def test_compressed_files_and_patterns(tmp_path, labelled_crystal, labelled_molecule):
    write(tmp_path / "b.extxyz", labelled_crystal)
    write(tmp_path / "plain.extxyz", [labelled_molecule] * 2)
    with (tmp_path / "plain.extxyz").open("rb") as plain, gzip.open(tmp_path / "a.extxyz.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    (tmp_path / "plain.extxyz").unlink()
    frames = read_frames([str(tmp_path / "*.extxyz*")])
    assert [len(frame.atoms) for frame in frames] == [2, 2, 4]
    assert frames[0].origin == "a.extxyz.gz#0"


def test_no_file():
    with pytest.raises(DataError, match=r"no file matches nothing-\*"):
        expand("nothing-*")


def test_no_label(tmp_path):
    write(tmp_path / "a.extxyz", Atoms("H"))
    with pytest.raises(DataError, match=r"none of its 1 structures has energy or forces or stress"):
        read_frames(str(tmp_path / "a.extxyz"))


def test_labels_that_are_not_numbers(tmp_path, labelled_molecule):
    labelled_molecule.calc.results["energy"] = np.nan
    write(tmp_path / "a.extxyz", labelled_molecule)
    with pytest.raises(DataError, match=r"a.extxyz#0: the energy is not finite"):
        read_frames(str(tmp_path / "a.extxyz"))


def test_a_file_of_nonsense(tmp_path):
    (tmp_path / "a.extxyz").write_text("nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        read_frames(str(tmp_path / "a.extxyz"))
