"""Structure files of any format that ASE knows: frames read from inputs, results written and named."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tribond.cli.output import note, quiet_libraries
from tribond.errors import StructureError
from tribond.files import atomic_path

if TYPE_CHECKING:
    from ase import Atoms

FALLBACK_FORMAT = "extxyz"  # ASE's most complete text format
LOSSLESS = 1e-3  # Å | a format that moves atoms or lattice vectors by more cannot hold the structure


# --------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Frame:
    """One structure of an input file."""

    path: Path
    number: int | None  # which frame of the file; None where the file has one, or its last was taken unasked
    format: str  # ASE's name of the file's format
    atoms: "Atoms"

    @property
    def label(self) -> str:
        """How messages and tables call it: path@number."""
        return str(self.path) if self.number is None else f"{self.path}@{self.number}"


def split_index(name: str) -> tuple[Path, str | None]:
    """Split 'run.xyz@3' or 'run.xyz@::10' into path and index; a file that has the whole name wins."""
    path, at, index = name.rpartition("@")
    if not at or Path(name).exists() or index.strip("-:0123456789"):
        return Path(name), None
    return Path(path), index


def read_frames(name: str, index: str | None = None) -> list[Frame]:
    """Read structures from a file that ASE can read.

    Args:
        name: the path; 'path@index' says which frames.
        index: which frames where the name does not say: a number or a slice such as ':' or '-5:'; None is the last.

    Raises:
        StructureError: if there is no such file or frame, ASE cannot read it, or sites are partly occupied.
    """
    path, own_index = split_index(name)
    wanted = _parse_index(own_index or index)
    if not path.exists():
        raise StructureError("no such file")
    if path.is_dir():
        raise StructureError("this is a folder; name the files in it")
    # The last two frames tell whether there are more; an index is resolved against all, to know its number.
    kind, images = _read_images(path, slice(-2, None) if wanted is None else slice(None))
    if not images:
        raise StructureError("there is no structure in this file")
    if wanted is None:
        if len(images) > 1:
            note(f"{path} holds several structures, taking the last; name others with {path.name}@INDEX or --index")
        return [Frame(path, None, kind, _clean(images[-1]))]
    numbers = range(len(images))
    try:
        chosen = numbers[wanted] if isinstance(wanted, slice) else [numbers[wanted]]
    except IndexError:
        chosen = []
    if not chosen:
        raise StructureError(f"no structure {own_index or index}: the file holds {len(images)}, counted from 0")
    single = len(images) == 1
    return [Frame(path, None if single else number, kind, _clean(images[number])) for number in chosen]


def _parse_index(index: str | None) -> int | slice | None:
    if index is None:
        return None
    try:
        if ":" not in index:
            return int(index)
        parts = [int(part) if part else None for part in index.split(":")]
        _ = range(1)[slice(*parts)]
    except (TypeError, ValueError):
        raise StructureError(f"{index!r} is no index; write a number or a slice: 0, -1, :, -5:, ::10") from None
    return slice(*parts)


def _read_images(path: Path, frames: slice) -> tuple[str, list["Atoms"]]:
    """ASE's name of the format, and the frames as ASE reads them."""
    from ase.io.formats import UnknownFileTypeError, filetype

    kind = "a structure"
    try:
        with quiet_libraries():
            kind = filetype(str(path))
            return kind, _read_as(kind, path, frames)
    except UnknownFileTypeError as error:
        raise StructureError(
            f"ASE does not know this format ({error}); `ase info --formats` lists those it does"
        ) from error
    except OSError:
        raise
    except Exception as error:  # readers raise whatever a malformed line makes them trip over
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise StructureError(f"cannot be read as {kind} ({reason})") from error


def _read_as(kind: str, path: Path, frames: slice) -> list["Atoms"]:
    from ase.io import read
    from ase.io.formats import get_ioformat

    frames = slice(None) if get_ioformat(kind).single else frames  # ASE trips over other slices there
    return cast("list[Atoms]", read(str(path), index=frames, format=kind, do_not_split_by_at_sign=True))


