"""SHELX, LAMMPS, PDB, GROMACS, POSCAR, XYZ and pymatgen: types, symmetry, counts, cells and labels."""

import gzip
import json
import os
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from tribond.data.extxyz import read_plain
from tribond.errors import StructureError
from tribond.reading.content import Options
from tribond.reading.read import read_file


@pytest.fixture
def read(tmp_path):
    """(name, text, **options) -> atoms and notes of the last structure."""

    def reader(name, text, **options):
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        content = read_file(file, slice(None), Options(**options))
        return content.images[-1], content.notes

    return reader


SHELX = """TITL rutile
CELL 0.71073 4.594 4.594 2.959 90 90 90
LATT 1
SYMM -x,-y,z
SYMM -y+1/2,x+1/2,z+1/2
SYMM y+1/2,-x+1/2,z+1/2
SYMM -x+1/2,y+1/2,-z+1/2
SYMM x+1/2,-y+1/2,-z+1/2
SYMM y,x,-z
SYMM -y,-x,-z
SFAC Ti O
UNIT 2 4
FVAR 1.0
Ti1 1 0 0 0 10.125
O1 2 0.3057 0.3057 0 10.25 0.01 =
 0.02
HKLF 4
Q1 1 0.1 0.1 0.1 11.0 0.05
END
"""


def test_shelx_symmetry(read):
    atoms, notes = read("x.res", SHELX)
    assert atoms.get_chemical_formula() == "O4Ti2"
    assert "1 peaks" in " ".join(notes)
    atoms, _ = read("x.txt", SHELX)  # known by its content
    assert len(atoms) == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("UNIT 2 4", "UNIT 2 8", "UNIT is O8 Ti2, but .* O4 Ti2"),
        ("LATT 1", "LATT 4", "UNIT is"),
        ("10.25 0.01", "10.125 0.01", "UNIT|partly"),
        ("SFAC Ti O", "SFAC Ti Wat", "Wat, which is no element"),
        ("O1 2", "O1 3", "type 3"),
        ("CELL 0.71073", "CELX 0.71073", "neither an instruction|no CELL"),
        ("0.3057 0.3057", "0.3057 y", "no number"),
    ],
)
def test_shelx_contradictions(read, old, new, message):
    text = SHELX.replace(old, new)
    if "10.125 0.01" in new:
        text = text.replace("UNIT 2 4\n", "")
    with pytest.raises(StructureError, match=message):
        read("x.res", text)


def test_airss(read):
    text = "TITL Si-1 0.0 40 -10.8 0 0 2 (Fd-3m) n - 1\nCELL 1.5 3.84 3.84 3.84 60 60 60\nLATT -1\nSFAC Si\n"
    atoms, _ = read("x.res", text + "Si 1 0 0 0 1.0\nSi 1 0.25 0.25 0.25 1.0\nEND\n")
    assert len(atoms) == 2


LAMMPS = """comment

4 atoms
2 atom types
0 5.6 xlo xhi
0 5.6 ylo yhi
0 2.8 zlo zhi

Masses

1 22.98977
2 35.45

Atoms {style}

"""


@pytest.mark.parametrize(
    ("style", "row"),
    [
        ("# charge", "{i} {t} 1.0 {x} 0 0"),
        ("", "{i} {t} -1.0 {x} 0 0"),
        ("# atomic", "{i} {t} {x} 0 0"),
        ("", "{i} {t} {x} 0 0 0 0 0"),
        ("# full", "{i} 1 {t} 0.5 {x} 0 0"),
        ("# molecular", "{i} 1 {t} {x} 0 0"),
        ("", "{i} {i} {t} {x} 0 0"),
    ],
)
@pytest.mark.parametrize("name", ["x.data", "x.lmp", "data.x", "lammps"])
def test_lammps_data_under_any_name(read, style, row, name):
    rows = "\n".join(row.format(i=i, t=1 + i % 2, x=1.4 * i) for i in (1, 2, 3, 4))
    atoms, notes = read(name, LAMMPS.format(style=style) + rows + "\n")
    assert str(atoms.symbols) == "ClNaClNa"
    assert "1 is Na, 2 is Cl" in notes[0]


