"""Thirty formats that materials scientists have on disk: read rightly, or refused with a sentence, also when damaged.

The table of docs/files.md is this one.
"""

import json
import re
import warnings
from random import Random

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from tribond.errors import StructureError
from tribond.reading.content import Options
from tribond.reading.read import read_file

ROCK_SALT = bulk("NaCl", "rocksalt", a=5.64)
WATER = molecule("H2O")
ESPRESSO = "&system\n ibrav=0, nat=2, ntyp=2\n/\nATOMIC_SPECIES\nNa 22.99 Na.upf\nCl 35.45 Cl.upf\nCELL_PARAMETERS angstrom\n0 2.82 2.82\n2.82 0 2.82\n2.82 2.82 0\nATOMIC_POSITIONS crystal\nNa 0 0 0\nCl 0.5 0.5 0.5\n"
CASTEP = "%BLOCK LATTICE_CART\n0 2.82 2.82\n2.82 0 2.82\n2.82 2.82 0\n%ENDBLOCK LATTICE_CART\n%BLOCK POSITIONS_FRAC\nNa 0 0 0\nCl 0.5 0.5 0.5\n%ENDBLOCK POSITIONS_FRAC\n"
SDF = "water\n  x\n\n  3  2  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.1193 O   0  0\n    0.0000    0.7632   -0.4770 H   0  0\n    0.0000   -0.7632   -0.4770 H   0  0\n  1  2  1  0\n  1  3  1  0\nM  END\n$$$$\n"
GAUSSIAN = "# hf/sto-3g\n\nwater\n\n0 1\nO 0.0 0.0 0.1193\nH 0.0 0.7632 -0.4770\nH 0.0 -0.7632 -0.4770\n\n"

MNF2 = """data_MnF2
_cell_length_a 4.87
_cell_length_b 4.87
_cell_length_c 3.31
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_chemical_formula_sum 'Mn2 F4'
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
2 -x,-y,z,+1
3 -y+1/2,x+1/2,z+1/2,-1
4 y+1/2,-x+1/2,z+1/2,-1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mn1 Mn 0 0 0
F1 F 0.305 0.305 0
"""
RUTILE = Atoms(
    "Mn2F4",
    scaled_positions=[
        [0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]
    ],
    cell=[4.87, 4.87, 3.31],
    pbc=True,
)  # fmt: skip
VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <atominfo><atoms> 2 </atoms><types> 2 </types>
  <array name="atoms"><set><rc><c>Na</c><c> 1</c></rc><rc><c>Cl</c><c> 2</c></rc></set></array>
 </atominfo>
 <kpoints><varray name="kpointlist"><v> 0 0 0 </v></varray><varray name="weights"><v> 1 </v></varray></kpoints>
 <structure name="initialpos">
  <crystal><varray name="basis"><v> 0.0 2.82 2.82 </v><v> 2.82 0.0 2.82 </v><v> 2.82 2.82 0.0 </v></varray></crystal>
  <varray name="positions"><v> 0.0 0.0 0.0 </v><v> 0.5 0.5 0.5 </v></varray>
 </structure>
 <calculation>
  <scstep><energy><i name="e_fr_energy"> -6.7 </i><i name="e_wo_entrp"> -6.7 </i><i name="e_0_energy"> -6.7 </i></energy></scstep>
  <structure>
   <crystal><varray name="basis"><v> 0.0 2.82 2.82 </v><v> 2.82 0.0 2.82 </v><v> 2.82 2.82 0.0 </v></varray></crystal>
   <varray name="positions"><v> 0.0 0.0 0.0 </v><v> 0.5 0.5 0.5 </v></varray>
  </structure>
  <varray name="forces"><v> 0.0 0.0 0.1 </v><v> 0.0 0.0 -0.1 </v></varray>
  <energy><i name="e_fr_energy"> -6.7 </i><i name="e_wo_entrp"> -6.7 </i><i name="e_0_energy"> -6.7 </i></energy>
 </calculation>
