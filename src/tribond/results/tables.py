"""Tables as CSV: one line of names with their units, then numbers with all their digits."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.errors import DataError
from tribond.files import write_atomically


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
