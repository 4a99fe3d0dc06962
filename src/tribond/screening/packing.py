"""Structures as columns of Arrow tables, to the last bit; and tables of rows with their structures."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.constraints import dict2constraint

from tribond.results.schema import Column

KINDS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
STRUCTURE = (
    pa.field("numbers", pa.list_(pa.int16()), metadata={"meaning": "atomic numbers"}),
    pa.field("positions_A", pa.list_(pa.float64()), metadata={"meaning": "x y z of each atom in turn"}),
    pa.field("cell_A", pa.list_(pa.float64()), metadata={"meaning": "three lattice vectors in turn"}),
    pa.field("pbc", pa.list_(pa.bool_()), metadata={"meaning": "which axes are periodic"}),
    pa.field("constraints", pa.string(), metadata={"meaning": "of ASE, as JSON"}),
)
STRUCTURE_NAMES = tuple(field.name for field in STRUCTURE)


def pack(atoms: Atoms | None) -> dict[str, Any]:
    """A structure as values of the columns; None where there is none."""
    if atoms is None:
        return dict.fromkeys(STRUCTURE_NAMES)
    constraints = [constraint.todict() for constraint in atoms.constraints]
    return {
        "numbers": atoms.numbers,
        "positions_A": atoms.positions.ravel(),
        "cell_A": atoms.cell.array.ravel(),
        "pbc": atoms.pbc,
        "constraints": json.dumps(constraints, default=_plain) if constraints else None,
    }


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def unpack(row: Mapping[str, Any]) -> Atoms | None:
    """The structure of a row."""
    if row["numbers"] is None:
        return None
    atoms = Atoms(
        numbers=np.asarray(row["numbers"], dtype=np.int64),
        positions=np.asarray(row["positions_A"], dtype=np.float64).reshape(-1, 3),
        cell=np.asarray(row["cell_A"], dtype=np.float64).reshape(3, 3),
        pbc=np.asarray(row["pbc"], dtype=bool),
    )
    if row["constraints"] is not None:
        atoms.set_constraint([dict2constraint(it) for it in json.loads(row["constraints"])])
    return atoms


def schema(columns: Sequence[Column], metadata: Mapping[str, str] | None = None, *, structures: bool) -> pa.Schema:
    """Of a table.

    Args:
        columns: of its rows.
        metadata: of the table.
        structures: whether their columns are behind.
    """
    fields = [pa.field(it.name, KINDS[it.kind], metadata={"meaning": it.meaning}) for it in columns]
    return pa.schema([*fields, *(STRUCTURE if structures else ())], metadata=dict(metadata or {}))


def table(rows: Sequence[Mapping[str, Any]], of: pa.Schema) -> pa.Table:
    """A table of rows; what is missing in a row is empty. NaN is empty, too: nothing is known there."""
    columns = [
        pa.array((row.get(field.name) for row in rows), type=field.type, from_pandas=field.type == pa.float64())
        for field in of
    ]
    return pa.Table.from_arrays(columns, schema=of)


def reduced_formula(atoms: Atoms) -> str:
    """The same for all cells of one composition; an element's is its symbol."""
    return str(atoms.symbols.formula.reduce()[0].format("hill"))
