"""Labelled structures from any file that ASE reads."""

import bz2
import gzip
import lzma
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Literal

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import DataError
from tribond.units import EV_PER_A3_TO_GPA

Label = Literal["energy", "forces", "stress"]
StressUnit = Literal["eV/A^3", "GPa"]
LABELS: tuple[Label, ...] = ("energy", "forces", "stress")


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
) -> list[Frame]:
    """Read labelled structures.

    Args:
        patterns: file names, `*` allowed; compressed files are fine.
        labels: which labels to take; the others are left out even if the file has them.
        stress_unit: of the file. Its sign must be ASE's (tension positive), as in every file that ASE writes.
        source: number to put into the frames.

    Raises:
        DataError: if a pattern matches nothing, a file cannot be read, or holds no label at all.
    """
    frames: list[Frame] = []
    for file in expand(patterns):
        try:
            images = _read_images(file)
        except (OSError, ValueError, KeyError, IndexError, ase.io.formats.UnknownFileTypeError) as error:
            msg = f"{file} cannot be read: {error}"
            raise DataError(msg) from error
        factor = 1.0 if stress_unit == "eV/A^3" else 1 / EV_PER_A3_TO_GPA
        read = [
            _frame(atoms, set(labels), factor, f"{Path(file).name}#{index}", source)
            for index, atoms in enumerate(images)
        ]
        if all(frame.energy is None and frame.forces is None and frame.stress is None for frame in read):
            msg = (
                f"{file}: none of its {len(read)} structures has {' or '.join(labels)}; ASE must find them as the "
                "results of a calculator (in extxyz: energy=..., a column forces, stress=...)"
            )
            raise DataError(msg)
        frames += read
    return frames


def _read_images(file: str) -> list[Atoms]:
    """All structures of a file. A compressed one is unpacked first: ASE would start anew from its top for each frame."""
    path = Path(file)
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if path.suffix not in openers:
        return list(ase.io.read(path, index=":"))
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / path.stem
        with openers[path.suffix](path, "rb") as packed, unpacked.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        return list(ase.io.read(unpacked, index=":"))


def expand(patterns: str | Sequence[str]) -> list[str]:
    """File names that match, sorted within each pattern.

    Raises:
        DataError: if a pattern matches nothing.
    """
    files: list[str] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found = sorted(glob(str(Path(pattern).expanduser())))  # noqa: PTH207 - absolute patterns too
        if not found:
            msg = f"no file matches {pattern}"
            raise DataError(msg)
        files += found
    return files


def _frame(atoms: Atoms, labels: set[Label], stress_factor: float, origin: str, source: int) -> Frame:
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get("energy") if "energy" in labels else None
    forces = results.get("forces") if "forces" in labels else None
    stress = results.get("stress") if "stress" in labels and atoms.pbc.all() else None
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if value is not None and not np.all(np.isfinite(value)):
            msg = f"{origin}: the {name} is not finite"
            raise DataError(msg)
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return Frame(
        atoms=bare,
        energy=None if energy is None else float(energy),
        forces=None if forces is None else np.asarray(forces, dtype=np.float64),
        stress=None if stress is None else _full_stress(np.asarray(stress, dtype=np.float64)) * stress_factor,
        origin=origin,
        source=source,
    )


def _full_stress(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voigt (xx, yy, zz, yz, xz, xy) or (3, 3) to (3, 3)."""
    if stress.shape == (3, 3):
        return stress
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
