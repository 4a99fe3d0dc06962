"""Labels under other names, virials and units, by both readers and from the cache."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from tests.data.test_frame_table import assert_same
from tribond.data import read_table as module
from tribond.data.array_cache import ArrayCache
from tribond.data.extxyz import read_plain
from tribond.data.frames import read_frames
from tribond.data.labels import LabelKeys, Seen
from tribond.data.read_table import read_table
from tribond.errors import DataError
from tribond.reading.content import Options
from tribond.units import EV_PER_A3_TO_GPA

FRAME = (
    '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:{forces}:R:3 {rest} pbc="T T T"\n'
    "Cu 0 0 0 1 2 3\nO 2 2 2.1 -1 -2 -3\n"
)
STRESS = '"0.1 0.4 0.5 0.4 0.2 0.6 0.5 0.6 0.3"'
WANTED = [[0.1, 0.4, 0.5], [0.4, 0.2, 0.6], [0.5, 0.6, 0.3]]


def both(file, **settings):
    """The frames, and all that was said, which must be the same from both readers."""
    said, fast = [], []
    frames = read_frames(str(file), on_note=said.append, **settings)
    assert_same(read_table(str(file), on_note=fast.append, **settings), frames)
    assert sorted(said) == sorted(fast)
    return frames, " | ".join(said)


@pytest.fixture
def save(tmp_path):
    def saver(text, name="a.extxyz"):
        (tmp_path / name).write_text(text * 2)
        return tmp_path / name

    return saver


def test_names_that_are_given(save):
    file = save(FRAME.format(forces="REF_forces", rest=f"REF_energy=-3 REF_stress={STRESS}"))
    with pytest.raises(
        DataError, match=r"REF_energy, REF_forces, REF_stress: name what is meant: --energy-key REF_energy"
    ):
        read_frames(str(file))
    with pytest.raises(DataError, match=r"name what is meant"):
        read_table(str(file))
    keys = LabelKeys("REF_energy", "REF_forces", "REF_stress")
    frames, said = both(file, keys=keys)
    assert read_plain(file.read_text(), "x", keys) is not None  # the fast way
    assert said == ""
    assert (frames[0].energy, frames[0].forces[1].tolist(), frames[0].stress.tolist()) == (-3, [-1, -2, -3], WANTED)
    with pytest.raises(DataError, match=r"has what was named \(energy_key E0\); the file has REF_energy"):
        read_frames(str(file), keys=LabelKeys(energy="E0"))


def test_labels_that_are_not_used_are_named(save):
    file = save(FRAME.format(forces="dft_forces", rest="energy=-3 REF_energy=-4"))
    frames, said = both(file)
    assert (frames[0].energy, frames[0].forces) == (-3, None)
    assert "REF_energy, dft_forces are in the file and not used; name what is meant: --energy-key REF_energy" in said
    _, said = both(file, labels=["energy"])
    assert "dft_forces" not in said
    _, said = both(file, keys=LabelKeys(forces="F"))
    assert "no structure has forces_key F" in said


def test_spreads_of_ensembles_are_no_labels(save):
    rest = "energy=-3 energy_std_eV_per_atom=0.1 max_force_spread_eV_per_A=0.2"
    text = FRAME.format(forces="forces", rest=rest).replace("forces:R:3", "forces_std:R:3:force_spread:R:1:forces:R:3")
    text = text.replace("1 2 3\n", "9 9 9 9 1 2 3\n").replace("-1 -2 -3\n", "9 9 9 9 -1 -2 -3\n")
    frames, said = both(save(text))
    assert said == ""
    assert frames[0].forces[1].tolist() == [-1, -2, -3]


def test_force_and_virial(save):
    file = save(FRAME.format(forces="force", rest='energy=-3 virial="6.4 0 0 0 6.4 0 0 0 6.4"'))
    frames, said = both(file)
    assert frames[0].forces[0].tolist() == [1, 2, 3]
    assert frames[0].stress == pytest.approx(
        -0.1 * np.eye(3)
    )  # compressed: the virial is positive, the stress negative
    assert "force was taken as forces" in said
    assert "stress = -virial / volume" in said
    gpa, _ = both(file, stress_unit="GPa")
    assert gpa[0].stress == pytest.approx(frames[0].stress)  # virials are eV whatever stresses are
    named = save(FRAME.format(forces="forces", rest='energy=-3 dft_virial="6.4 0 0 0 6.4 0 0 0 6.4"'), "b.extxyz")
    assert both(named, keys=LabelKeys(virial="dft_virial"))[0][0].stress == pytest.approx(-0.1 * np.eye(3))


def test_a_virial_of_the_wrong_sign(save):
    rest = 'energy=-3 stress="0.1 0 0 0 0.1 0 0 0 0.1" virial="6.4 0 0 0 6.4 0 0 0 6.4"'
    frames, said = both(save(FRAME.format(forces="forces", rest=rest)))
    assert frames[0].stress == pytest.approx(0.1 * np.eye(3))
    assert "the same sign" in said


def test_labels_of_each_atom(save):
    text = FRAME.format(forces="forces", rest="energy=-3").replace("forces:R:3", "forces:R:3:stress:R:6")
    text = text.replace("1 2 3\n", "1 2 3 0 0 0 0 0 0\n").replace("-1 -2 -3\n", "-1 -2 -3 0 0 0 0 0 0\n")
    frames, said = both(save(text))
    assert frames[0].stress is None
    assert "for each atom" in said


def test_units_that_cannot_be(save):
    file = save(FRAME.format(forces="forces", rest='energy=-3 stress="-250 0 0 0 -250 0 0 0 -250"'))
    _, said = both(file)
    assert "stresses of 250 eV/Å³" in said
    assert "kbar" in said
    frames, said = both(file, stress_unit="kbar")
    assert said == ""
    assert frames[0].stress * EV_PER_A3_TO_GPA == pytest.approx(25 * np.eye(3))  # and VASP's sign
    _, said = both(save(FRAME.format(forces="forces", rest="energy=-3").replace("1 2 3", "100 200 300"), "f.extxyz"))
    assert "forces of 300 eV/Å" in said


@pytest.mark.parametrize("read", [read_frames, read_table])
def test_units_that_the_file_says(save, read):
    text = FRAME.format(forces="forces", rest=f"energy=-3 stress={STRESS} energy_unit=eV forces_units=eV/Ang")
    notes = []
    for unit in ("eV/A^3", "eV/Ang**3", "eV / Å³"):
        read(str(save(text.replace("energy_unit", f'stress_unit="{unit}" energy_unit'))), on_note=notes.append)
    assert notes == []  # units are no labels
    wrong = save(text.replace("energy_unit", "stress_unit=GPa energy_unit"))
    with pytest.raises(DataError, match=r"says stress_unit = GPa, and it would be read as eV/A\^3: --stress-unit GPa"):
        read(str(wrong))
    read(str(wrong), stress_unit="GPa")
    read(str(wrong), labels=["energy"])
    with pytest.raises(
        DataError, match="says energy_unit = Hartree, and it would be read as eV: convert the file to eV"
    ):
        read(str(save(text.replace("=eV ", "=Hartree "))))


def test_the_cache_remembers_what_was_said(save, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WORTH_KEEPING", 1)
    file = save(FRAME.format(forces="force", rest="energy=-3 REF_energy=-4"))
    for _ in range(2):
        said = []
        table = read_table(str(file), cache=ArrayCache(tmp_path / "cache"), on_note=said.append)
        assert len(said) == 2
        assert table[0].energy == -3
    keyed = read_table(str(file), cache=ArrayCache(tmp_path / "cache"), keys=LabelKeys(energy="REF_energy"))
    assert keyed[0].energy == -4


def test_a_name_is_a_name_and_an_index_an_index(save):
    text = FRAME.format(forces="forces", rest="energy=-3")
    for name, energy in (("slab", -1), ("slab@2.extxyz", -2), ("Li[N]O.extxyz", -4), ("LiNO.extxyz", -5)):
        file = save(text.replace("-3 ", f"{energy} ", 1), name)
    folder = file.parent
    assert both(folder / "slab@2.extxyz")[0][0].energy == -2
    assert both(folder / "Li[N]O.extxyz")[0][0].energy == -4
    frames, _ = both(f"{folder}/LiNO.extxyz@1")
    assert [frame.origin for frame in frames] == ["LiNO.extxyz#1"]


def test_elements_of_types(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    write(tmp_path / "x.data", atoms, format="lammps-data")
    with pytest.raises(DataError, match="--elements"):
        read_frames(str(tmp_path / "x.data"))
    with pytest.raises(DataError, match="has energy or forces or stress"):
        read_frames(str(tmp_path / "x.data"), options=Options(elements=("Cl", "Na")))


def test_what_looks_like_a_label():
    seen = Seen.nothing()
    seen.look(["energy", "dft_energy", "free_energy", "magmoms", "MACE_virial"])
    assert seen.names == {"energy", "dft_energy", "free_energy", "MACE_virial"}


def test_a_free_energy_is_told_where_it_is_the_only_energy(save):
    _, said = both(save(FRAME.format(forces="forces", rest="free_energy=-3")))
    assert "free_energy is in the file and not used" in said
    assert "--energy-key free_energy" in said
    _, said = both(save(FRAME.format(forces="forces", rest="energy=-3 free_energy=-3")))
    assert said == ""