def test_types_are_not_elements(read):
    text = LAMMPS.format(style="# atomic") + "1 1 0 0 0\n2 1 1 1 1\n3 2 2 2 2\n4 2 3 3 2\n"
    bare = text.replace("Masses\n\n1 22.98977\n2 35.45\n\n", "")
    with pytest.raises(StructureError, match=r"type 1 .* no masses.*--elements Na Cl"):
        read("x.data", bare)
    assert str(read("x.data", bare, elements=("Cu", "O"))[0].symbols) == "Cu2O2"
    with pytest.raises(StructureError, match="mass is 1"):
        read("x.data", text.replace("22.98977", "1.5"))
    with pytest.raises(StructureError, match="masses .* are 1, as in reduced units"):
        read("x.data", text.replace("22.98977", "1.0").replace("35.45", "1"))
    with pytest.raises(StructureError, match="names 1 elements"):
        read("x.data", bare, elements=("Cu",))
    with pytest.raises(StructureError, match="says 5 atoms, but .* 4 lines"):
        read("x.data", text.replace("4 atoms", "5 atoms"))
    labelled = bare.replace("Atoms #", "Atom Type Labels\n\n1 Na\n2 Cl\n\nAtoms #").replace(" 1 0 0 0", " Na 0 0 0")
    assert str(read("x.data", labelled)[0].symbols) == "Na2Cl2"


DUMP = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\nITEM: ATOMS id {}\n1 {} 0 0 0 1 0 0\n2 {} 2 2 2 0 0 0\n"


def test_lammps_dumps(read):
    atoms, _ = read("dump.x", DUMP.format("element x y z fx fy fz", "Na", "Cl"))
    assert str(atoms.symbols) == "NaCl"
    assert "energy" not in atoms.calc.results  # ASE makes it up
    typed = DUMP.format("type x y z fx fy fz", 1, 2)
    with pytest.raises(StructureError, match="types of atoms, not elements"):
        read("dump.x", typed)
    assert str(read("dump.x", typed, elements=("K", "F"))[0].symbols) == "KF"


def test_frames_of_lammps_dumps(read, tmp_path):
    good = DUMP.format("type element x y z", "1 Na", "2 Cl").replace(" 1 0 0\n", "\n").replace("2 2 2 0 0 0", "2 2 2")
    for damaged, what in (
        (good.rpartition("2 2 Cl")[0], "says 2 atoms, but has 1 lines"),
        (good + "3 1 Na 1 1 1\n", "says 2 atoms, but has 3 lines"),
        (good.replace("2 Cl 2 2 2", "2 Cl 2 2"), "not the 6 columns"),
        (good.replace(" Na ", " C ").replace(" Cl ", " C "), "all 2 types of this dump are called C.*--elements Na Cl"),
        (good.replace(" Na ", " 1 ").replace(" Cl ", " 2 "), "holds types of atoms"),
        (good.replace(" Na ", " Wat1 "), "label 'Wat1' of atom 0"),
        ("ITEM: UNITS\nlj\n" + good, "units are LAMMPS's lj"),
    ):
        with pytest.raises(StructureError, match=what):
            read("x.dump", damaged)
    assert str(read("x.dump", good.replace(" Na ", " Na+ ").replace(" Cl ", " CL "))[0].symbols) == "NaCl"
    assert str(read("x.dump", good, elements=("K", "F"))[0].symbols) == "KF"  # the user knows better
    timed = "ITEM: UNITS\nreal\nITEM: TIME\n0.0\n" + good + "ITEM: TIME\n0.5\n" + good.replace("2 2 2", "2 2 1.9")
    assert read("x.dump", timed)[0].positions[1, 2] == 1.9
    file = tmp_path / "cut.dump"
    file.write_text(good + good.rpartition("2 2 Cl")[0])
    first, second = read_file(file, slice(None)).found
    assert str(first.symbols) == "NaCl"
    assert isinstance(second, StructureError)


