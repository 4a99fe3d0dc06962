"""The results of all shards as one table and one file of structures, shard by shard: memory stays flat."""

import heapq
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow import parquet

from tribond.files import atomic_path
from tribond.results.schema import SCHEMA
from tribond.screening.columns import OK, best_by
from tribond.screening.packing import schema, unpack
from tribond.screening.plan import Plan
from tribond.screening.shard import BEST, Summary, read_summary


@dataclass
class Tally:
    """What has come so far.

    Attributes:
        counts: rows by status.
        failures: failed rows by kind.
        best: value, number, label and formula of the best that are kept, the best first.
        seconds: of one core.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    best: list[list[Any]] = field(default_factory=list)
    seconds: float = 0.0
    sign: int = 1

    def add(self, shard: Summary) -> None:
        """A shard is done."""
        self.counts.update(shard.counts)
        self.failures.update(shard.failures)
        self.seconds += shard.seconds
        merged = heapq.merge(self.best, shard.best, key=lambda it: (self.sign * it[0], it[1]))
        self.best = [it for _, it in zip(range(BEST), merged, strict=False)]

    @property
    def rows(self) -> int:
        """Structures."""
        return self.counts.total()


def tally(plan: Plan) -> Tally:
    """An empty one, which ranks as the plan does."""
    by = best_by(plan.settings.steps, plan.settings.rank_by)
    return Tally(sign=-1 if by is not None and by.startswith("-") else 1)


def tally_of(plan: Plan) -> Tally:
    """Of all shards that are there."""
    found = tally(plan)
    for number in range(len(plan.sizes)):
        if plan.shard(number).exists():
            found.add(read_summary(plan.shard(number)))
    return found


def write_results(plan: Plan, path: Path, about: Mapping[str, Any]) -> None:
    """One row a structure, in the order of the shards.

    Args:
        plan: all of whose shards are there.
        path: of the table, Parquet.
        about: where the numbers come from; stands in the table under "tribond".
    """
    column = plan.settings.structures == "column"
    of = schema(plan.columns, {"tribond": json.dumps({"schema": SCHEMA, **about})}, structures=column)
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, of, compression="zstd") as writer:
        for number in range(len(plan.sizes)):
            rows = parquet.read_table(plan.shard(number), columns=of.names)
            writer.write_table(rows.replace_schema_metadata(of.metadata).cast(of))


def write_structures(plan: Plan, path: Path) -> int:
    """All structures that are kept, as they are at the end, as extended XYZ with the numbers of their rows.

    Returns:
        How many.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz

    names = [it.name for it in plan.columns if it.name not in {"status", "step", "failure", "error"}]
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number in range(len(plan.sizes)):
            for row in parquet.read_table(plan.shard(number)).to_pylist():
                atoms = unpack(row) if row["status"] == OK else None
                if atoms is None:
                    continue
                if row.get("energy_eV") is not None:
                    atoms.calc = SinglePointCalculator(atoms, energy=row["energy_eV"])
                atoms.info.update({name: row[name] for name in names if row[name] is not None})
                write_extxyz(file, [atoms])
                count += 1
    return count
