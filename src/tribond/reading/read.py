"""The one reader of structure files: format, reading, checks."""

import bz2
import gzip
import lzma
import os
import re
import stat
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, cast

from ase import Atoms

from tribond.errors import StructureError
from tribond.reading.checks import checked
from tribond.reading.cif import read_cif
from tribond.reading.content import Content, Found, Options, TextReader, good
from tribond.reading.kinds import find_format
from tribond.reading.lammps import read_data
from tribond.reading.lammps_dump import read_dump
from tribond.reading.macromolecules import read_gro, read_pdb
from tribond.reading.names import COMPRESSED, unpacked
from tribond.reading.poscar import check_poscar, elements_of_potcar
from tribond.reading.pymatgen_files import read_pymatgen
from tribond.reading.shelx import read_shelx
from tribond.reading.stream import open_text
from tribond.reading.xyz import check_counts, check_numbers, split_frames, with_elements

HEAD = 1 << 16  # bytes that tell the format
LARGEST_TEXT = 1 << 31  # bytes | larger files are read by ASE's readers of frames alone
LARGEST_RATIO = 200  # unpacked to packed size; text has 3 to 30, a bomb thousands
HARMLESS = 1 << 26  # bytes that may be unpacked whatever the ratio
OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
READERS: dict[str, TextReader] = {
    "cif": read_cif,
    "res": read_shelx,
    "lammps-data": read_data,
    "lammps-dump-text": read_dump,
    "pymatgen": read_pymatgen,
    "proteindatabank": read_pdb,
    "gromacs": read_gro,
}
ALWAYS_PERIODIC = {"eon", "mustem", "sys"}
COUNTS = {"rmc6f": re.compile(rb"^Number of atoms:\s*(\d+)", re.MULTILINE)}
LAST_WORDS = {"vasp-xml": b"</modeling>", "vasp-out": b"General timing and accounting"}  # of runs that ended
TAIL = 10_000  # bytes in which they stand
CLAIMS = {"cfg": re.compile(rb"^\s*(?:Number of particles|entry_count)\s*=\s*(\d+)", re.MULTILINE)}
DATABASES = {"db", "json"}
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def read_file(path: Path, frames: slice, options: Options | None = None) -> Content:
    """Read structures.

    Args:
        path: of the file; .gz, .bz2 and .xz are unpacked.
        frames: which of its structures.
        options: what the user says about it.

    Raises:
        StructureError: if the file cannot be read, contradicts itself, or its only structure has no energy. Of several
            structures each bad one has an error in its place.
        OSError: of the file system.
    """
    options = options or Options()
    _check_file(path)
    try:
        with _plain(path) as (plain, head):
            kind = find_format(path, head, options.format)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of ASE's readers; what matters is checked
                images, notes = _read(plain, kind, frames, options, path.parent)
    except DAMAGED as error:
        msg = f"the compressed file is damaged ({error})"
        raise StructureError(msg) from error
    found: list[Found] = []
    for it in images:
        try:
            notes += checked(good(it))
            found.append(it)
        except StructureError as error:
            if len(images) == 1:
                raise
            found.append(error)
    return Content(kind, found, list(dict.fromkeys(notes)))


