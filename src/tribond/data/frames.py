"""Labelled structures from any file that can be read."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.data.labels import LABELS, STRESS_FACTORS, Label, LabelKeys, Seen, StressUnit, find, hint, size_notes
from tribond.errors import DataError, StructureError
from tribond.reading.content import Found, Options
from tribond.reading.names import matching, parse_index, split_index
from tribond.reading.read import read_file

__all__ = ["LABELS", "Frame", "Label", "LabelKeys", "StressUnit", "expand", "read_frames"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One structure and what is known about it; None where a label is missing."""

    atoms: Atoms
    energy: float | None  # eV, of the whole structure
    forces: NDArray[np.float64] | None  # (atoms, 3) eV/Å
    stress: NDArray[np.float64] | None  # (3, 3) eV/Å³, ASE's sign
    origin: str  # file and index, for messages
    source: int = 0  # which data source it came from: sources differ in their zero of energy


def read_frames(
    patterns: str | Sequence[str],
    *,
    labels: Iterable[Label] = LABELS,
    stress_unit: StressUnit = "eV/A^3",
    source: int = 0,
    keys: LabelKeys | None = None,
    options: Options | None = None,
    on_note: Callable[[str], None] = logger.warning,
) -> list[Frame]:
    """Read labelled structures.

    Args:
        patterns: file names; a file of exactly this name, else `*` and `name@INDEX`. Compressed files are fine.
        labels: which labels to take; the others are left out even if the file has them.
        stress_unit: of the file. Its sign must be ASE's (tension positive), as in every file that ASE writes; kbar is
            VASP's and has VASP's sign.
        source: number to put into the frames.
        keys: names of the labels, where they are not ASE's.
        options: format, and elements of types.
        on_note: called with what the user should know.

    Raises:
        DataError: if a pattern matches nothing, a file cannot be read, or holds no label at all.
    """
    frames: list[Frame] = []
    for file in expand(patterns):
        read, notes = read_one(file, set(labels), stress_unit, keys or LabelKeys(), options or Options(), source)
        for text in notes:
            on_note(f"{file}: {text}")
        frames += read
    return frames


def read_one(
    file: str,
    labels: set[Label],
    stress_unit: StressUnit,
    keys: LabelKeys,
    options: Options,
    source: int = 0,
    on_bad: Callable[[DataError], object] | None = None,
) -> tuple[list[Frame], list[str]]:
    """The frames of one file, and notes.

    Args:
        file: its name, perhaps with @INDEX.
        labels: which to take.
        stress_unit: of the file.
        keys: names of the labels.
        options: format, and elements of types.
        source: number to put into the frames.
        on_bad: called with what is wrong with a frame that cannot be used, and is left out; None: that is an error.

    Raises:
        DataError: if the file cannot be read, one of its frames cannot be used, or none has a label.
    """
    keys.check()
    path, index = split_index(file)
    wanted = index_slice(file, index)
    try:
        content = read_file(path, slice(None), options)
    except (OSError, StructureError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{file} cannot be read: {reason}"
        raise DataError(msg) from error
    factor = STRESS_FACTORS[stress_unit]
    seen = Seen.nothing()
    read = []
    for number in range(len(content.found))[wanted]:
        try:
            atoms = _good(content.found[number], file, number)
            read.append(_frame(atoms, labels, factor, keys, f"{path.name}#{number}", source, seen))
        except DataError as error:
            if on_bad is None:
                raise
            on_bad(error)
    ordered = [label for label in LABELS if label in labels]
    if all(frame.energy is None and frame.forces is None and frame.stress is None for frame in read):
        raise DataError(nothing_found(file, len(read), ordered, seen, keys))
    seen.check_units(labels, stress_unit, file)
    notes = [*content.notes, *seen.notes(labels, keys)]
    stresses = [np.full((3, 3), np.nan) if frame.stress is None else frame.stress for frame in read]
    forces = [np.nan if frame.forces is None else np.abs(frame.forces).max(initial=0.0) for frame in read]
    return read, notes + size_notes(np.array(stresses), np.array(forces), stress_unit)


def _good(found: Found, file: str, number: int) -> Atoms:
    if isinstance(found, StructureError):
        msg = f"{file}: structure {number} cannot be used: {found}"
        raise DataError(msg) from found
    return found


def index_slice(file: str, index: str | None) -> slice:
    """What `file@index` means among the frames or rows of a file; everything without an index.

    Raises:
        DataError: if it is no index.
    """
    try:
        wanted = parse_index(index)
    except StructureError as error:
        msg = f"{file}: {error}"
        raise DataError(msg) from error
    if wanted is None:
        return slice(None)
    return wanted if isinstance(wanted, slice) else slice(wanted, wanted + 1 if wanted != -1 else None)


def nothing_found(file: str, count: int, labels: Sequence[str], seen: Seen, keys: LabelKeys) -> str:
    """The message for a file without labels."""
    if count == 0:
        return f"{file}: no structure is left of this file"
    if keys.given():
        named = ", ".join(f"{option} {name}" for option, name in keys.given().items())
        others = f"; the file has {', '.join(sorted(seen.names))}" if seen.names else ""
        return f"{file}: none of its {count} structures has what was named ({named}){others}"
    where = "they are looked for as results of a calculator (in extxyz: energy=..., a column forces, stress=...)"
    others = f"; the file has {', '.join(sorted(seen.names))}: {hint(seen.names)}" if seen.names else f"; {where}"
    return f"{file}: none of its {count} structures has {' or '.join(labels)}{others}"


def expand(patterns: str | Sequence[str]) -> list[str]:
    """File names that match, sorted within each pattern; a file that has exactly the name is that file.

    Raises:
        DataError: if a pattern matches nothing.
    """
    return [file for pattern in ([patterns] if isinstance(patterns, str) else patterns) for file in matching(pattern)]


def _frame(
    atoms: Atoms, labels: set[Label], factor: float, keys: LabelKeys, origin: str, source: int, seen: Seen
) -> Frame:
    found = find(atoms, keys, labels, seen, origin)
    energy, forces, stress = (found.get(label) for label in LABELS)
    stress = stress if atoms.pbc.all() else None
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if value is not None and not np.all(np.isfinite(value)):
            msg = f"{origin}: the {name} is not finite"
            raise DataError(msg)
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return Frame(
        atoms=bare,
        energy=energy,
        forces=None if forces is None else np.asarray(forces, dtype=np.float64),
        stress=None if stress is None else stress * (1.0 if found.get("is_virial") else factor),
        origin=origin,
        source=source,
    )