def test_masses_of_lammps_dumps(read):
    text = DUMP.format("mass x y z fx fy fz", "{}", "{}")
    atoms, notes = read("x.dump", text.format(22.99, 35.45))
    assert str(atoms.symbols) == "NaCl"
    assert "22.99 is Na, 35.45 is Cl" in notes[0]
    for masses, what in (((100.7, 16), "mass 100.7"), ((14.027, 15.9994), "mass 14.027"), ((1, 1.0), "reduced units")):
        with pytest.raises(StructureError, match=what):
            read("x.dump", text.format(*masses))


def test_labels_and_masses_of_lammps_data(read):
    text = LAMMPS.format(style="# atomic") + "1 1 0 0 0\n2 1 1 1 1\n3 2 2 2 2\n4 2 3 3 2\n"
    labelled = text.replace("Masses\n", "Atom Type Labels\n\n1 Na\n2 Cl\n\nMasses\n")
    labelled = labelled.replace("\n1 22.98977\n2 35.45", "\nNa 22.98977\nCl 35.45").replace(" 1 0 0 0", " Na 0 0 0")
    assert str(read("x.data", labelled)[0].symbols) == "Na2Cl2"
    with pytest.raises(StructureError, match="label Na, but its mass 12.011 is that of C"):
        read("x.data", labelled.replace("22.98977", "12.011"))
    for mass in (13.019, 14.027, 15.035, 16.043):  # CH to CH4
        with pytest.raises(StructureError, match=f"mass is {mass}"):
            read("x.data", text.replace("22.98977", str(mass)))
    for first, units in (("LAMMPS data file via write_data, units = lj", "lj"), ("x, units = electron", "electron")):
        with pytest.raises(StructureError, match=f"LAMMPS's {units}, whose lengths are no Å"):
            read("x.data", first + "\n" + text.partition("\n")[2])
    assert len(read("x.data", "x, units = metal\n" + text.partition("\n")[2])[0]) == 4


PDB = "CRYST1    5.600    5.600    5.600  90.00  90.00  90.00 P 1           1\n"
ROW = "HETATM{:5d} {:<4s}{}{:<3s} A{:4d}    {:8.3f}{:8.3f}{:8.3f}{:6.2f}  0.00          {:>2s}\n"


def test_pdb(read):
    rows = ROW.format(1, "NA", " ", "NA", 1, 0, 0, 0, 1, "NA") + ROW.format(
        2, "CL", " ", "CL", 2, 2.8, 2.8, 2.8, 1, "CL"
    )
    atoms, _ = read("x.pdb", PDB + rows + "END\n")
    assert (str(atoms.symbols), atoms.pbc.all()) == ("NaCl", True)
    bare = ROW.format(1, "NA", " ", "NA", 1, 0, 0, 0, 1, "") + ROW.format(2, " CA", " ", "ALA", 2, 2.8, 2.8, 2.8, 1, "")
    with pytest.raises(StructureError, match="name 'CA' of an atom in residue ALA"):
        read("x.pdb", PDB + bare)
    for cryst in ("", PDB.replace("5.600", "1.000"), PDB.replace("5.600", "0.000")):
        atoms, notes = read("x.pdb", cryst + rows)
        assert not atoms.pbc.any()
        assert ("it says 1 1 1" in " ".join(notes)) == ("1.000" in cryst)
    with pytest.raises(StructureError, match="partly occupied"):
        read("x.pdb", PDB + rows.replace("  1.00  0.00", "  0.50  0.00"))
    two = ROW.format(1, "O", "A", "HOH", 1, 0, 0, 0, 1, "O") + ROW.format(2, "O", "B", "HOH", 1, 2.8, 2.8, 2.8, 1, "O")
    with pytest.raises(StructureError, match="alternatives of a disorder"):
        read("x.pdb", PDB + two)
    atoms, notes = read("x.pdb", PDB.replace("P 1 ", "P -1") + ROW.format(1, "O", " ", "HOH", 1, 1, 1, 1, 1, "O"))
    assert (len(atoms), "was applied" in " ".join(notes)) == (2, True)
    atoms, _ = read("x.pdb", PDB + "MODEL        1\n" + rows + "ENDMDL\nMODEL        2\n" + rows + "ENDMDL\nEND\n")
    assert atoms.pbc.all()  # of the second model, too


