import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.io import read, write

from tribond.cli.structure_files import read_frames, split_index, write_structure
from tribond.errors import StructureError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run.xyz", ("run.xyz", None)),
        ("run.xyz@3", ("run.xyz", "3")),
        ("folder@2/run.xyz", ("folder@2/run.xyz", None)),
        ("run.xyz@-5:", ("run.xyz", "-5:")),
        ("me@home.cif", ("me@home.cif", None)),
    ],
)
def test_index_is_split_off_only_where_it_is_one(name, expected):
    path, index = split_index(name)
    assert (str(path), index) == expected


def test_file_that_really_has_the_name_wins(tmp_path):
    write(tmp_path / "Cu@1", bulk("Cu"), format="vasp")
    assert split_index(f"{tmp_path}/Cu@1") == (tmp_path / "Cu@1", None)


@pytest.mark.parametrize("suffix", ["cif", "vasp", "xyz", "extxyz", "traj", "json", "res", "xsf", "cfg", "gen"])
def test_crystals_survive_the_usual_formats(tmp_path, suffix):
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.rattle(0.05, seed=1)
    source = tmp_path / f"x.{suffix}"
    write(source, atoms)
    (frame,) = read_frames(str(source))
    target = tmp_path / f"y.{suffix}"
    assert write_structure(frame.atoms, target, frame.format) == target
    (back,) = read_frames(str(target))
    assert back.format == frame.format
    assert back.atoms.get_all_distances(mic=True) == pytest.approx(atoms.get_all_distances(mic=True), abs=2e-3)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("atoms", "kind"),
    [
        (molecule("H2O"), "vasp"),
        (molecule("H2O"), "espresso-in"),  # pseudopotentials are missing
        (fcc111("Cu", (1, 1, 3), vacuum=8.0), "vasp"),  # periodic along two axes, POSCAR knows only three
        (bulk("Cu"), "vasp-out"),  # ASE only reads it
        (bulk("Cu") * (2, 2, 2), "mol"),
    ],
)
def test_what_a_format_cannot_hold_becomes_extxyz(tmp_path, capsys, atoms, kind):
    written = write_structure(atoms, tmp_path / "x.old", kind)
    assert written == tmp_path / "x.extxyz"
    back = read(written)
    assert np.array_equal(back.pbc, atoms.pbc)
    assert back.positions == pytest.approx(atoms.positions)
    assert [path.name for path in tmp_path.iterdir()] == ["x.extxyz"]
    assert "wrote x.extxyz instead" in capsys.readouterr().err


def test_left_handed_cells_survive_cif(tmp_path):
    atoms = Atoms(
        "NaCl", scaled_positions=[(0, 0, 0), (0.4, 0.3, 0.2)], cell=[(0, 5, 0), (4, 1, 0), (0, 0, 6)], pbc=True
    )
    assert write_structure(atoms, tmp_path / "x.cif", "cif") == tmp_path / "x.cif"


def test_what_a_cif_said_about_symmetry_is_forgotten(tmp_path):
    write(tmp_path / "x.cif", bulk("Cu"))
    (frame,) = read_frames(str(tmp_path / "x.cif"))
    assert not {"spacegroup", "unit_cell", "occupancy"} & set(frame.atoms.info)
    assert "spacegroup_kinds" not in frame.atoms.arrays


def test_files_without_atoms_are_refused(tmp_path):
    (tmp_path / "x.xyz").write_text("0\n\n")
    with pytest.raises(StructureError, match="no atoms"):
        read_frames(str(tmp_path / "x.xyz"))


def test_unknown_formats_are_named(tmp_path):
    (tmp_path / "x.docx").write_text("Dear Sir,")
    with pytest.raises(StructureError, match="ASE does not know this format"):
        read_frames(str(tmp_path / "x.docx"))


def test_what_is_lost_is_said(tmp_path, capsys):
    from tribond.cli.structure_files import write_structure

    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.set_initial_magnetic_moments([1, 0])
    atoms.set_velocities([[0.1, 0, 0], [0, 0, 0]])
    atoms.info["project"] = "x"
    write_structure(atoms, tmp_path / "x.cif", "cif")
    said = capsys.readouterr().err
    assert "x.cif does not keep" in said
    assert all(word in said for word in ("velocities", "spins", "project"))
    write_structure(atoms, tmp_path / "x.extxyz", "extxyz")
    assert "spins" not in capsys.readouterr().err


def test_key_value_pairs_of_a_database_are_kept(tmp_path):
    from ase.db import connect

    connect(tmp_path / "x.db").write(bulk("Cu"), phase="fcc", bandgap=1.5)
    (frame,) = read_frames(str(tmp_path / "x.db"))
    write_structure(frame.atoms, tmp_path / "y.db", frame.format)
    assert connect(tmp_path / "y.db").get(1).key_value_pairs == {"phase": "fcc", "bandgap": 1.5}


def test_lammps_data_is_written_back(tmp_path):
    write(tmp_path / "x.data", bulk("NaCl", "rocksalt", a=5.64), format="lammps-data", masses=True)
    (frame,) = read_frames(str(tmp_path / "x.data"))
    assert write_structure(frame.atoms, tmp_path / "y.data", frame.format) == tmp_path / "y.data"
    (back,) = read_frames(str(tmp_path / "y.data"))
    assert str(back.atoms.symbols) == str(frame.atoms.symbols)


def test_elements_and_format_on_the_command_line(tmp_path, tribond, model_file):
    write(tmp_path / "x.lmp", bulk("Cu"), format="lammps-data")
    refused = tribond("predict", tmp_path / "x.lmp", "--model", model_file)
    assert refused.exit_code == 1
    assert "--elements Na Cl" in refused.output
    for words in (["--elements", "Cu", "O"], ["--elements", "Cu,O"], ["--elements", "Cu", "--format", "lammps"]):
        done = tribond("predict", tmp_path / "x.lmp", *words, "--model", model_file)
        assert done.exit_code == 0, done.output
        assert "Cu" in done.stdout
    assert tribond("predict", tmp_path / "x.lmp", "--elements", "Wat", "--model", model_file).exit_code == 2
    assert "no format is called" in tribond("predict", "x", "--format", "word", "--model", model_file).output
