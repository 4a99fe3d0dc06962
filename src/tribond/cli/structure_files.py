"""Structure files on the command line: frames read from inputs, results written and named."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tribond.cli.output import note, quiet_libraries
from tribond.errors import StructureError
from tribond.files import atomic_path
from tribond.reading.names import parse_index, split_index, unpacked

if TYPE_CHECKING:
    from ase import Atoms

    from tribond.reading.content import Found, Options

FALLBACK_FORMAT = "extxyz"  # ASE's most complete text format
WRITING: dict[str, dict[str, Any]] = {"lammps-data": {"masses": True, "atom_style": "atomic"}}  # what ASE leaves out
LOSABLE = {"momenta": "velocities", "initial_magmoms": "spins", "initial_charges": "charges", "tags": "tags"}
NOT_TOLD = {"numbers", "positions", "masses", "unique_id", "key_value_pairs", "data"}
INPUTS = {"espresso-in", "castep-cell", "gaussian-in", "nwchem-in", "abinit-in", "cp2k-restart", "octopus-in", "magres"}
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


@dataclass(frozen=True)
class BadFrame:
    """A structure of a file that cannot be used; the others can."""

    label: str
    error: Exception


def read_good_frame(name: str, options: "Options | None" = None) -> Frame:
    """The structure that a name stands for, where only one will do.

    Raises:
        StructureError: as of `read_frames`, if it is bad, or if the name stands for several.
    """
    frames = read_frames(name, None, options)
    if len(frames) > 1:
        msg = f"{name} names {len(frames)} structures; name one, such as {split_index(name)[0]}@0"
        raise StructureError(msg)
    if isinstance(frames[0], BadFrame):
        raise frames[0].error
    return frames[0]


def read_frames(name: str, index: str | None = None, options: "Options | None" = None) -> list[Frame | BadFrame]:
    """Read structures from a file, and say what the user should know about it.

    Args:
        name: the path; 'path@index' says which frames, unless a file has the whole name.
        index: which frames where the name does not say: a number or a slice such as ':' or '-5:'; None is the last.
        options: what the user says about the file.

    Raises:
        StructureError: if there is no such file or frame, it cannot be read, or it contradicts itself. Of several
            structures each bad one comes as a BadFrame.
    """
    frames, notes = frames_and_notes(name, index, options)
    for text in notes:
        note(f"{split_index(name)[0]}{text}")
    return frames


def frames_and_notes(
    name: str, index: str | None = None, options: "Options | None" = None
) -> tuple[list[Frame | BadFrame], list[str]]:
    """As `read_frames`, with what the user should know as texts to stand behind the path."""
    from tribond.reading.read import read_file

    path, own_index = split_index(name)
    wanted = parse_index(own_index or index)
    # The last two frames tell whether there are more; an index is resolved against all, to know its number.
    content = read_file(path, slice(-2, None) if wanted is None else slice(None), options)
    notes = [f": {text}" for text in content.notes]
    images, kind = content.found, content.format
    if not images:
        raise StructureError("there is no structure in this file")
    if wanted is None:
        if len(images) > 1:
            notes.append(f" holds several structures, taking the last; name others with {path.name}@INDEX or --index")
        return [_frame(path, None, kind, images[-1])], notes
    numbers = range(len(images))
    try:
        chosen = numbers[wanted] if isinstance(wanted, slice) else [numbers[wanted]]
    except IndexError:
        chosen = []
    if not chosen:
        raise StructureError(f"no structure {own_index or index}: the file holds {len(images)}, counted from 0")
    single = len(images) == 1
    return [_frame(path, None if single else number, kind, images[number]) for number in chosen], notes


def _frame(path: Path, number: int | None, kind: str, found: "Found") -> Frame | BadFrame:
    if isinstance(found, StructureError):
        return BadFrame(str(path) if number is None else f"{path}@{number}", found)
    return Frame(path, number, kind, found)


# --------------------------------------------------------------------------------------------------- writing


def write_structure(atoms: "Atoms", path: Path, kind: str) -> Path:
    """Write a structure in ASE's format `kind`, or as extxyz with a note where that format cannot hold it.

    Returns:
        The file written: `path`, or the same with the ending .extxyz.
    """
    from ase.io import write
    from ase.io.formats import get_ioformat, ioformats

    with quiet_libraries():
        if kind in ioformats and get_ioformat(kind).can_write:
            with atomic_path(path) as temporary:
                held = _written(atoms, temporary, kind)
                if held is None:
                    temporary.unlink(missing_ok=True)
            if held is not None:
                _note_losses(atoms, held, path, kind)
                return path
        fallback = path.with_suffix(f".{FALLBACK_FORMAT}")
        with atomic_path(fallback) as temporary:
            write(str(temporary), atoms, format=FALLBACK_FORMAT)
    note(
        f"ASE cannot write this structure in the input's format ({kind}) without loss; wrote {fallback.name} instead"
        f"{', without the settings of the calculation' if kind in INPUTS else ''}"
    )
    return fallback


def _note_losses(atoms: "Atoms", back: "Atoms", path: Path, kind: str) -> None:
    """Say what the format does not keep of what the input had."""
    lost = [
        words for name, words in LOSABLE.items() if atoms.has(name) and atoms.arrays[name].any() and not back.has(name)
    ]
    keys = sorted(set(atoms.info) - set(back.info) - NOT_TOLD)
    keys += sorted(set(atoms.arrays) - set(back.arrays) - set(LOSABLE) - NOT_TOLD)
    if keys:
        lost.append(", ".join(keys))
    if atoms.constraints and not back.constraints:
        lost.append("constraints")
    if kind in INPUTS:
        lost.append("settings of the calculation (k-points, cutoffs, pseudopotentials)")
    if lost:
        note(f"{path.name} does not keep what the input had besides the structure: {'; '.join(lost)}")


def _written(atoms: "Atoms", path: Path, kind: str) -> "Atoms | None":
    """Write, read again, and compare elements in order, axes, lattice and positions, whatever the orientation.

    Returns:
        What was read again; None if it is another structure.
    """
    import numpy as np
    from ase.io import write

    from tribond.reading.content import Options
    from tribond.reading.read import DATABASES, read_file

    try:
        if kind in DATABASES:
            _write_database(atoms, path, kind)
        else:
            write(str(path), atoms, format=kind, **WRITING.get(kind, {}))
        (back,) = read_file(path, slice(-1, None), Options(format=kind)).images
    except OSError:
        raise
    except Exception:  # noqa: BLE001, pseudopotentials missing, a molecule in a crystal's format: all mean no
        return None
    if not np.array_equal(back.numbers, atoms.numbers) or not np.array_equal(back.pbc, atoms.pbc):
        return None
    if atoms.cell.rank < 3:
        pairs = [(back.cell.array, atoms.cell.array), (back.positions, atoms.positions)]
        same = all(np.allclose(read_back, original, rtol=0, atol=LOSSLESS) for read_back, original in pairs)
        return back if same else None
    shift = back.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
    shift -= np.where(atoms.pbc, np.round(shift), 0.0)
    same = bool(
        np.allclose(back.cell.lengths(), atoms.cell.lengths(), rtol=0, atol=LOSSLESS)
        and np.allclose(back.cell.angles(), atoms.cell.angles(), rtol=0, atol=0.01)
        and np.abs(shift * atoms.cell.lengths()).max(initial=0.0) < LOSSLESS
    )
    return back if same else None


def _write_database(atoms: "Atoms", path: Path, kind: str) -> None:
    """A database of one row, with the key-value pairs and data that the input had."""
    from ase.db import connect

    plain = atoms.copy()
    plain.calc = atoms.calc
    pairs, data = (plain.info.pop(name, None) or {} for name in ("key_value_pairs", "data"))
    with connect(str(path), type=kind, serial=True) as database:
        database.write(plain, key_value_pairs=pairs, data=data)


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