def test_gro(read):
    text = "t\n3\n    1SOL     OW    1   0.100   0.100   0.100\n    1SOL    HW1    2   0.200   0.100   0.100\n    2CL      CL    3   0.500   0.500   0.500\n   1.0   1.0   1.0\n"
    atoms, _ = read("x.gro", text)
    assert str(atoms.symbols) == "OHCl"
    assert atoms.cell.lengths() == pytest.approx(10)
    with pytest.raises(StructureError, match="damaged"):
        read("x.gro", text.replace("\n3\n", "\n9\n"))


POSCAR = "rock salt\n1.0\n5.6 0 0\n0 5.6 0\n0 0 5.6\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR_1", "x.vasp", "x.poscar", "NaCl", "start.txt"])
def test_poscar_under_any_name(read, name):
    assert str(read(name, POSCAR)[0].symbols) == "NaCl"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1 1\n", "1 1 1\n", "names 2 elements .* 3 counts"),
        ("1 1\n", "1 2\n", "counts 3 atoms, but has positions of 2"),
        ("1 1\n", "1 0\n", "more lines of positions"),
        ("Na Cl\n", "Na Wat\n", "'Wat' .* no element"),
        ("0 0 0\n", "0 0 0 Cl\n", "atom 0 .* is Na, but its line says Cl"),
        ("0 5.6 0", "0 five 0", "line 4"),
        ("Na Cl\n", "", "names no elements"),
        ("1 1\n", "1 100000000000000\n", "no more than"),
    ],
)
def test_poscars_that_contradict_themselves(read, old, new, message):
    with pytest.raises(StructureError, match=message):
        read("POSCAR", POSCAR.replace(old, new, 1))


def test_poscars_of_all_times(read):
    assert str(read("POSCAR", POSCAR.replace("rock salt", "Na Cl").replace("Na Cl\n1 1", "1 1"))[0].symbols) == "NaCl"
    assert str(read("POSCAR", POSCAR.replace("Na Cl", "Na_pv Cl/1a2b"))[0].symbols) == "NaCl"
    assert str(read("POSCAR", POSCAR.replace("rock", "r\xf6ck").encode("latin-1"))[0].symbols) == "NaCl"


def test_labels_in_xyz(read):
    atoms, _ = read("x.xyz", "3\n\nOw2 0 0 0\nD 0 0 1\nNa+ 3 0 0\n")
    assert str(atoms.symbols) == "OHNa"
    text = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=pos:R:3:species:S:1\n0 0 0 {}\n2 2 2 CL\n'
    assert str(read("x.extxyz", text.format("NA"))[0].symbols) == "NaCl"
    with pytest.raises(StructureError, match="label 'Wat1' of atom 0"):
        read("x.extxyz", text.format("Wat1"))


def test_xyz_counts(read):
    with pytest.raises(StructureError, match="claims 100000000000000 atoms, but 1 lines"):
        read("x.xyz", "100000000000000\n\nH 0 0 0")
    with pytest.raises(StructureError, match="line 4 is empty, but line 5 goes on"):
        read("x.xyz", "1\n\nH 0 0 0\n\n1\n\nH 0 0 0\n")


def test_cells_that_are_none(read):
    text = '2\nLattice="{}" Properties=species:S:1:pos:R:3 pbc="T T T"\nO 0 0 0\nH 0 0 1\n'
    atoms, notes = read("x.xyz", text.format("1 0 0 0 1 0 0 0 1"))
    assert (atoms.pbc.any(), "axes are open" in notes[0]) == (False, True)
    atoms, notes = read("x.xyz", text.format("4 0 0 0 4 0 0 0 0"))
    assert (atoms.pbc.tolist(), "along c is zero" in notes[0]) == ([True, True, False], True)