</modeling>
"""
DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 3.4
0 3.4
0 3.4
ITEM: ATOMS id element xs ys zs
1 Na 0 0 0
2 Cl 0.5 0.5 0.5
"""
PYMATGEN = {
    "@module": "pymatgen.core.structure",
    "@class": "Structure",
    "lattice": {"matrix": ROCK_SALT.cell.tolist(), "pbc": [True, True, True]},
    "sites": [
        {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]},
        {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
    ],
}

# name of the file -> what ASE writes it with, or its text; whether it is a crystal
OUTCAR = """ vasp.6.4.2 20Jul23 (build Jan 01 2024 00:00:00) complex
 executed on             LinuxGNU date 2026.01.01  00:00:00
 running    1 mpi-ranks, on    1 nodes
 INCAR:
 POTCAR:    PAW_PBE Na_pv 19Sep2006
 POTCAR:    PAW_PBE Cl 06Sep2000
 POTCAR:    PAW_PBE Na_pv 19Sep2006
   VRHFIN =Na: p6s1
 POTCAR:    PAW_PBE Cl 06Sep2000
   VRHFIN =Cl: s2p5
 Dimension of arrays:
   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      8
  Following reciprocal coordinates:

 k-points in reciprocal lattice and weights: Automatic mesh
   0.00000000  0.00000000  0.00000000       1.000

   ISPIN  =      1    spin polarized calculation?
   ions per type =               1   1
  volume of cell :       44.85
      direct lattice vectors                 reciprocal lattice vectors
     0.000000000  2.820000000  2.820000000    -0.177304965  0.177304965  0.177304965
     2.820000000  0.000000000  2.820000000     0.177304965 -0.177304965  0.177304965
     2.820000000  2.820000000  0.000000000     0.177304965  0.177304965 -0.177304965

--------------------------------------- Iteration      1(   1)  ---------------------------------------

  FORCE on cell =-STRESS in cart. coord.  units (eV):
  Direction    XX          YY          ZZ          XY          YZ          ZX
  in kB       1.00000     1.00000     1.00000     0.00000     0.00000     0.00000
  external pressure =        1.00 kB  Pullay stress =        0.00 kB

 VOLUME and BASIS-vectors are now :
 -----------------------------------------------------------------------------
  volume of cell :       44.85
      direct lattice vectors                 reciprocal lattice vectors
     0.000000000  2.820000000  2.820000000    -0.177304965  0.177304965  0.177304965
     2.820000000  0.000000000  2.820000000     0.177304965 -0.177304965  0.177304965
     2.820000000  2.820000000  0.000000000     0.177304965  0.177304965 -0.177304965

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.010000      0.000000      0.000000
      2.82000      0.00000      0.00000        -0.010000      0.000000      0.000000
 -----------------------------------------------------------------------------------
    total drift:                                0.000000      0.000000      0.000000

  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =        -6.78000000 eV

  energy  without entropy=       -6.78000000  energy(sigma->0) =       -6.78000000

 General timing and accounting informations for this job:
"""
FORMATS = {
    "x.cif": ("cif", ROCK_SALT),
    "POSCAR": ("vasp", ROCK_SALT),
    "XDATCAR": ("vasp-xdatcar", ROCK_SALT),
    "x.xyz": ("xyz", WATER),
    "x.extxyz": ("extxyz", ROCK_SALT),
    "x.traj": ("traj", ROCK_SALT),
    "x.json": ("json", ROCK_SALT),
    "x.db": ("db", ROCK_SALT),
    "x.res": ("res", ROCK_SALT),
    "x.xsf": ("xsf", ROCK_SALT),
    "x.cube": ("cube", ROCK_SALT),
    "x.gen": ("gen", ROCK_SALT),
    "x.cfg": ("cfg", ROCK_SALT),
    "geometry.in": ("aims", ROCK_SALT),
    "x.pdb": ("proteindatabank", ROCK_SALT),
    "x.gro": ("gromacs", bulk("NaCl", "rocksalt", a=5.64, cubic=True)),
    "x.struct": ("struct", bulk("Cu", cubic=True)),
    "coord": ("turbomole", WATER),
    "x.xsd": ("xsd", ROCK_SALT),
    "x.car": ("dmol-car", ROCK_SALT),
    "x.arc": ("dmol-arc", ROCK_SALT),
    "x.rmc6f": ("rmc6f", ROCK_SALT),
    "x.con": ("eon", bulk("NaCl", "rocksalt", a=5.64, cubic=True)),
    "x.ascii": ("v-sim", ROCK_SALT),
    "x.nwi": ("nwchem-in", WATER),
    "x.magres": ("magres", ROCK_SALT),
    "x.in": (ESPRESSO, ROCK_SALT),
    "x.pwi": (ESPRESSO.replace("&system", "&System"), ROCK_SALT),
    "x.cell": (CASTEP, ROCK_SALT),
    "x.sdf": (SDF, WATER),
    "x.mol": (SDF, WATER),
    "x.com": (GAUSSIAN, WATER),
    "x.data": ("lammps-data", ROCK_SALT),
    "x.dump": (DUMP, bulk("NaCl", "cesiumchloride", a=3.4)),
    "x.mcif": (MNF2, RUTILE),
    "vasprun.xml": (VASPRUN, ROCK_SALT),
    "OUTCAR": (OUTCAR, ROCK_SALT),
    "structure.json": (json.dumps(PYMATGEN, indent=1), ROCK_SALT),
    "x.yaml": (yaml.safe_dump(PYMATGEN), ROCK_SALT),
}