def _check_file(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - follows links, names what is missing
    except FileNotFoundError:
        msg = "no such file"
        raise StructureError(msg) from None
    if stat.S_ISDIR(mode):
        msg = "this is a folder; name the files in it"
        raise StructureError(msg)
    if not stat.S_ISREG(mode):
        msg = "this is no ordinary file but a pipe or a device; write its content to a file first"
        raise StructureError(msg)
    if path.stat().st_size == 0:
        msg = "the file is empty"
        raise StructureError(msg)


@contextmanager
def _plain(path: Path) -> Iterator[tuple[Path, bytes]]:
    """The file, unpacked beside the others if it has to be, and its beginning."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    opener = next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), None)
    if opener is None:
        if path.suffix.lower() in COMPRESSED:
            msg = f"the compressed file is damaged (it does not begin as {path.suffix} does)"
            raise StructureError(msg)
        yield path, head
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / unpacked(path).name
        limit = max(HARMLESS, LARGEST_RATIO * path.stat().st_size)
        with opener(path, "rb") as packed, target.open("wb") as plain:
            done = 0
            while block := packed.read(1 << 20):
                done += len(block)
                if done > limit:
                    msg = f"{path.stat().st_size} bytes unpack to more than {limit}: no structure file is packed so tightly"
                    raise StructureError(msg)
                plain.write(block)
        with target.open("rb") as stream:
            head = stream.read(HEAD)
        yield target, head


def _read(path: Path, kind: str, frames: slice, options: Options, folder: Path) -> tuple[Sequence[Found], list[str]]:
    try:
        if kind in READERS:
            images, notes = READERS[kind](text_of(path), options)
            return images[frames], notes
        if kind == "vasp":
            text, notes = check_poscar(text_of(path), elements_of_potcar(folder))
            return _by_ase(StringIO(text), kind, slice(None)), notes
        if kind in {"xyz", "extxyz"}:
            return _read_xyz(path, kind, frames), []
        if kind in CLAIMS:
            _check_claims(path, kind)
        images = _read_any(path, kind, frames)
        if kind in LAST_WORDS and not images and frames == slice(None):
            msg = "the file ends before the first structure is complete, as of a run that was stopped"
            raise StructureError(msg)
        _tidy(images, kind)
        if kind in COUNTS:
            _check_count(path, kind, images)
    except (StructureError, FileNotFoundError, PermissionError, *DAMAGED):
        raise
    except MemoryError as error:
        msg = "the file claims more than memory holds; it is damaged, or no structure"
        raise StructureError(msg) from error
    except ImportError:
        raise
    except Exception as error:  # readers raise whatever a malformed line makes them trip over
        raise StructureError(_explained(kind, error)) from error
    return images, _notes_on_end(path, kind)


def _notes_on_end(path: Path, kind: str) -> list[str]:
    """ASE's readers take what there is of a VASP run that was stopped; of a vasprun.xml perhaps the first structure alone."""
    if kind not in LAST_WORDS:
        return []
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL))
        ended = LAST_WORDS[kind] in stream.read()
    return [] if ended else ["the file ends early, as of a run that was stopped: what was there so far was read"]


def _check_claims(path: Path, kind: str) -> None:
    """Refuse numbers of atoms or columns larger than the file, for which ASE's reader makes room at once."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        claims = [int(number) for number in CLAIMS[kind].findall(stream.read(HEAD))]
    if max(claims, default=0) > size:
        msg = f"the file claims {max(claims)} atoms or columns, but has {size} bytes; it is damaged"
        raise StructureError(msg)


def _check_count(path: Path, kind: str, images: list[Atoms]) -> None:
    """Compare with the number of atoms that a file says, where ASE's reader takes what it finds."""
    said = COUNTS[kind].search(path.read_bytes()[:HEAD])
    if said is not None and images and int(said[1]) != len(images[0]):
        msg = f"the file contradicts itself: it says {int(said[1])} atoms, but has positions of {len(images[0])}"
        raise StructureError(msg)


def _tidy(images: list[Atoms], kind: str) -> None:
    """Mend what ASE's readers are known to get wrong."""
    for atoms in images:
        if kind in ALWAYS_PERIODIC and atoms.cell.rank == 3:
            atoms.pbc = True
        if kind.startswith("lammps-dump") and atoms.calc is not None:
            atoms.calc.results.pop("energy", None)  # zero, which no dump says


