"""Which format a file has: by the user's word, by its content, by its name; ASE knows most, this file what it misses."""

import re
from pathlib import Path

from ase.io.formats import UnknownFileTypeError, get_ioformat, ioformats, match_magic

from tribond.errors import StructureError
from tribond.reading.lammps import looks_like_data
from tribond.reading.names import unpacked
from tribond.reading.poscar import looks_like_poscar
from tribond.reading.pymatgen_files import looks_like_pymatgen

# Names that people use -> ASE's, or our own.
ALIASES = {
    "aims-in": "aims",
    "contcar": "vasp",
    "data": "lammps-data",
    "dump": "lammps-dump-text",
    "gro": "gromacs",
    "ins": "res",
    "lammps": "lammps-data",
    "lammps-dump": "lammps-dump-text",
    "mcif": "cif",
    "mmcif": "cif",
    "outcar": "vasp-out",
    "pdb": "proteindatabank",
    "poscar": "vasp",
    "qe": "espresso-in",
    "shelx": "res",
    "vasprun": "vasp-xml",
    "xdatcar": "vasp-xdatcar",
}
ENDINGS = {
    "mcif": "cif",
    "cif": "cif",
    "res": "res",
    "ins": "res",
    "lmp": "lammps-data",
    "lammps": "lammps-data",
    "lammpstrj": "lammps-dump-text",
    "dump": "lammps-dump-text",
    "next_step": "aims",
    "nw": "nwchem-in",
    "pdb": "proteindatabank",
    "ent": "proteindatabank",
    "gro": "gromacs",
    "yaml": "pymatgen",
    "yml": "pymatgen",
    "extxyz": "extxyz",
    "poscar": "vasp",
    "vasp": "vasp",
    "contcar": "vasp",
}
OURS = {"pymatgen"}  # formats without a reader in ASE
# Not structures, or read by running them or by asking a server.
REFUSED = {"py", "mysql", "postgresql", "png", "gif", "mp4", "pov", "eps", "html", "x3d", "bundletrajectory", "gpw"}
SIGNS = (
    ("cif", re.compile(rb"^\s*(?:#.*\n|\s*\n)*data_\S*[\s\S]*?^\s*_(?:cell|atom_site)[._]", re.MULTILINE)),
    ("res", re.compile(rb"^CELL\s+[\d.]+(?:\s+[\d.]+){6}\s*$[\s\S]*^SFAC\s", re.MULTILINE)),
    ("espresso-in", re.compile(rb"^\s*&(?:control|system)\b", re.MULTILINE | re.IGNORECASE)),
    ("vasp-xml", re.compile(rb"<modeling>")),
    ("lammps-dump-text", re.compile(rb"^ITEM: TIMESTEP", re.MULTILINE)),
    ("aims", re.compile(rb"^\s*(?:atom|atom_frac)(?:\s+[-+\d.eE]+){3}\s+[A-Z][a-z]?\b", re.MULTILINE)),
    ("proteindatabank", re.compile(rb"^(?:CRYST1|ATOM  |HETATM)", re.MULTILINE)),
)
WEAK = {"res", "aims", "proteindatabank"}  # only where name and ASE say nothing
FOREIGN = (
    (b"\x89HDF", "an HDF5 file"),
    (b"PK\x03\x04", "a zip archive (a model or a document)"),
    (b"\x1f\x9d", "compressed as .Z (uncompress it, or pack it as .gz)"),
    (b"\x28\xb5\x2f\xfd", "compressed as .zst (unpack it, or pack it as .gz)"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
)


def find_format(path: Path, head: bytes, given: str | None) -> str:
    """ASE's name of the format, or one of `OURS`.

    Args:
        path: of the file.
        head: its beginning, unpacked.
        given: what the user says.

    Raises:
        StructureError: if it is unknown; the message lists what was tried.
    """
    if given is not None:
        return named_format(given)
    if looks_like_data(head):
        return "lammps-data"
    if looks_like_pymatgen(head):
        return "pymatgen"
    for kind, sign in SIGNS:
        if kind not in WEAK and sign.search(head):
            return kind
    name = unpacked(path).name
    ending = Path(name).suffix.lstrip(".").lower()
    found = ENDINGS.get(ending) or _by_ase(name, head)
    if found is None:
        found = next((kind for kind, sign in SIGNS if sign.search(head)), None)
    if found is None and looks_like_poscar(head):
        found = "vasp"
    if found is None and head.split(b"\n", 1)[0].strip().isdigit():
        found = "extxyz"
    if found in REFUSED:
        msg = f"{found} is no format for structures; convert the file first"
        raise StructureError(msg)
    if found is None:
        raise StructureError(_unknown(name, ending, head))
    return found


def named_format(given: str) -> str:
    """The format of this name.

    Raises:
        StructureError: if there is none; the message lists the usual ones.
    """
    name = ALIASES.get(given.lower(), given.lower())
    if name in OURS:
        return name
    if name not in ioformats or name in REFUSED or not ioformats[name].can_read:
        msg = (
            f"no format is called {given!r}; the usual ones are cif, vasp, extxyz, lammps-data, lammps-dump-text, res, aims, "
            "espresso-in, proteindatabank, gromacs, pymatgen; `ase info --formats` lists all"
        )
        raise StructureError(msg)
    return name


def _by_ase(name: str, head: bytes) -> str | None:
    """By ASE's patterns for names, then its signs in the content, then the ending."""
    for known in ioformats.values():
        if known.match_name(name):
            return str(known.name)
    try:
        return str(match_magic(head).name)
    except UnknownFileTypeError:
        pass
    ending = Path(name).suffix.lstrip(".").lower()
    for known in ioformats.values():
        if ending in known.extensions:
            return str(known.name)
    try:
        return str(get_ioformat(ending).name) if ending else None
    except UnknownFileTypeError:
        return None


def _unknown(name: str, ending: str, head: bytes) -> str:
    what = next((text for sign, text in FOREIGN if head.startswith(sign)), None)
    if what is not None:
        return f"this is {what}, not a structure file"
    return (
        f"ASE does not know this format: neither the name {name} nor the ending "
        f"{ending or '(none)'} nor the content (CIF, POSCAR, LAMMPS, SHELX, PDB, XYZ, FHI-aims, Quantum ESPRESSO, pymatgen's JSON "
        "were tried) says what it is; name it with --format, `ase info --formats` lists the formats"
    )
