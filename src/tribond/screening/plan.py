"""The plan of a screening: settings, and the structures of all sources cut into numbered shards. Written once.

    out/plan.json              settings, model, how many structures each shard has
    out/inputs/000123.parquet  the structures of a shard
    out/shards/000123.parquet  its results
    out/working/000123.jsonl   what is done of a shard under way

Each shard can be computed by any process on any machine that sees the folder.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from tribond.errors import ConfigError
from tribond.files import atomic_path, write_json
from tribond.results.record import fingerprint
from tribond.results.schema import Column
from tribond.screening.columns import START, columns
from tribond.screening.packing import pack, reduced_formula, schema, table, unpack
from tribond.screening.settings import Settings
from tribond.screening.sources import Labelled
from tribond.screening.works import Model

FORMAT = 1
# Shards are small at first, so that a few hundred structures keep all cores busy, and a million make no million files.
SMALLEST, LARGEST, STEADY = 5, 200, 16  # structures; doubled after so many shards
PLAN, INPUTS, SHARDS, WORKING = "plan.json", "inputs", "shards", "working"
SORT_MEMORY = "512MB"  # of the sort by composition; beyond it the disk is used
INPUT = (
    *(it for it in START if it.name in {"number", "label", "key", "error", "formula", "reduced_formula", "num_atoms"}),
)


@dataclass(frozen=True)
class Plan:
    """What is to be done, and where.

    Attributes:
        folder: of the screening, or of its references.
        settings: all of them.
        model: as the processes load it.
        sizes: structures in each shard.
    """

    folder: Path
    settings: Settings
    model: Model
    sizes: tuple[int, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the results."""
        return columns(self.settings.steps)

    @property
    def total(self) -> int:
        """Structures."""
        return sum(self.sizes)

    def input(self, number: int) -> Path:
        """The structures of a shard."""
        return self.folder / INPUTS / f"{number:06d}.parquet"

    def shard(self, number: int) -> Path:
        """The results of a shard."""
        return self.folder / SHARDS / f"{number:06d}.parquet"

    def journal(self, number: int) -> Path:
        """What is done of a shard under way."""
        return self.folder / WORKING / f"{number:06d}.jsonl"

    def missing(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Shards that are not computed."""
        return [it for it in (range(len(self.sizes)) if numbers is None else numbers) if not self.shard(it).exists()]

    @property
    def references(self) -> Path:
        """The folder of the references, which are a screening of their own, and of their energies."""
        return self.folder / "references"


def load(folder: Path | str) -> Plan:
    """The plan that a folder holds.

    Raises:
        ConfigError: if there is none, or it is another program's.
    """
    path = Path(folder) / PLAN
    try:
        return _load(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no plan of a screening") from None


@lru_cache(maxsize=4)
def _load(path: Path, _changed: int) -> Plan:
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise ConfigError(f"{path} was written by another version of tribond; screen into another folder")
    return Plan(
        path.parent,
        Settings.model_validate(content["settings"]),
        Model(**content["model"]),
        tuple(content["sizes"]),
    )


def make(folder: Path, settings: Settings, model: Model, structures: Iterable[Labelled]) -> Plan:
    """Cut structures into shards, and write the plan. What a call that was killed left of it is made anew.

    Args:
        folder: of the screening.
        settings: all of them.
        model: of the potential.
        structures: of all sources.

    Raises:
        ConfigError: if there are none.
    """
    inputs = folder / INPUTS
    temporary = folder / ".planning"
    for left in (temporary, inputs):  # without a plan, neither is whole
        shutil.rmtree(left, ignore_errors=True)
    temporary.mkdir(parents=True)
    of = schema(INPUT, structures=True)
    together = any(step.kind == "deduplicate" for step in settings.steps)
    sizes: list[int] = []
    rows = _rows(structures)
    if together:
        rows = _by_composition(rows, temporary / "unsorted.parquet", of)
    for shard in _cut(rows, settings.shard_size, together=together):
        parquet.write_table(table(shard, of), temporary / f"{len(sizes):06d}.parquet", compression="zstd")
        sizes.append(len(shard))
    if not sizes:
        raise ConfigError("the sources hold no structure; look at `sources`")
    temporary.rename(inputs)
    write_json(
        folder / PLAN,
        {
            "format": FORMAT,
            "settings": settings.model_dump(mode="json"),
            "model": {"name": model.name, "dtype": model.dtype, "device": model.device},
            "sizes": sizes,
        },
    )
    return load(folder)


def _rows(structures: Iterable[Labelled]) -> Iterator[dict[str, Any]]:
    for number, (label, it) in enumerate(structures):
        row: dict[str, Any] = {"number": number, "label": label}
        if isinstance(it, str):
            yield row | pack(None) | {"error": it, "reduced_formula": ""}
            continue
        yield (
            row
            | pack(it)
            | {
                "key": fingerprint(it),
                "formula": it.get_chemical_formula(),
                "reduced_formula": reduced_formula(it),
                "num_atoms": len(it),
            }
        )


def _cut(rows: Iterable[dict[str, Any]], wanted: int | None, *, together: bool) -> Iterator[list[dict[str, Any]]]:
    """Lists of about so many rows; those of one composition are not parted where they come together."""
    shard: list[dict[str, Any]] = []
    count = 0
    for row in rows:
        whole = not together or not shard or row["reduced_formula"] != shard[-1]["reduced_formula"]
        if len(shard) >= (wanted or min(LARGEST, SMALLEST << (count // STEADY))) and whole:
            yield shard
            shard = []
            count += 1
        shard.append(row)
    if shard:
        yield shard


def _by_composition(rows: Iterable[dict[str, Any]], path: Path, of: pa.Schema) -> Iterator[dict[str, Any]]:
    """The rows sorted by composition, then as they came; by the disk, not in memory."""
    import duckdb

    batch: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, of, compression="zstd") as writer:
        for row in rows:
            batch.append(row)
            if len(batch) == 1000:
                writer.write_table(table(batch, of))
                batch = []
        if batch:
            writer.write_table(table(batch, of))
    target = path.with_name("sorted.parquet")
    with duckdb.connect(config={"threads": 1, "memory_limit": SORT_MEMORY, "temp_directory": str(path.parent)}) as sort:
        given, sorted_ = (str(it).replace("'", "''") for it in (path, target))
        # DuckDB reads the file itself: what pyarrow would read ahead for it counts to no limit.
        sort.execute(
            f"copy (select * from read_parquet('{given}') order by reduced_formula, number) to '{sorted_}' "  # noqa: S608, paths of ours
            "(format parquet, compression zstd, row_group_size 2048)"
        )
    path.unlink()
    with parquet.ParquetFile(target) as file:
        for some in file.iter_batches(batch_size=1000):
            yield from some.to_pylist()
    target.unlink()


def read_input(path: Path) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows and structures of a shard as they came in."""
    rows, structures = [], []
    for row in parquet.read_table(path).to_pylist():
        structures.append(unpack(row))
        rows.append({it.name: row[it.name] for it in INPUT})
    return rows, structures


def write_table(path: Path, rows: Sequence[dict[str, Any]], of: pa.Schema) -> None:
    """A table, whole or not at all."""
    with atomic_path(path) as temporary:
        parquet.write_table(table(rows, of), temporary, compression="zstd")
