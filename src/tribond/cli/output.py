"""What the verbs share: the terminal, messages, reading structure files, and writing files safely."""

import itertools
import json
import os
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tribond.errors import StructureError, TribondError

if TYPE_CHECKING:
    from ase import Atoms
    from rich.console import Console
    from rich.table import Table

    from tribond.potential import Potential

FAILED = 1  # exit status: some input failed or did not converge
USAGE = 2  # exit status: the command line makes no sense
FALLBACK_FORMAT = "extxyz"  # ASE's most complete text format
LOSSLESS = 1e-3  # Å | a format that moves atoms or lattice vectors by more cannot hold the structure
WIDTH_OF_A_PIPE = 200  # columns of a table that goes into a file


class Precision(StrEnum):
    """Floating-point precision of the model."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


# ---------------------------------------------------------------------------------------------- the terminal


def console(*, stderr: bool = False) -> "Console":
    """Standard output, or standard error for everything that is not the result."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDTH_OF_A_PIPE)


def plain_table(*columns: str, right: Collection[str] = ()) -> "Table":
    """A table with headings and no frames, some columns flush right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def note(text: str) -> None:
    """Something the user should know though all is well."""
    from rich.markup import escape

    console(stderr=True).print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)


def report(error: BaseException, subject: str = "") -> None:
    """Say what went wrong, in one line for expected errors; with the traceback when debugging."""
    from rich.markup import escape

    if debugging():
        traceback.print_exception(error, file=sys.stderr)
    expected = isinstance(error, TribondError | OSError) or _is_out_of_memory(error)
    text = describe(error) if expected else f"unexpected {type(error).__name__}: {error}"
    hint = "" if expected or debugging() else " (please report this, with the traceback that `tribond --debug` shows)"
    where = f"{subject}: " if subject else ""
    console(stderr=True).print(f"[bold red]error:[/] {escape(where + text + hint)}", soft_wrap=True)


def describe(error: BaseException) -> str:
    """The message of an error as a user wants to read it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if _is_out_of_memory(error):
        return "not enough memory for so many atoms; try --dtype float32, another --device or a smaller structure"
    return str(error) or type(error).__name__


def _is_out_of_memory(error: BaseException) -> bool:
    # PyTorch has a class of its own for GPUs, and a plain RuntimeError for CPUs.
    return isinstance(error, MemoryError) or any(
        sign in f"{type(error).__name__}: {error}" for sign in ("OutOfMemoryError", "can't allocate memory")
    )


@contextmanager
def failures_reported(subject: str) -> Iterator[list[str]]:
    """Report whatever goes wrong with one input, so that the others still get their turn.

    Yields:
        A list that holds the message afterwards, or nothing if all went well.
    """
    messages: list[str] = []
    try:
        yield messages
    except Exception as error:  # noqa: BLE001, not silenced: it is printed, and the exit status says so
        report(error, subject)
        messages.append(describe(error))


def version() -> str:
    """The version of tribond."""
    import tribond

    return tribond.__version__


def debugging() -> bool:
    """Whether --debug or TRIBOND_DEBUG asks for tracebacks."""
    return os.environ.get("TRIBOND_DEBUG", "").lower() not in {"", "0", "false", "no"}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the warnings of ASE and its readers away from the user, unless debugging."""
    with warnings.catch_warnings():
        if not debugging():
            warnings.simplefilter("ignore")
        yield


# ------------------------------------------------------------------------------------------------- the model


def load_potential(model: str, device: str | None, dtype: str | None) -> "Potential":
    """The model named on the command line."""
    import tribond

    return tribond.load(model, device=device, dtype=dtype)


def model_record(potential: "Potential") -> dict[str, Any]:
    """What a result file says about the model it came from."""
    known = {key: potential.metadata[key] for key in ("name", "level_of_theory") if key in potential.metadata}
    technical = {
        "cutoff_A": potential.config.cutoff,
        "dtype": str(potential.dtype).removeprefix("torch."),
        "device": str(potential.device),
    }
    return known | technical


# --------------------------------------------------------------------------------------------- reading files


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
    occupancy = atoms.info.pop("occupancy", None) or {}
    partial = {symbol: value for site in occupancy.values() for symbol, value in site.items() if value < 1}
    if partial:
        sites = ", ".join(f"{symbol} {value:g}" for symbol, value in partial.items())
        raise StructureError(f"sites are partly occupied ({sites}); make an ordered structure of it first")
    for key in ("spacegroup", "unit_cell"):
        atoms.info.pop(key, None)
    atoms.arrays.pop("spacegroup_kinds", None)
    return atoms


# --------------------------------------------------------------------------------------------- writing files


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside the real one, which it replaces when all went well: nobody sees half a file.

    If the temporary file is gone at the end, the real one stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        if temporary.exists():
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, readable by eye."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