def test_pymatgen(read):
    site = {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0], "xyz": [0, 0, 0]}
    other = {"species": [{"element": "Cl-", "occu": 0.9999}], "abc": [0.5, 0.5, 0.5], "xyz": [2, 2, 2]}
    lattice = {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "pbc": [True, True, True]}
    structure = {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": lattice,
        "sites": [site, other],
    }
    atoms, _ = read("x.json", json.dumps(structure))
    assert (str(atoms.symbols), atoms.pbc.all()) == ("NaCl", True)
    assert len(read("x.json", json.dumps([{"structure": structure}] * 2))[0]) == 2
    molecule = {"@module": "pymatgen.core.structure", "@class": "Molecule", "sites": [site, other]}
    assert not read("x.json", json.dumps(molecule))[0].pbc.any()
    yaml = pytest.importorskip("yaml")
    assert len(read("x.yaml", yaml.safe_dump(structure))[0]) == 2
    other["species"][0]["occu"] = 0.5
    with pytest.raises(StructureError, match="partly occupied"):
        read("x.json", json.dumps(structure))
    other["species"].append({"element": "Br", "occu": 0.5})
    with pytest.raises(StructureError, match="shared by several species"):
        read("x.json", json.dumps(structure))
    with pytest.raises(StructureError, match="damaged"):
        read("x.json", json.dumps(structure)[:-5])


def test_pymatgens_own_files(read):
    core = pytest.importorskip("pymatgen.core")
    structure = core.Structure(core.Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert str(read("x.json", structure.to(fmt="json"))[0].symbols) == "CsCl"
    assert str(read("x.yaml", structure.to(fmt="yaml"))[0].symbols) == "CsCl"


def test_formats_by_name_content_and_option(read, tmp_path):
    aims = "lattice_vector 4 0 0\nlattice_vector 0 4 0\nlattice_vector 0 0 4\natom 0 0 0 Cu\n"
    for name in ("geometry.in", "geometry.in.next_step", "x"):
        assert str(read(name, aims)[0].symbols) == "Cu"
    with pytest.raises(StructureError, match=r"ASE does not know this format.*--format"):
        read("x.docx", "Dear Sir,")
    assert str(read("x.docx", POSCAR.replace("1.0", "1.0 "), format="poscar")[0].symbols) == "NaCl"
    with pytest.raises(StructureError, match="no format is called 'word'"):
        read("x.docx", POSCAR, format="word")
    with pytest.raises(StructureError, match="PDF"):
        read("x", b"%PDF-1.4")


def test_what_is_no_ordinary_file(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.xyz")
    for name, message in (("pipe.xyz", "pipe or a device"), ("none.xyz", "no such file"), (".", "folder")):
        with pytest.raises(StructureError, match=message):
            read_file(tmp_path / name, slice(None))
    with pytest.raises(StructureError, match="empty"):
        read("x.xyz", "")
    with gzip.open(tmp_path / "bomb.xyz.gz", "wb") as packed:
        for _ in range(100):
            packed.write(b" " * (1 << 20))
    with pytest.raises(StructureError, match="unpack to more than"):
        read_file(tmp_path / "bomb.xyz.gz", slice(None))
    (tmp_path / "cut.xyz.gz").write_bytes((tmp_path / "bomb.xyz.gz").read_bytes()[:500])
    with pytest.raises(StructureError, match="damaged"):
        read_file(tmp_path / "cut.xyz.gz", slice(None))


def test_occupancies_that_ase_left_behind():
    from tribond.reading.occupancy import is_full, refuse_partial_occupancy

    for value in ("?", ".", "0.9999", 0.9999, None, "1.0(3)", float("nan")):
        assert is_full(value)
    atoms = Atoms("CsCl", positions=np.eye(3)[:2] * 3)
    atoms.info["occupancy"] = {"0": {"Cs": "."}, "1": {"Cl": "?"}}
    refuse_partial_occupancy(atoms)
    atoms.info["occupancy"]["1"] = {"Cl": 0.5}
    with pytest.raises(StructureError, match="Cl 0.5"):
        refuse_partial_occupancy(atoms)


THREE = "1\n\nH 0 0 0\n{}1\n\nO 0 0 0\n"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("0\n\n", "no atoms"),
        ("1\n\nWat1 0 0 0\n", "label 'Wat1' of atom 0"),
        ("1\n\nH 0 zero 0\n", "cannot be read"),
        ("1\nProperties=species:S:1:pos:R:3:x:R:1000000000\nH 0 0 0\n", "a column of 1000000000"),
    ],
)
def test_one_bad_structure_does_not_cost_the_others(tmp_path, bad, words):
    (tmp_path / "x.xyz").write_text(THREE.format(bad))
    content = read_file(tmp_path / "x.xyz", slice(None))
    first, wrong, last = content.found
    assert (str(first.symbols), str(last.symbols)) == ("H", "O")
    assert words in str(wrong)
    with pytest.raises(StructureError, match=f"^structure 1: .*{words}"):
        _ = content.images