def _explained(kind: str, error: Exception) -> str:
    reason = f"{type(error).__name__}: {error}".removesuffix(": ").replace("\n", " ")[:200]
    if isinstance(error, KeyError) and re.fullmatch(r"[A-Za-z][A-Za-z0-9+_-]{0,7}", str(error.args[0])):
        return f"cannot be read as {kind}: {error.args[0]!r} is no element or not what the format wants ({reason})"
    if isinstance(error, IndexError) or "StopIteration" in reason or "inhomogeneous" in reason or "unpack" in reason:
        return f"cannot be read as {kind}: the file or one of its lines ends too early ({reason})"
    return f"cannot be read as {kind} ({reason}); if that is another format, name it with --format"


def _read_xyz(path: Path, kind: str, frames: slice) -> Sequence[Found]:
    if path.stat().st_size > LARGEST_TEXT:
        with path.open(encoding="utf-8", errors="replace") as lines:
            check_counts(lines)
        return _by_ase(path, kind, frames)
    text = text_of(path)
    try:
        return _read_frames(text, kind, frames)
    except Exception:
        parts = split_frames(text)
        if len(parts) < 2:
            raise
    return [_read_part(part, kind) for part in parts][frames]


def _read_frames(text: str, kind: str, frames: slice) -> list[Atoms]:
    check_counts(text.removesuffix("\n").split("\n"))
    check_numbers(text)
    try:
        return _by_ase(StringIO(text), kind, frames)
    except KeyError:
        return _by_ase(StringIO(with_elements(text)), kind, frames)


def _read_part(part: str | StructureError, kind: str) -> Found:
    """One frame of a file in which not all are good."""
    if isinstance(part, StructureError):
        return part
    try:
        return _read_frames(part, kind, slice(None))[0]
    except StructureError as error:
        return StructureError(str(error).removeprefix("structure 0 ").removeprefix("structure 0: "))
    except Exception as error:  # noqa: BLE001 - whatever a malformed line makes ASE trip over
        return StructureError(_explained(kind, error))


def _read_any(path: Path, kind: str, frames: slice) -> list[Atoms]:
    try:
        return _by_ase(path, kind, frames)
    except UnicodeDecodeError:
        # A comment in Latin-1 is no reason to fail: readers want ASCII, and comments are not read.
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / path.name
            plain.write_bytes(text_of(path).encode("ascii", "replace"))
            return _by_ase(plain, kind, frames)


def _by_ase(source: Path | StringIO, kind: str, frames: slice) -> list[Atoms]:
    from ase.io import read
    from ase.io.formats import get_ioformat

    if kind in DATABASES and isinstance(source, Path):
        return _read_database(source, kind)[frames]
    frames = slice(None) if get_ioformat(kind).single else frames  # ASE trips over other slices there
    known = get_ioformat(kind)
    with ExitStack() as stack:
        given: Any = source
        if isinstance(source, Path):
            plain = known.acceptsfd and not known.isbinary
            given = stack.enter_context(open_text(source, known.encoding)) if plain else str(source)
        images = read(given, index=frames, format=kind, do_not_split_by_at_sign=True)
    return cast("list[Atoms]", images)


def _read_database(path: Path, kind: str) -> list[Atoms]:
    """All rows, with their key-value pairs, which `ase.io.read` leaves out."""
    from ase.db import connect

    with connect(str(path), type=kind, serial=True) as database:
        return [row.toatoms(add_additional_information=True) for row in database.select()]


def text_of(path: Path) -> str:
    """A whole text, in UTF-8 or Latin-1, with or without a mark of byte order.

    Raises:
        StructureError: for what is too large or no text.
    """
    size = path.stat().st_size
    if size > LARGEST_TEXT:
        msg = f"the file has {size / 1e9:.1f} GB; files of this format are read up to {LARGEST_TEXT / 1e9:.1f} GB"
        raise StructureError(msg)
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace").replace("\r\n", "\n")
    if b"\0" in content[:HEAD]:
        msg = "this is no text: it holds zero bytes; it is damaged, or another format (--format)"
        raise StructureError(msg)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")
