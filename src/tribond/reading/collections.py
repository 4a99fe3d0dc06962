"""Many files at once: folders, patterns and archives as lists of files."""

import lzma
import signal
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tribond.errors import ConfigError, StructureError, TribondError
from tribond.reading.kinds import ENDINGS
from tribond.reading.names import matching, split_index, unpacked

NAMES = ("POSCAR", "CONTCAR", "XDATCAR", "OUTCAR", "vasprun.xml", "geometry.in")
OTHER_ENDINGS = ("xyz", "traj", "db", "xsf", "cfg", "xml", "in", "pwi", "cell", "json")
WEAK_ENDINGS = {"xml", "in", "json", "yaml", "yml", "dump", "data"}  # of too many other things to be taken unasked
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
# An encrypted member of a zip archive is a RuntimeError, an unknown compression a NotImplementedError, which is one, too.
UNUSABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
LARGEST = 50 << 30  # bytes that an archive may hold unpacked


@dataclass(frozen=True)
class Files:
    """What names stand for.

    Attributes:
        names: of files, each with its @index where there was one; files of archives as they lie unpacked.
        labels: how messages call each of them.
        bad: names that stand for nothing, each with its error.
        notes: what the user should know.
        beside: whether results can go beside the files: not into folders that were named as inputs, nor into archives.
    """

    names: list[str]
    labels: list[str]
    bad: list[tuple[str, TribondError]]
    notes: list[str]
    beside: bool


@contextmanager
def files_of(names: list[str], results: Sequence[Path] = ()) -> Iterator[Files]:
    """The files that names stand for: files, patterns such as 'a/*.cif', folders, tar and zip archives.

    Of folders and archives it is the files that are named like structures. Archives are unpacked for as long as this lasts.

    Args:
        names: with their @index, if any.
        results: files and folders that results go to: where they lie in a folder that is named, they are no inputs.

    Raises:
        ConfigError: if results are to go into the folder of inputs itself.
    """
    paths = [split_index(name)[0] for name in names]
    found = Files([], [], [], [], beside=not any(path.is_dir() or is_archive(path) for path in paths))
    with _exit_at_sigterm(), tempfile.TemporaryDirectory(prefix="tribond-") as room:
        for number, name in enumerate(names):
            try:
                _expand(found, name, Path(room) / str(number), results)
            except ConfigError:
                raise  # nothing wrong with the files
            except TribondError as error:
                found.bad.append((name, error))
        yield found


@contextmanager
def _exit_at_sigterm() -> Iterator[None]:
    """SIGTERM ends the process as sys.exit does, not at once: what was unpacked is removed."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _expand(found: Files, given: str, room: Path, results: Sequence[Path]) -> None:
    """Add what one name stands for.

    Raises:
        StructureError: for an archive that is damaged, too large or holds names that lead out of it; for a folder without
            structures.
        DataError: if nothing matches a pattern.
    """
    for name in matching(given) if _is_pattern(given) else [given]:
        path, index = split_index(name)
        ending = "" if index is None else f"@{index}"
        if path.is_dir():
            _add(found, path, str(path), ending, results)
        elif is_archive(path) and path.is_file():
            _unpack(path, room / path.name)
            _add(found, room / path.name, str(path), ending, ())
        else:
            found.names.append(name)
            found.labels.append(name)


def is_archive(path: Path) -> bool:
    """By its name: .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip."""
    return path.name.lower().endswith(ARCHIVES)


def _is_pattern(name: str) -> bool:
    path, _ = split_index(name)
    return any(sign in name for sign in "*?[") and not path.exists() and not Path(name).exists()


def _add(found: Files, folder: Path, label: str, ending: str, results: Sequence[Path]) -> None:
    """The structures of a folder, in order of their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    for own in (path.resolve() for path in results):
        if folder.resolve().is_relative_to(own):
            msg = "results would go among the inputs, and the next call would take them for inputs; choose another --output"
            raise ConfigError(msg)
        files = [path for path in files if not path.resolve().is_relative_to(own)]
    chosen = [path for path in files if _named_like_structure(path)]
    if not chosen:
        msg = f"no file there is named like a structure; name files or a pattern such as '{label}/*'"
        raise StructureError(msg)
    if len(chosen) < len(files):
        left = len(files) - len(chosen)
        words = (
            "file that is not named like a structure is"
            if left == 1
            else "files that are not named like structures are"
        )
        found.notes.append(f"{label}: {left} {words} left out")
    found.names.extend(f"{path}{ending}" for path in chosen)
    found.labels.extend(f"{label}/{path.relative_to(folder)}" for path in chosen)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _named_like_structure(path: Path) -> bool:
    plain = unpacked(path)
    ending = plain.suffix.lstrip(".").lower()
    if plain.name.startswith(NAMES) and ending not in {"png", "pdf", "txt", "log"}:
        return True
    return ending in {*ENDINGS, *OTHER_ENDINGS} - WEAK_ENDINGS


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    try:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as content:
                _check_size(sum(it.file_size for it in content.infolist()))
                content.extractall(folder)  # noqa: S202, zipfile removes what leads out of the folder
            return
        with tarfile.open(archive) as packed:
            _check_size(sum(it.size for it in packed.getmembers()))
            packed.extractall(folder, filter="data")
    except UNUSABLE as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        msg = f"it cannot be unpacked ({error})"
        raise StructureError(msg) from error


def _check_size(size: int) -> None:
    if size > LARGEST:
        msg = f"it holds {size / 1e9:.0f} GB unpacked; unpack it yourself, and name its folder"
        raise StructureError(msg)