def test_a_trajectory_that_is_cut_off_keeps_what_is_whole(tmp_path):
    (tmp_path / "x.xyz").write_text(THREE.format("") + "3\n\nH 0 0 0\nH 0 0 1\n")
    *good, wrong = read_file(tmp_path / "x.xyz", slice(None)).found
    assert [str(atoms.symbols) for atoms in good] == ["H", "O"]
    assert "claims 3 atoms, but 2 lines follow" in str(wrong)


def test_bad_blocks_and_models_beside_good_ones(tmp_path):
    write(tmp_path / "x.cif", [bulk("Cu"), bulk("Al")])
    text = (tmp_path / "x.cif").read_text().replace("Al1", "Wat1").replace(" Al ", " Wat ")
    (tmp_path / "x.cif").write_text(text)
    good, wrong = read_file(tmp_path / "x.cif", slice(None)).found
    assert str(good.symbols) == "Cu"
    assert isinstance(wrong, StructureError)
    row = ROW.format(1, "NA", " ", "NA", 1, 0, 0, 0, 1, "NA")
    half = row.replace("  1.00  0.00", "  0.50  0.00")
    (tmp_path / "x.pdb").write_text(f"{PDB}MODEL        1\n{row}ENDMDL\nMODEL        2\n{half}ENDMDL\nEND\n")
    good, wrong = read_file(tmp_path / "x.pdb", slice(None)).found
    assert str(good.symbols) == "Na"
    assert "partly occupied" in str(wrong)


def test_a_cell_that_is_damaged_is_not_taken_for_none(read):
    row = ROW.format(1, "NA", " ", "NA", 1, 0, 0, 0, 1, "NA")
    with pytest.raises(StructureError, match="no three lengths and three angles"):
        read("x.pdb", PDB.replace("5.600", "5.6oo", 1) + row)


def test_elements_from_the_potcar_beside_it(read, tmp_path):
    old = POSCAR.replace("Na Cl\n1 1", "1 1")
    potcar = "  PAW_PBE Na_pv 19Sep2006\n   TITEL  = PAW_PBE Na_pv 19Sep2006\n   TITEL  = PAW_PBE Cl 06Sep2000\n"
    (tmp_path / "POTCAR").write_text(potcar)
    atoms, notes = read("POSCAR", old)
    assert str(atoms.symbols) == "NaCl"
    assert "Na Cl were taken from the POTCAR beside it" in notes[0]
    with pytest.raises(StructureError, match="the POTCAR beside it has others: Na Cl"):
        read("POSCAR", old.replace("rock salt", "Cl Na"))
    (tmp_path / "POTCAR").write_text(potcar.partition("   TITEL  = PAW_PBE Cl")[0])  # one of two
    with pytest.raises(StructureError, match="add a line of symbols before the counts, or put the POTCAR beside it"):
        read("POSCAR", old)
    assert str(read("POSCAR", old.replace("rock salt", "K F"))[0].symbols) == "KF"


