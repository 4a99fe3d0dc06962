"""Tables as CSV or Parquet: names with their units, then numbers with all their digits."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.errors import DataError
from tribond.files import atomic_path, write_atomically
from tribond.results.schema import SCHEMA, Column

ROW_ENDINGS = (".csv", ".parquet")


def write_csv(path: Path, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write columns of one length.

    Args:
        path: of the file, which is replaced as a whole.
        columns: values by name; the name ends with the unit, such as energy_eV. None and NaN are left empty.

    Raises:
        ValueError: for columns of different lengths.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    write_atomically(path, buffer.getvalue().encode())


def write_rows(
    path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], about: Mapping[str, Any]
) -> None:
    """Write one line a structure, as CSV or Parquet by the ending of the file.

    Args:
        path: of the file, which is replaced as a whole.
        rows: values by the name of their column; what is missing is left empty.
        columns: all of them, in order.
        about: where the numbers come from; Parquet keeps it with the number of the schema under "tribond".

    Raises:
        ImportError: for Parquet without pyarrow.
    """
    if path.suffix == ".csv":
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(column.name for column in columns)
            writer.writerows([cell(row.get(column.name)) for column in columns] for row in rows)
        return
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    fields = [pa.field(it.name, kinds[it.kind], metadata={"meaning": it.meaning}) for it in columns]
    schema = pa.schema(fields, metadata={"tribond": json.dumps({"schema": SCHEMA, **about})})
    names = [column.name for column in columns]
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], schema=schema)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def cell(value: Any) -> str:
    """A value as it stands in a table: floats so that they are read back to the same bit."""
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)


def read_csv(path: Path) -> dict[str, NDArray[np.float64]]:
    """The numbers of a table by column; empty ones are NaN.

    Raises:
        DataError: if there is no line of names, or something else than numbers.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    try:
        values = [[float(text) if text else np.nan for text in row] for row in rows[1:]]
        table = np.array(values, dtype=np.float64).reshape(len(values), len(rows[0]))
    except (ValueError, IndexError) as error:
        raise DataError(f"{path} is no table of numbers: {error}") from error
    return dict(zip(rows[0], table.T, strict=True))
