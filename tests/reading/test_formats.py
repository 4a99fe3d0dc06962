"""Thirty formats that materials scientists have on disk: read rightly, or refused with a sentence, also when damaged.

The table of docs/files.md is this one.
"""

import io
import random
import warnings

import numpy as np
import pytest
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

# name of the file -> what ASE writes it with, or its text; whether it is a crystal
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


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_end_in_a_sentence(tmp_path, name):
    """Cut off, flipped, repeated and emptied: a structure or a sentence, nothing else."""
    file, _ = make(tmp_path, name)
    good = file.read_bytes()
    random.seed(1)
    for trial in range(12):
        bad = bytearray(good)
        if trial % 3 == 0:
            bad = bad[: random.randrange(len(bad))]
        elif trial % 3 == 1:
            for _ in range(1 + trial):
                bad[random.randrange(len(bad))] = random.randrange(256)
        else:
            start = random.randrange(len(bad))
            del bad[start : start + random.randrange(1, 40)]
        file.write_bytes(bytes(bad))
        sentence = ""
        try:
            content = read_file(file, slice(None))
        except StructureError as error:
            sentence = str(error)
        else:
            assert all(len(atoms) for atoms in content.images)
        assert "\n" not in sentence


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
    assert io.StringIO().read() == ""