def _clean(atoms: "Atoms") -> "Atoms":
    """Refuse what has no energy, and drop what a CIF said about symmetry: it stops being true when atoms move."""
    if len(atoms) == 0:
        raise StructureError("there are no atoms in this structure")
    from tribond.graph.build import refuse_partial_occupancy

    refuse_partial_occupancy(atoms)
    for key in ("occupancy", "spacegroup", "unit_cell"):
        atoms.info.pop(key, None)
    atoms.arrays.pop("spacegroup_kinds", None)
    return atoms


# --------------------------------------------------------------------------------------------------- writing


def write_structure(atoms: "Atoms", path: Path, kind: str) -> Path:
    """Write a structure in ASE's format `kind`, or as extxyz with a note where that format cannot hold it.

    Returns:
        The file written: `path`, or the same with the ending .extxyz.
    """
    from ase.io import write
    from ase.io.formats import get_ioformat

    with quiet_libraries():
        if get_ioformat(kind).can_write:
            with atomic_path(path) as temporary:
                held = _writes_losslessly(atoms, temporary, kind)
                if not held:
                    temporary.unlink(missing_ok=True)
            if held:
                return path
        fallback = path.with_suffix(f".{FALLBACK_FORMAT}")
        with atomic_path(fallback) as temporary:
            write(str(temporary), atoms, format=FALLBACK_FORMAT)
    note(f"ASE cannot write this structure in the input's format ({kind}) without loss; wrote {fallback.name} instead")
    return fallback


def _writes_losslessly(atoms: "Atoms", path: Path, kind: str) -> bool:
    """Write, read again, and compare elements in order, axes, lattice and positions, whatever the orientation."""
    import numpy as np
    from ase.io import write

    try:
        write(str(path), atoms, format=kind)
        (back,) = _read_as(kind, path, slice(-1, None))
    except OSError:
        raise
    except Exception:  # noqa: BLE001, pseudopotentials missing, a molecule in a crystal's format: all mean no
        return False
    if not np.array_equal(back.numbers, atoms.numbers) or not np.array_equal(back.pbc, atoms.pbc):
        return False
    if atoms.cell.rank < 3:
        pairs = [(back.cell.array, atoms.cell.array), (back.positions, atoms.positions)]
        return all(np.allclose(read_back, original, rtol=0, atol=LOSSLESS) for read_back, original in pairs)
    shift = back.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
    shift -= np.where(atoms.pbc, np.round(shift), 0.0)
    return bool(
        np.allclose(back.cell.lengths(), atoms.cell.lengths(), rtol=0, atol=LOSSLESS)
        and np.allclose(back.cell.angles(), atoms.cell.angles(), rtol=0, atol=0.01)
        and np.abs(shift * atoms.cell.lengths()).max(initial=0.0) < LOSSLESS
    )


class OutputNames:
    """Names for the results of all inputs; none is an input, and none is given twice.

    Args:
        inputs: all input files of this run; never overwritten.
        folder: where results go; None is beside each input.
    """

    def __init__(self, inputs: Sequence[Path], folder: Path | None) -> None:
        self.folder = folder
        self.taken = {path.resolve() for path in inputs}
        self.stems = Counter(unpacked(path).stem for path in set(inputs))

    def choose(self, frame: Frame, endings: Sequence[str]) -> list[Path]:
        """Files for one result: calc/POSCAR gives DIR/POSCAR + each ending.

        In a common folder, inputs of the same name get their own folder's name in front (calc_POSCAR). What still
        clashes, or would replace an input, gets a number behind (POSCAR-2).

        Args:
            frame: the input.
            endings: such as '_relaxed.cif'.
        """
        stem = unpacked(frame.path).stem
        if self.folder is not None and self.stems[stem] > 1:
            stem = f"{frame.path.resolve().parent.name}_{stem}"
        if frame.number is not None:
            stem = f"{stem}_{frame.number}"
        folder = self.folder or frame.path.parent
        for suffix in itertools.chain([""], (f"-{count}" for count in itertools.count(2))):
            files = [folder / f"{stem}{suffix}{ending}" for ending in endings]
            if self.taken.isdisjoint(file.resolve() for file in files):
                break
        self.taken.update(file.resolve() for file in files)
        return files


def unpacked(path: Path) -> Path:
    """The path without the ending of a compression that ASE reads through; results are written plain."""
    return path.with_suffix("") if path.suffix in {".gz", ".bz2", ".xz"} else path
