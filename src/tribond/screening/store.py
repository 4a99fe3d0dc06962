"""What has been computed so far, in one SQLite file of ASE's: rows with their structures, whole after a crash.

    ase db results.db status=converged --sort energy_eV_per_atom

reads it, too. Rows are written in transactions of about a second, so that a crash costs a second of work and no row.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from numpy.typing import NDArray

from tribond.errors import ConfigError

COMMIT_S = 1.0  # a synchronised write to disk takes 20 ms, a row in a transaction 0.4 ms


class Store:
    """Rows by key.

    Args:
        path: of the file; made if missing.

    Raises:
        ConfigError: if the file is something else, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # ASE's lock is a file that a killed process leaves, and then everybody waits for ever; folders have their own lock.
        self._database = connect(str(path), type="db", append=True, use_lock_file=False)
        self._open = False
        self._opened = 0.0
        self._keys: dict[str, int] = {}  # key -> id of the database
        try:
            for row in self._database.select(columns=["id", "key_value_pairs"], include_data=False):
                self._keys[row.key_value_pairs["key"]] = row.id
        except Exception as error:
            msg = f"{path} holds no results of tribond, or is damaged ({error}); choose another folder or remove it"
            raise ConfigError(msg) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, row: dict[str, Any], atoms: Atoms, arrays: Mapping[str, NDArray[np.float64]] | None = None) -> None:
        """Keep one row, in the place of one with its key; it is on disk after the next commit, which comes by itself.

        Args:
            row: columns of `results.schema`; None where there is nothing.
            atoms: the structure with its results.
            arrays: of numbers that are neither.
        """
        if not self._open:
            self._database.__enter__()
            self._open, self._opened = True, time.monotonic()
        bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        if atoms.calc is not None:  # ASE would drop the results of atoms with magnetic moments, which these have not
            bare.calc = SinglePointCalculator(bare, **atoms.calc.results)
        words = {name: row[name] for name in ("key", "status") if row.get(name)}
        number = self._database.write(
            bare, key_value_pairs=words, data={"row": row, **(arrays or {})}, id=self._keys.get(row["key"])
        )
        self._keys[row["key"]] = number
        if time.monotonic() - self._opened > COMMIT_S:
            self.commit()

    def commit(self) -> None:
        """Write to disk what is not there yet."""
        if self._open:
            self._open = False
            self._database.__exit__(None, None, None)

    def get(self, key: str) -> tuple[dict[str, Any], Atoms]:
        """The row of a key, and its structure with energy, forces and stress."""
        found = self._database.get(id=self._keys[key])
        return found.data["row"], found.toatoms()

    def array(self, key: str, name: str) -> NDArray[np.float64]:
        """One of the arrays that came with a row."""
        return np.asarray(self._database.get(id=self._keys[key]).data[name])

    def by_key(self) -> dict[str, dict[str, Any]]:
        """All rows by their keys: one look at the file, where `get` takes one each."""
        return {row["key"]: row for row in self.rows()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, in the order in which they were computed."""
        for found in self._database.select(columns=["id", "data"]):
            yield found.data["row"]