def make(folder, name):
    kind, atoms = FORMATS[name]
    file = folder / name
    if "\n" in kind:
        file.write_text(kind)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE announces a plugin
            write(file, atoms, format=kind, **({"masses": True} if kind == "lammps-data" else {}))
    return file, atoms


@pytest.mark.parametrize("name", FORMATS)
def test_read_rightly(tmp_path, name):
    file, atoms = make(tmp_path, name)
    content = read_file(file, slice(None))
    read = content.images[-1]
    assert sorted(read.numbers) == sorted(atoms.numbers)
    assert np.sort(read.get_all_distances(mic=read.pbc.all()).ravel()) == pytest.approx(
        np.sort(atoms.get_all_distances(mic=read.pbc.all()).ravel()), abs=5e-3
    )
    if atoms.pbc.all():
        assert read.get_volume() == pytest.approx(atoms.get_volume(), rel=1e-3)
        assert read.pbc.all()


def cut(text):
    return text[: int(0.8 * len(text))]


def cut_in_half(text):
    return text[: len(text) // 2]


def other(old, new, count=-1):
    return lambda text: text.replace(old.encode(), new.encode(), count)


def first_number(text):
    return re.sub(rb"(\d)\.(\d{2})", rb"nan.\2", text, count=1)


UNKNOWN = other("Na", "Xq")
NO_ELEMENT = "'Xq' is no element"
# Two odd files of every format: what is wrong, and what is said.
ODD = {
    "x.cif": [(cut, "no sound CIF"), (UNKNOWN, "label 'Xq1' of atom 0"), (first_number, "_cell_length_a is nan")],
    "x.mcif": [
        (other("x,y,z,+1", "x,y,+1"), "no symmetry operation"),
        (other("Mn2 F4", "Mn2 F8"), "contradicts itself"),
    ],
    "POSCAR": [(cut, "counts 2 atoms, but has positions of 1"), (UNKNOWN, "'Xq' in the line of symbols")],
    "XDATCAR": [(cut, "ends too early"), (UNKNOWN, NO_ELEMENT)],
    "OUTCAR": [
        (cut_in_half, "ends before the first structure is complete"),
        (other("General timing", ""), "note: the file ends early"),
        (other("Na_pv", "Xq_pv"), "unexpected symbol Xq"),
        (other("1   1\n", "1   2\n"), "cannot be read as vasp-out"),
    ],
    "vasprun.xml": [(cut_in_half, "note: the file ends early"), (UNKNOWN, NO_ELEMENT)],
    "x.xyz": [(other("3\n", "4\n", 1), "claims 4 atoms, but 3 lines"), (other("O ", "Wat1 ", 1), "label 'Wat1'")],
    "x.extxyz": [(cut, "cannot be read as extxyz"), (UNKNOWN, "label 'Xq' of atom 0"), (first_number, "Lattice")],
    "x.traj": [(cut, "cannot be read as traj"), (cut_in_half, "cannot be read|ASE does not know")],
    "x.json": [
        (cut, "cannot be read as json"),
        (other("[11, 17]", "[11, 0]"), "atom 1 .* has no element"),
        (first_number, "json"),
    ],
    "structure.json": [
        (cut, "JSON or YAML file is damaged"),
        (other('"occu": 1', '"occu": 0.5', 1), "partly occupied"),
    ],
    "x.yaml": [
        (other("element: Na", "element: Wat1"), "label 'Wat1'"),
        (other("sites:", "sights:"), "no structure of pymatgen"),
    ],
    "x.db": [(cut, "cannot be read as db"), (cut_in_half, "cannot be read as db")],
    "x.res": [(cut, "neither an instruction of SHELX nor an atom"), (UNKNOWN, "SFAC names Xq")],
    "x.xsf": [(cut, "ends too early"), (other("2 1\n", "3 1\n"), "cannot be read as xsf")],
    "x.cube": [(cut, "cannot be read as cube"), (first_number, "cannot be read as cube")],
    "x.gen": [(cut, "ends too early"), (UNKNOWN, NO_ELEMENT)],
    "x.cfg": [
        (cut, "Number of atoms reported"),
        (UNKNOWN, "cannot be read as cfg"),
        (other("particles = 2", "particles = 1000000000"), "claims 1000000000 atoms"),
    ],
    "geometry.in": [(cut, "ends too early"), (UNKNOWN, NO_ELEMENT)],
    "x.pdb": [
        (cut, "has no coordinates"),
        (first_number, "no three lengths and three angles"),
        (other("1.00  0.00", "0.50  0.00"), "partly occupied"),
    ],
    "x.gro": [(cut, "damaged"), (UNKNOWN, "name 'Xq' of an atom")],
    "x.struct": [(cut, "ends too early"), (first_number, "cannot be read as struct")],
    "coord": [(cut, "ends too early"), (first_number, "cannot be read as turbomole")],
    "x.xsd": [(cut, "cannot be read as xsd"), (UNKNOWN, NO_ELEMENT)],
    "x.car": [(cut, "ends too early"), (UNKNOWN, NO_ELEMENT)],
    "x.arc": [(cut, "ends too early"), (UNKNOWN, NO_ELEMENT)],
    "x.rmc6f": [
        (UNKNOWN, NO_ELEMENT),
        (
            other("atoms:                     2", "atoms:                     3"),
            "says 3 atoms, but has positions of 2",
        ),
    ],
    "x.con": [(cut, "ends too early"), (UNKNOWN, NO_ELEMENT)],
    "x.ascii": [(UNKNOWN, NO_ELEMENT), (first_number, "cannot be read as v-sim")],
    "x.nwi": [(cut, "ends too early"), (other("O ", "Xq ", 1), NO_ELEMENT)],
    "x.magres": [(cut, "does not contain structure data"), (UNKNOWN, NO_ELEMENT)],
    "x.in": [(cut, "cannot be read as espresso-in"), (UNKNOWN, "atom 0 .* has no element")],
    "x.pwi": [(other("nat=2", "nat=3"), "ends too early"), (UNKNOWN, "atom 0 .* has no element")],
    "x.cell": [(cut, "must contain at least one"), (UNKNOWN, NO_ELEMENT)],
    "x.sdf": [(other(" O ", " Xq", 1), NO_ELEMENT), (cut_in_half, "cannot be read as sdf")],
    "x.mol": [(other(" O ", " Xq", 1), NO_ELEMENT), (cut_in_half, "cannot be read as mol")],
    "x.com": [
        (other("O 0", "Xq 0", 1), "cannot be read as gaussian-in"),
        (first_number, "cannot be read as gaussian-in"),
    ],
    "x.data": [(cut, "says 2 atoms, but its section Atoms has 1"), (first_number, "cannot be read as lammps-data")],
    "x.dump": [
        (cut, "says 2 atoms, but has 0 lines"),
        (other("id element", "id type"), "types of atoms, not elements"),
    ],
}


@pytest.mark.parametrize(
    ("name", "change", "words"), [(name, *odd) for name, all_odd in ODD.items() for odd in all_odd]
)
def test_odd_files_are_refused_with_what_is_wrong(tmp_path, name, change, words):
    file, _ = make(tmp_path, name)
    good = file.read_bytes()
    file.write_bytes(change(good))
    assert file.read_bytes() != good
    if words.startswith("note: "):  # read all the same
        content = read_file(file, slice(None))
        assert len(content.images[-1]) == 2
        assert words.removeprefix("note: ") in content.notes[0]
        return
    with pytest.raises(StructureError, match=words):
        _ = read_file(file, slice(None)).images


def test_two_odd_files_of_every_format():
    assert ODD.keys() == FORMATS.keys()
    assert all(len(odd) >= 2 for odd in ODD.values())


def damaged(good, random):
    """Cut off, flipped, shortened, repeated, or with a number that is far too large."""
    bad = bytearray(good)
    kind = random.randrange(5)
    if kind == 0:
        return bytes(bad[: random.randrange(len(bad))])
    if kind == 1:
        for _ in range(random.randrange(1, 10)):
            bad[random.randrange(len(bad))] = random.randrange(256)
    elif kind == 2:
        start = random.randrange(len(bad))
        del bad[start : start + random.randrange(1, 40)]
    elif kind == 3:
        start = random.randrange(len(bad))
        part = bad[start : start + random.randrange(1, 200)]
        bad[start:start] = part * random.randrange(1, 4)
    else:
        numbers = list(re.finditer(rb"(?<![\w.])\d+(?![\w.])", good))
        if numbers:
            chosen = random.choice(numbers)
            bad[chosen.start() : chosen.end()] = str(10 ** random.randrange(1, 15)).encode()
    return bytes(bad)


def check_damaged(file, trials, seed):
    """A structure or a sentence, nothing else."""
    good = file.read_bytes()
    random = Random(seed)
    for _ in range(trials):
        file.write_bytes(damaged(good, random))
        try:
            found = read_file(file, slice(None)).found
        except StructureError as error:
            found = [error]
        for it in found:
            assert "\n" not in str(it) if isinstance(it, StructureError) else len(it)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_end_in_a_sentence(tmp_path, name):
    check_damaged(make(tmp_path, name)[0], 15, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files_end_in_a_sentence(tmp_path, name):
    check_damaged(make(tmp_path, name)[0], 1000, seed=2)


@pytest.mark.parametrize("name", ["x.cif", "POSCAR", "x.res", "x.data", "geometry.in"])
@pytest.mark.parametrize(
    "letters", ["Universit\xe4t".encode("latin-1"), "Universität".encode(), "大学".encode("utf-16")]
)
def test_letters_in_comments(tmp_path, name, letters):
    file, atoms = make(tmp_path, name)
    sign = b"REM " if name == "x.res" else b"# "
    text = file.read_bytes()
    if name in {"x.data", "POSCAR"}:
        text = b"comment " + letters + text[text.index(b"\n") :] if name == "x.data" else text
    else:
        text = sign + letters + b"\n" + text
    if b"\0" in letters:
        file.write_bytes(b"\0\0" + text)
        with pytest.raises(StructureError):
            read_file(file, slice(None))
        return
    file.write_bytes(text)
    assert len(read_file(file, slice(None)).images[-1]) == len(atoms)


def test_formats_are_what_they_are_called(tmp_path):
    """Every format that can be asked for is one that ASE or this package reads."""
    from tribond.reading.kinds import ALIASES, ENDINGS, named_format

    for given in [*ALIASES, *ENDINGS.values()]:
        assert named_format(given)
    for refused in ("py", "postgresql", "png"):
        with pytest.raises(StructureError, match="no format is called"):
            named_format(refused)


def test_nothing_is_run(tmp_path):
    (tmp_path / "x.py").write_text("raise SystemExit\n")
    with pytest.raises(StructureError, match="no format for structures"):
        read_file(tmp_path / "x.py", slice(None))


def test_options_have_defaults():
    assert Options() == Options(None, ())
