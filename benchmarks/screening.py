"""Memory and overhead of `tribond screen` at many rows, with a potential that costs nothing.

    python benchmarks/screening.py --rows 1000000

Half-Heusler crystals with other elements, made as they are read: plan, shards, journals, results. All in one process, so that its peak of memory is that
of the process which hands out the work and of one that does it, together.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from tribond.screening import plan as plans
from tribond.screening import works
from tribond.screening.engines import Local, run
from tribond.screening.gather import tally_of, write_results
from tribond.screening.settings import Settings, Source
from tribond.screening.substitution import substituted
from tribond.screening.works import Computed, Model


class Free(works.Predict):
    """A potential that costs nothing."""

    def __call__(self, structures: tuple[Atoms, ...]) -> list[Computed]:
        """Some number for each."""
        return [
            Computed(
                {
                    "status": "ok",
                    "energy_eV": -float(np.sum(it.numbers)),
                    "energy_eV_per_atom": -float(np.mean(it.numbers)),
                    "max_force_eV_per_A": 0.0,
                    "volume_A3": float(it.get_volume()),
                    "seconds": 0.0,
                },
                it,
            )
            for it in structures
        ]


def structures(rows: int) -> Iterator[tuple[str, Atoms]]:
    """Half-Heusler crystals, so many."""
    elements = int(np.ceil(rows ** (1 / 3))) + 2
    symbols = chemical_symbols[1 : elements + 1]
    source = Source(
        prototypes=["MgAgAs"],
        substitute={"Mg": symbols, "Ag": symbols, "As": symbols},
        charge_balance=False,
        same_element=True,
    )
    cell = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 3.12
    prototype = Atoms("MgAgAs", scaled_positions=[[0.5] * 3, [0.25] * 3, [0] * 3], cell=cell, pbc=True)
    for number, it in enumerate(substituted("MgAgAs", prototype, source)):
        if number == rows:
            return
        yield it


def peak_megabytes() -> float:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def measure(rows: int, folder: Path, *, sort: bool) -> dict[str, float]:
    """Screen so many crystals, and say what it took beside the potential.

    Args:
        rows: how many.
        folder: an empty one.
        sort: plan alone, and with `deduplicate`, for which structures are sorted by composition.
    """
    works.Predict = Free
    steps = ["deduplicate"] if sort else ["predict", {"filter": "energy_eV_per_atom < 0"}]
    settings = Settings.model_validate({"sources": [{"files": "x"}], "steps": steps, "shard_size": 1000})
    before, start = peak_megabytes(), time.process_time()
    made = plans.make(folder, settings, Model("none"), structures(rows))
    planned = time.process_time()
    planned_MB = peak_megabytes()
    if sort:
        seconds = planned - start
        return {
            "rows": rows,
            "plan_us_per_row": 1e6 * seconds / rows,
            "peak_MB_at_start": before,
            "peak_MB": planned_MB,
        }
    for _ in run(made, Local(0), range(len(made.sizes))):
        pass
    computed = time.process_time()
    write_results(made, folder / "results.parquet", {})
    gathered = time.process_time()
    found = tally_of(made)
    if not found.rows == found.counts["kept"] == rows:
        msg = f"{rows} rows were screened, and {found.counts} came out"
        raise RuntimeError(msg)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "rows": rows,
        "plan_us_per_row": 1e6 * (planned - start) / rows,
        "shards_us_per_row": 1e6 * (computed - planned) / rows,
        "results_us_per_row": 1e6 * (gathered - computed) / rows,
        "peak_MB_at_start": before,
        "peak_MB_after_plan": planned_MB,
        "peak_MB": peak_megabytes(),
        "disk_bytes_per_row": size / rows,
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files go [default: a temporary folder]")
    parser.add_argument("--sort", action="store_true", help="measure only the plan, with deduplicate")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print(json.dumps(measure(arguments.rows, Path(folder) / "out", sort=arguments.sort), indent=1))


if __name__ == "__main__":
    main()
