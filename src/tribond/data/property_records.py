"""Rows of tables, and structures with notes, as records: what stands in a file, before anything is made of it."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from tribond.errors import DataError, StructureError
from tribond.reading.checks import checked
from tribond.reading.content import Options, good
from tribond.reading.pymatgen_files import atoms_of
from tribond.reading.read import read_file

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TABLES = (".csv", ".parquet", ".json", ".jsonl")


@dataclass(frozen=True)
class Record:
    """One row of a table, or one structure of a file."""

    origin: str  # file and row, for messages
    values: Mapping[str, Any]  # by column, or by key of the structure's info
    structure: Any  # what stands for the structure: Atoms, an error, a dictionary, text or the name of a file
    folder: Path  # what names of files are relative to

    def value(self, key: str) -> Any:
        """What stands under a key; `a.b` looks into nested dictionaries; None if there is nothing."""
        if key in self.values:
            return self.values[key]
        found: Any = self.values
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def atoms(self) -> Atoms:
        """The structure.

        Raises:
            DataError: if there is none, or it cannot be used; names the row.
        """
        try:
            atoms = _atoms(self.structure, self.folder)
            checked(atoms)
        except (StructureError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            msg = f"{self.origin}: {reason}"
            raise DataError(msg) from error
        return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def read_records(file: Path, structure: str, options: Options, *, name: str | None = None) -> Iterator[Record]:
    """The records of one file.

    Args:
        file: a table (.csv, .parquet, .json with a list of records or pandas' "split", .jsonl; .gz, .bz2 and .xz are
            unpacked), or structures in any format that is read, with the values among the info of each.
        structure: the column of a table that holds structures: dictionaries of pymatgen, their JSON, the text of a CIF
            or POSCAR, or the name of a file, relative to the table.
        options: format of a file of structures.
        name: of the file, for messages and tables; None: as given.

    Raises:
        DataError: if it cannot be read, or has no such column.
    """
    name = str(file) if name is None else name
    kind = (Path(file.stem) if file.suffix in OPENERS else file).suffix.lower()
    rows = None if options.format is not None or kind not in TABLES else _rows(file, kind)
    if rows is None:
        yield from _of_structures(file, options, name)
        return
    for number, row in enumerate(rows):
        origin = f"{name}, row {number}"
        if not isinstance(row, Mapping):
            msg = f"{origin}: a row must be a record with names, not {type(row).__name__}"
            raise DataError(msg)
        if structure not in row:
            columns = ", ".join(map(str, row)) or "none"
            msg = f"{origin}: there is no column {structure!r} with structures (data.structure names it); there are {columns}"
            raise DataError(msg)
        yield Record(origin, row, row[structure], file.parent)


def _rows(file: Path, kind: str) -> list[Any] | None:
    """The rows of a table; None for JSON that is no table."""
    try:
        if kind == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_table(file).to_pylist())
        with OPENERS.get(file.suffix, open)(file, "rt", encoding="utf-8") as stream:
            text = stream.read()
        if kind == ".csv":
            csv.field_size_limit(1 << 30)  # whole structures stand in a cell
            return list(csv.DictReader(io.StringIO(text, newline="")))
        if kind == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        content = json.loads(text)
    except (OSError, EOFError, ValueError, lzma.LZMAError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0][:200]
        msg = f"{file} cannot be read: {reason}"
        raise DataError(msg) from error
    if isinstance(content, Mapping) and {"columns", "data"} <= content.keys():  # pandas' to_json(orient="split")
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    is_table = isinstance(content, list) and not any(isinstance(it, Mapping) and "sites" in it for it in content[:1])
    return content if is_table else None


def _of_structures(file: Path, options: Options, name: str) -> Iterator[Record]:
    try:
        content = read_file(file, slice(None), options)
    except (OSError, StructureError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{file} cannot be read: {reason}"
        raise DataError(msg) from error
    for number, found in enumerate(content.found):
        values: dict[str, Any] = {}
        if isinstance(found, Atoms):
            results = {} if found.calc is None else dict(getattr(found.calc, "results", {}))
            pairs = found.info.get("key_value_pairs", {})  # of ASE's databases
            values = results | (pairs if isinstance(pairs, dict) else {}) | found.info
        yield Record(f"{name}#{number}", values, found, file.parent)


def _atoms(given: Any, folder: Path) -> Atoms:
    if isinstance(given, Atoms | StructureError):
        return good(given)
    if isinstance(given, str) and given.lstrip()[:1] == "{":
        try:
            given = json.loads(given)
        except ValueError as error:
            msg = f"the structure is damaged JSON: {error}"
            raise StructureError(msg) from error
    if isinstance(given, Mapping):
        return atoms_of(given)
    if not isinstance(given, str) or not given.strip():
        msg = "there is no structure"
        raise StructureError(msg)
    if "\n" not in given.strip():
        path = folder / Path(given.strip()).expanduser()
        try:
            return read_file(path, slice(-1, None)).images[-1]
        except (StructureError, IndexError) as error:
            msg = f"{path}: {error}"
            raise StructureError(msg) from error
    with tempfile.TemporaryDirectory() as temporary:
        name = "text.cif" if "_cell_length_a" in given else "POSCAR"
        path = Path(temporary) / name
        path.write_text(given, encoding="utf-8")
        return read_file(path, slice(-1, None)).images[-1]
