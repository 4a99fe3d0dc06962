"""What the sources on a command line stand for: files, each with the reader that it needs."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tribond.data.labels import StressUnit
from tribond.data.store.extxyz_files import read_extxyz
from tribond.data.store.json_files import read_json
from tribond.data.store.opening import beginning
from tribond.data.store.other_files import read_aselmdb, read_database, read_other
from tribond.data.store.outcar import read_outcar
from tribond.data.store.parquet_files import read_parquet
from tribond.data.store.record import Reader
from tribond.data.store.settings import ReadSettings
from tribond.data.store.vasprun import read_vasprun
from tribond.errors import DataError
from tribond.reading.names import matching, unpacked

READERS: dict[str, Callable[[Path, ReadSettings, Callable[[str], object]], Reader]] = {
    "extxyz": read_extxyz,
    "json": read_json,
    "parquet": read_parquet,
    "vasprun": read_vasprun,
    "outcar": read_outcar,
    "db": read_database,
    "aselmdb": read_aselmdb,
    "other": read_other,
}
UNITS: dict[str, StressUnit] = {"json": "kbar", "vasprun": "kbar", "outcar": "kbar"}  # of stresses; else eV/A^3
FIXED = {"vasprun", "outcar"}  # kinds whose unit is never another one
# Files in a folder that are taken for data; a folder of VASP holds many others.
ENDINGS = {".extxyz", ".xyz", ".json", ".jsonl", ".parquet", ".db", ".aselmdb", ".traj"}
PICKLE = re.compile(rb"\x80[\x02-\x05]")
PICKLES = {".p", ".pkl", ".pickle"}
NO_PICKLES = (
    "this is a pickle, which may run any program when it is read, and tribond reads none. Have its owner write it in "
    "another format, or convert it in a sandbox (docs/data.md says how for MPF.2021.2.8)"
)


@dataclass(frozen=True)
class Input:
    """One file that goes into a store."""

    path: Path
    kind: str  # of READERS
    level: str | None  # of theory, as the user named it
    source: int  # which of the sources it belongs to

    def unit(self, settings: ReadSettings) -> StressUnit:
        """In which its stresses are read."""
        usual = UNITS.get(self.kind, "eV/A^3")
        return usual if self.kind in FIXED else settings.unit(usual)


def inputs_of(sources: Iterable[str], on_note: Callable[[str], object]) -> list[Input]:
    """All files, in the order of the sources; those of a folder and of a pattern sorted.

    Args:
        sources: `PATH` or `LEVEL=PATH`; a file, a pattern with `*`, or a folder with whatever is below it.
        on_note: called with what the user should know.

    Raises:
        DataError: if a source has no files, or one is a pickle.
    """
    inputs: list[Input] = []
    for number, source in enumerate(sources):
        level, name = _level(source)
        found: list[tuple[Path, str]] = []
        for match in matching(name):
            path = Path(match)
            found += _in_folder(path, on_note) if path.is_dir() else [(path, kind_of(path))]
        if not found:
            raise DataError(f"{name}: no file that holds labelled structures is in this folder")
        inputs += [Input(path, kind, level, number) for path, kind in found]
    return inputs


def _level(source: str) -> tuple[str | None, str]:
    level, equal, path = source.partition("=")
    if not equal or Path(source).exists() or "/" in level or not level:
        return None, source
    return level, path


def _in_folder(folder: Path, on_note: Callable[[str], object]) -> Iterator[tuple[Path, str]]:
    """A run of VASP has a vasprun.xml, or else an OUTCAR: never both of one run, and nothing else beside it.

    Programs that start VASP leave JSON there, which is about the run and no data.
    """
    others = 0
    beside: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        runs = sorted(name for name in names if name.startswith("vasprun") and unpacked(Path(name)).suffix == ".xml")
        runs = runs or sorted(name for name in names if name.startswith("OUTCAR"))
        data = sorted(name for name in names if unpacked(Path(name)).suffix in ENDINGS)
        for name in runs or data:
            yield Path(place) / name, kind_of(Path(place) / name)
        if runs:
            beside += [Path(place) / name for name in data if name not in runs]
        else:
            others += len(names) - len(data)
    if beside:
        on_note(
            f"{folder}: {len(beside)} files beside runs of VASP are not read (first {beside[0]}); name them one by one if they are data"
        )
    if others:
        on_note(f"{folder}: {others} other files are not read; name them one by one if they are data")


def kind_of(path: Path) -> str:
    """The reader for a file, by its name and its beginning.

    Raises:
        DataError: if it is a pickle.
    """
    plain = unpacked(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if plain.suffix.lower() in PICKLES or PICKLE.match(head):
        raise DataError(f"{path}: {NO_PICKLES}")
    if head.startswith(b"PAR1"):
        return "parquet"
    if plain.suffix in (".aselmdb", ".lmdb"):
        return "aselmdb"
    if head.startswith(b"SQLite format 3"):
        return "db"
    if plain.name.startswith("OUTCAR"):
        return "outcar"
    return _kind_of_text(path, plain)


def _kind_of_text(path: Path, plain: Path) -> str:
    start = beginning(path)
    if "<modeling>" in start:
        return "vasprun"
    first, _, rest = start.partition("\n")
    if first.strip().isdecimal() and re.search(r"(Properties|Lattice|pbc)=", rest.partition("\n")[0]):
        return "extxyz"
    if start.lstrip()[:1] in ("{", "[") and ('"structure"' in start or not start.rstrip().endswith(("}", "]"))):
        return "other" if '"unique_id"' in start and '"structure"' not in start else "json"
    if plain.suffix == ".extxyz":
        return "extxyz"  # it says itself what is wrong
    return "other"