def test_counts_beyond_the_file(tmp_path):
    write(tmp_path / "XDATCAR", bulk("NaCl", "rocksalt", a=5.6), format="vasp-xdatcar")
    text = (tmp_path / "XDATCAR").read_text()
    counts = re.compile(r"^( *\d+ +)\d+ *$", re.MULTILINE)
    assert len(counts.findall(text)) == 1
    (tmp_path / "XDATCAR").write_text(counts.sub(r"\g<1>1000000", text))
    with pytest.raises(StructureError, match="claims more lines than it has"):
        read_file(tmp_path / "XDATCAR", slice(None))


@pytest.mark.parametrize("name", ["lattice", "Cell", "box"])
def test_a_lattice_under_another_name_is_no_molecule(read, name):
    text = f'1\n{name}="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 energy=1\nNa 0 0 0\n'
    with pytest.raises(StructureError, match=f"the key {name} looks like a lattice"):
        read("x.xyz", text)
    assert read_plain(text, "x.xyz") is None  # left to the reader that says so
    assert read("x.xyz", text.replace(name, "Lattice"))[0].pbc.all()
    assert not read("x.xyz", text.replace(f'{name}="4 0 0 0 4 0 0 0 4"', f"{name}=yes"))[0].pbc.any()


def test_a_scale_of_zero_is_told(read):
    with pytest.raises(StructureError, match="scale .* is zero"):
        read("POSCAR", "x\n0.0\n4 0 0\n0 4 0\n0 0 4\nNa\n1\nDirect\n0 0 0\n")


@pytest.mark.parametrize("kind", ["mustem", "sys"])
def test_codes_of_crystals_are_periodic(tmp_path, kind):
    settings = {"keV": 300, "debye_waller_factors": {"Na": 0.1, "Cl": 0.1}} if kind == "mustem" else {}
    write(tmp_path / "x", bulk("NaCl", "rocksalt", a=5.64, cubic=True), format=kind, **settings)
    assert read_file(tmp_path / "x", slice(None), Options(format=kind)).images[0].pbc.all()


def test_names_of_gromacs_that_are_no_elements(read):
    water = "water\n    1\n    1SOL     MW    1   0.000   0.000   0.000\n   1.2 1.2 1.2\n"
    with pytest.raises(StructureError, match=r"'MW' .* \.gro has no column for elements"):
        read("w.gro", water)


@pytest.mark.parametrize("name", ["x.cif.GZ", "x.cif", "x.cif.gz"])
def test_packed_files_are_known_by_their_beginning(read, name):
    text = "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\nloop_\n_atom_site_label\n"
    text += "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa1 0 0 0\n"
    assert str(read(name, gzip.compress(text.encode()))[0].symbols) == "Na"
    if name.endswith("gz"):
        with pytest.raises(StructureError, match="damaged"):
            read(name, text)


def test_packings_that_are_not_read_are_named(read):
    for content, what in ((b"\x1f\x9d\x90ab", "compressed as .Z"), (b"\x28\xb5\x2f\xfdab", "compressed as .zst")):
        with pytest.raises(StructureError, match=what):
            read("x.cif.z", content)


def test_a_column_z_that_contradicts_the_species(read):
    text = "2\nProperties=species:S:1:pos:R:3:Z:I:1\nNa 0 0 0 11\nCl 2.4 0 0 {}\n"
    assert str(read("a.xyz", text.format(17))[0].symbols) == "NaCl"
    with pytest.raises(StructureError, match="atom 1 is Cl, but its Z is 35"):
        read("b.xyz", text.format(35))


def test_occupancies_beyond_one(read, tmp_path):
    write(tmp_path / "full.cif", bulk("NaCl", "rocksalt", a=5.64))
    text = (tmp_path / "full.cif").read_text()
    with pytest.raises(StructureError, match=r"occupancies beyond 1 \(.* 100"):
        read("percent.cif", text.replace("1.0000", "100.0"))


def test_columns_of_lammps_data_that_are_guessed_are_told(read):
    text = "x\n\n1 atoms\n1 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\nMasses\n\n1 22.99\n\nAtoms{}\n\n1 1 1 0.5 0 0 0\n"
    assert "were taken as id molecule type charge x y z" in " ".join(read("a.data", text.format(""))[1])
    assert "were taken" not in " ".join(read("b.data", text.format(" # full"))[1])
