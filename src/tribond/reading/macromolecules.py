"""PDB and mmCIF, read by gemmi; the symmetry that they name is applied, alternatives and missing boxes are told apart.

ASE's reader leaves out symmetry, takes `CRYST1 1 1 1` for a cell, forgets the cell after the first model, and takes the
carbon CA for calcium.
"""

import math
import re
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.reading.checks import PLACEHOLDER
from tribond.reading.content import Found, Options
from tribond.reading.elements import DEUTERIUM_NOTE, element_of
from tribond.reading.occupancy import Occupied, refuse_partial
from tribond.reading.settings import settings_of
from tribond.reading.symmetry import expand

FRAME = re.compile(r"^(?:END\s*|ENDMDL.*)$", re.MULTILINE)
ATOM = re.compile(r"^(?:ATOM  |HETATM)", re.MULTILINE)


def read_pdb(text: str, options: Options) -> tuple[list[Found], list[str]]:
    """All models of a PDB file; each has the cell of its own or of the first.

    In the place of one with alternatives, partly occupied sites or labels that are no elements there is an error.

    Raises:
        StructureError: if there are no atoms.
    """
    del options
    header = "\n".join(line for line in text.splitlines() if line.startswith("CRYST1"))[:200].partition("\n")[0]
    images: list[Found] = []
    notes: list[str] = []
    for part in FRAME.split(text):
        if not ATOM.search(part):
            continue
        own = part if re.search(r"^CRYST1", part, re.MULTILINE) else f"{header}\n{part.lstrip()}"
        try:
            atoms, said = _read_model(own)
        except StructureError as error:
            images.append(error)
            continue
        images.append(atoms)
        notes += said
    if not images:
        msg = "there are no lines ATOM or HETATM in this PDB file"
        raise StructureError(msg)
    return images, list(dict.fromkeys(notes))


def _is_cell(line: str) -> bool:
    """Whether six numbers follow CRYST1, in their columns or with spaces between; gemmi takes others for zero."""
    columns = [line[start:end] for start, end in ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))]
    for fields in (columns, line[6:].split()[:6]):
        try:
            if len(fields) == 6 and all(math.isfinite(float(field)) for field in fields):
                return True
        except ValueError:
            continue
    return False


def _read_model(text: str) -> tuple[Atoms, list[str]]:
    import gemmi

    lines = [line for line in text.splitlines() if line.startswith(("ATOM  ", "HETATM"))]
    for line in lines:
        try:
            _ = [float(line[start : start + 8]) for start in (30, 38, 46)]
        except ValueError:
            msg = f"the line {line.rstrip()!r} has no coordinates in columns 31 to 54"
            raise StructureError(msg) from None
    for line in text.splitlines():
        if line.startswith("CRYST1") and not _is_cell(line):
            msg = f"the line {line.rstrip()!r} has no three lengths and three angles; mend or remove it"
            raise StructureError(msg)
    bare = [not line[76:78].strip() for line in lines]
    try:
        structure = gemmi.read_pdb_string(text)
    except (RuntimeError, ValueError) as error:
        msg = f"this PDB file is damaged ({' '.join(str(error).split())})"
        raise StructureError(msg) from error
    atoms, notes = _from_gemmi(structure, bare, lines)
    return atoms, notes if "CRYST1" in text else []  # else there is no cell to tell of


def read_block(block: Any) -> tuple[Atoms, list[str]]:
    """The first model of an mmCIF block."""
    import gemmi

    try:
        structure = gemmi.make_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        msg = f"this mmCIF is damaged ({error})"
        raise StructureError(msg) from error
    return _from_gemmi(structure, None, None)


def _from_gemmi(structure: Any, bare: list[bool] | None, lines: list[str] | None) -> tuple[Atoms, list[str]]:
    symbols: list[str] = []
    sites: list[Occupied] = []
    unsaid = []
    deuterium = False
    if len(structure) == 0:
        msg = "there are no atoms in this file"
        raise StructureError(msg)
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                label = f"{atom.name} of {residue.name} {residue.seqid}"
                symbols.append("" if bare is not None and bare_of(bare, lines, atom) else str(atom.element.name))
                if symbols[-1] in {"", "X"}:
                    symbols[-1] = _element(atom.name, residue.name)
                if symbols[-1] == "D":
                    symbols[-1], deuterium = "H", True
                place = np.array([atom.pos.x, atom.pos.y, atom.pos.z])
                altloc = "." if atom.altloc in {"\0", ""} else str(atom.altloc)
                sites.append(Occupied(label, symbols[-1], float(atom.occ), place, group=altloc))
                unsaid.append(float(atom.occ) == 0.0)
    if unsaid and all(unsaid):  # programs for molecular dynamics leave the column at zero
        sites = [Occupied(site.label, site.symbol, None, site.fractional, site.group) for site in sites]
    refuse_partial(sites)
    positions = np.array([site.fractional for site in sites]).reshape(-1, 3)
    cell, notes = _cell(structure.cell)
    if deuterium:
        notes.append(DEUTERIUM_NOTE)
    if cell is None:
        return Atoms(symbols, positions=positions, pbc=False), notes
    name = (structure.spacegroup_hm or "").strip()
    if name.replace(" ", "") in {"", "P1", "1"}:
        return Atoms(symbols, positions=positions, cell=cell, pbc=True), notes
    settings = settings_of({"H-M": name}, [], cell)
    if len(settings) > 1:
        msg = f"the file does not say which origin of {name} it has; name it in CRYST1, such as {settings[0].name}"
        raise StructureError(msg)
    whole = expand(positions @ np.linalg.inv(cell), settings[0].operations, cell, [site.label for site in sites])
    notes.append(
        f"the space group {name} of the file was applied: {len(whole.site)} atoms from {len(sites)}; if those were all, "
        "write P 1"
    )
    return Atoms([symbols[site] for site in whole.site], scaled_positions=whole.fractional, cell=cell, pbc=True), notes


