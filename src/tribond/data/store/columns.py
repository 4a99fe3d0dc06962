"""The files of a store: what each holds of every structure, as arrays that grow at their end.

`atoms.bin` has one record a structure, the only part that is read while training: cell (9), stress (9), positions
(atoms, 3) and forces (atoms, 3) as float64, then atomic numbers as bytes. Everything else is a column, a plain .npy file
with one entry a structure, and small enough to be looked at as a whole.
"""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORDS = "atoms.bin"
HEAD_BYTES = 18 * 8  # of a record: cell and stress
ATOM_BYTES = 6 * 8 + 1
HEADER_BYTES = 128  # of a .npy file: always the same, so that the length can be written when it is known
PERIODIC = (1, 2, 4)  # flags: along a, b, c
FORCES, STRESS = 8, 16  # flags: labels that a structure has
COLUMNS: dict[str, Any] = {
    "size": np.int32,  # atoms
    "energy": np.float64,  # eV, of the whole structure; NaN: none
    "flags": np.uint8,
    "level": np.uint8,  # line of levels.txt
    "file": np.int32,  # line of files.txt
    "number": np.int64,  # in that file, from 0
    "formula": np.int32,  # line of formulas.txt
    "id": np.int32,  # line of ids.txt; -1: none
    "volume": np.float64,  # Å³; NaN where not periodic along all axes
    "largest_force": np.float64,  # eV/Å, the largest component; NaN: no forces
    "largest_stress": np.float64,  # eV/Å³, the same
    "shortest": np.float32,  # Å, distance of the two nearest atoms; NaN: none within the smallest cutoff
    "hash": np.uint64,  # of the structure, without labels
    "elements": np.uint8,  # how many it has: entries in the two below
}
ENTRIES: dict[str, Any] = {  # one entry for every element of every structure
    "element": np.uint8,  # atomic number
    "count": np.int32,  # atoms of it
}
TEXTS = ("levels", "files", "formulas", "ids")  # one string a line


def edges_column(cutoff: float) -> str:
    """The name of the column with the bonds within a cutoff, Å."""
    return f"edges_{cutoff:g}"


def types(cutoffs: tuple[float, ...]) -> dict[str, Any]:
    """All columns of a store, with their types."""
    return COLUMNS | ENTRIES | {edges_column(cutoff): np.int64 for cutoff in cutoffs}


def header(kind: Any, length: int) -> bytes:
    """The beginning of a .npy file of one dimension.

    Raises:
        ValueError: if it does not have the length it must have.
    """
    stream = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(stream, description)
    if len(stream.getvalue()) != HEADER_BYTES:
        msg = f"numpy wrote a header of {len(stream.getvalue())} bytes, not of {HEADER_BYTES}"
        raise ValueError(msg)
    return stream.getvalue()


def mapped(path: Path) -> NDArray[Any]:
    """A column, of which the system reads what is looked at."""
    if path.stat().st_size == HEADER_BYTES:  # nothing cannot be mapped
        return np.load(path, allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)


@cache
def whole(path: Path) -> NDArray[np.uint8]:
    """A file as bytes, mapped into memory: for systems that cannot read from a place in a file."""
    return np.memmap(path, dtype=np.uint8, mode="r")


def record_start(row: int, atoms_before: int) -> int:
    """The byte of `atoms.bin` at which a structure begins."""
    return HEAD_BYTES * row + ATOM_BYTES * atoms_before
