"""Structures with the properties that a model shall learn: read, checked row by row, and split by compound."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.data.frame_table import FrameTable
from tribond.data.frames import Frame, expand, index_slice
from tribond.data.property_records import Record, read_records
from tribond.errors import DataError
from tribond.reading.content import Options
from tribond.reading.names import split_index

logger = logging.getLogger(__name__)

MOST_NAMES = 20  # of columns in a message
TRUE_AND_FALSE = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class TargetColumn:
    """Where a target stands in the data, and what may stand there."""

    key: str
    log: bool = False  # its logarithm is learnt: it must be positive
    classes: tuple[str, ...] = ()  # names of classes instead of numbers


@dataclass(frozen=True)
class StateColumns:
    """Where the state input stands."""

    keys: tuple[str, ...]
    categories: tuple[str, ...] = ()  # of the one key, if it is a category


@dataclass(frozen=True, eq=False)
class PropertyTable:
    """Structures with their properties."""

    structures: tuple[Atoms, ...]
    values: NDArray[np.float64]  # (rows, targets) in the data's units; of classes their number; NaN where missing
    states: NDArray[np.float64] | None  # (rows, keys); of categories their number
    names: tuple[str, ...]  # file, row, and id where there is one
    folds_cache: dict[int, NDArray[np.int64]]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.structures)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "PropertyTable":
        """Some of the rows."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return PropertyTable(
            tuple(self.structures[row] for row in chosen.tolist()),
            self.values[chosen],
            None if self.states is None else self.states[chosen],
            tuple(self.names[row] for row in chosen.tolist()),
            {},
        )

    def folds(self, number: int) -> NDArray[np.int64]:
        """The fold of every row: a hash of its reduced formula.  (rows,)."""
        if number not in self.folds_cache:
            self.folds_cache[number] = self.frames().fold(number, "composition")
        return self.folds_cache[number]

    def frames(self) -> FrameTable:
        """The structures alone, as a table without labels."""
        named = zip(self.structures, self.names, strict=True)
        return FrameTable.of([Frame(atoms, None, None, None, name) for atoms, name in named])


def read_property_table(
    files: Sequence[str],
    targets: Sequence[TargetColumn],
    *,
    state: StateColumns | None = None,
    structure: str = "structure",
    identity: str | None = None,
    options: Options | None = None,
    bad_rows: Literal["error", "skip"] = "error",
    folder: Path | None = None,
) -> PropertyTable:
    """Read structures with properties; rows without any of them are left out and counted.

    Args:
        files: tables or files of structures; `*` and `name@INDEX` allowed. See `read_records`.
        targets: where the properties stand.
        state: where the state input stands; every row must have it.
        structure: the column of tables with the structures.
        identity: the column with names of the rows, for messages.
        options: format of files of structures.
        bad_rows: "skip" leaves out rows that cannot be used, with a warning each.
        folder: what names of files are relative to, and shown relative to.

    Raises:
        DataError: if a file cannot be read, or naming the first row that cannot be used.
    """
    structures: list[Atoms] = []
    values: list[list[float]] = []
    states: list[list[float]] = []
    names: list[str] = []
    columns: dict[str, None] = {}
    empty = 0
    folder = folder or Path()
    for file in expand([str(folder / Path(name).expanduser()) for name in files]):
        for record in _records(file, folder, structure, options or Options()):
            columns |= dict.fromkeys(map(str, record.values))
            known = None if identity is None else record.value(identity)
            name = record.origin if known is None else f"{record.origin} ({known})"
            try:
                found = [_value(record, target, name) for target in targets]
                if all(math.isnan(value) for value in found):
                    empty += 1
                    continue
                of_state = [] if state is None else _state(record, state, name)
                atoms = _usable(record)
            except DataError as error:
                if bad_rows == "error":
                    msg = f"{error} (bad_rows: skip leaves such rows out)"
                    raise DataError(msg) from error
                logger.warning("%s; the row is left out", error)
                continue
            structures.append(atoms)
            values.append(found)
            states.append(of_state)
            names.append(name)
    if empty:
        keys = ", ".join(target.key for target in targets)
        logger.warning("%d rows have none of %s and are left out", empty, keys)
    if not structures:
        wanted, found_names = (
            ", ".join(target.key for target in targets),
            ", ".join(list(columns)[:MOST_NAMES]) or "none",
        )
        msg = f"{', '.join(files)}: no row has a structure and one of {wanted}; there are {found_names}"
        raise DataError(msg)
    return PropertyTable(
        tuple(structures),
        np.array(values, dtype=np.float64).reshape(-1, len(targets)),
        None if state is None else np.array(states, dtype=np.float64).reshape(-1, len(state.keys)),
        tuple(names),
        {},
    )


def _records(file: str, folder: Path, structure: str, options: Options) -> Iterable[Record]:
    """Those of `file`, or of `file@INDEX` the ones that are meant, named as they are counted in the whole file."""
    path, index = split_index(file)
    wanted = index_slice(file, index)
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    records = read_records(path, structure, options, name=str(shown))
    return records if index is None else list(records)[wanted]


def _usable(record: Record) -> Atoms:
    atoms = record.atoms()
    if not len(atoms):
        msg = f"{record.origin}: the structure has no atoms"
        raise DataError(msg)
    return atoms


def _value(record: Record, target: TargetColumn, name: str) -> float:
    given = record.value(target.key)
    if _is_missing(given):
        return math.nan
    if target.classes:
        return float(_class(given, target, name))
    value = _number(given, target.key, name)
    if target.log and value <= 0:
        msg = f"{name}: {target.key} is {value:g}, and the logarithm that shall be learnt wants positive numbers"
        raise DataError(msg)
    return value


def _is_missing(given: Any) -> bool:
    if given is None or (isinstance(given, str) and given.strip().lower() in {"", "nan", "none", "null", "na"}):
        return True
    return isinstance(given, float) and math.isnan(given)


def _number(given: Any, key: str, name: str) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError) as error:
        msg = f"{name}: {key} is {str(given)[:60]!r}, which is no number"
        raise DataError(msg) from error
    if not math.isfinite(value):
        msg = f"{name}: {key} is {value}, which is not finite"
        raise DataError(msg)
    return value


def _class(given: Any, target: TargetColumn, name: str) -> int:
    text = str(given).strip()
    if isinstance(given, float) and given.is_integer():
        text = str(int(given))
    plain = [str(it).lower() for it in target.classes]
    for candidate in (text.lower(), TRUE_AND_FALSE.get(text.lower())):
        if candidate in plain:
            return plain.index(candidate)
    msg = f"{name}: {target.key} is {text!r}, which is none of the classes {', '.join(target.classes)}"
    raise DataError(msg)


def _state(record: Record, state: StateColumns, name: str) -> list[float]:
    found = []
    for key in state.keys:
        given = record.value(key)
        if _is_missing(given):
            msg = f"{name}: there is no {key}, which is the state input"
            raise DataError(msg)
        if not state.categories:
            found.append(_number(given, key, name))
        elif str(given) in state.categories:
            found.append(float(state.categories.index(str(given))))
        else:
            msg = f"{name}: {key} is {str(given)[:60]!r}, which is none of {', '.join(state.categories)}"
            raise DataError(msg)
    return found