def bare_of(bare: list[bool], lines: list[str] | None, atom: Any) -> bool:
    """Whether the line of this atom names no element, so that the reader has guessed it."""
    if lines is None or not any(bare):
        return False
    if all(bare):
        return True
    return any(
        empty and line[12:16].strip() == atom.name and line[6:11].strip() == str(atom.serial)
        for empty, line in zip(bare, lines, strict=True)
    )


PDB_HELP = "and the file has none in columns 77 and 78; write them"
GRO_HELP = "as .gro has no column for elements; rename it, or remove it if it is a virtual site"


def _element(name: str, residue: str, advice: str = PDB_HELP) -> str:
    """The element of an atom from its name; the ion NA of a residue NA is sodium, CA of a protein is not calcium."""
    plain = re.sub(r"[^A-Za-z]", "", name)
    if plain.upper() == re.sub(r"[^A-Za-z]", "", residue).upper():
        found = element_of(plain.capitalize())
        if found is not None:
            return found
    found = element_of(re.sub(r"^\d+", "", name))
    if found is None:
        msg = f"the name {name!r} of an atom in residue {residue} does not say which element it is, {advice}"
        raise StructureError(msg)
    return found


def _cell(given: Any) -> tuple[NDArray[np.float64] | None, list[str]]:
    lengths = [given.a, given.b, given.c]
    angles = [given.alpha, given.beta, given.gamma]
    if max(lengths) <= PLACEHOLDER or min(lengths) <= 0:
        said = "" if max(lengths) == 0 else f" (it says {' '.join(f'{length:g}' for length in lengths)} Å)"
        return None, [f"the file has no cell{said}: its axes are open"] if said else []
    cell = np.array(given.orth.mat.tolist(), dtype=np.float64).T
    if not np.isfinite(cell).all() or not np.linalg.det(cell) > 1e-6 * np.prod(lengths):
        msg = f"the cell with the angles {', '.join(f'{angle:g}' for angle in angles)}° is none; mend CRYST1"
        raise StructureError(msg)
    return cell, []


def read_gro(text: str, options: Options) -> tuple[list[Atoms], list[str]]:
    """All frames of a GROMACS .gro file, in Å.

    Raises:
        StructureError: for counts that do not agree and names that are no elements.
    """
    del options
    lines = text.splitlines()
    images: list[Atoms] = []
    notes: list[str] = []
    start = 0
    while start < len(lines) and any(line.strip() for line in lines[start:]):
        try:
            count = int(lines[start + 1])
            rows = lines[start + 2 : start + 2 + count]
            box = [10 * float(word) for word in lines[start + 2 + count].split()]
        except (ValueError, IndexError):
            msg = f"frame {len(images)} of this .gro file is damaged: its number of atoms, its atoms or its box is missing"
            raise StructureError(msg) from None
        points = [index for index, sign in enumerate(rows[0]) if sign == "."] if rows else []
        width = points[1] - points[0] if len(points) > 1 else 8
        symbols, positions = [], []
        for row in rows:
            try:
                positions.append([10 * float(row[20 + axis * width : 20 + (axis + 1) * width]) for axis in range(3)])
            except ValueError:
                msg = f"the line {row!r} of this .gro file has no coordinates in columns 21 to {20 + 3 * width}"
                raise StructureError(msg) from None
            symbols.append(_element(row[10:15].strip(), row[5:10].strip(), GRO_HELP))
        atoms = Atoms(symbols, positions=positions)
        if len(box) not in (3, 9):
            msg = f"the box of this .gro file has {len(box)} numbers; it must have 3 or 9"
            raise StructureError(msg)
        if max(box[:3]) > 0:
            x, y, z, xy, xz, yx, yz, zx, zy = (*box, *[0.0] * (9 - len(box)))
            atoms.set_cell([[x, xy, xz], [yx, y, yz], [zx, zy, z]])
            atoms.pbc = True
        images.append(atoms)
        start += count + 3
    if len(lines) and any(sign.isdigit() for sign in lines[min(2, len(lines) - 1)][44:52]):
        notes.append("velocities of the .gro file are not read")
    return images, notes
