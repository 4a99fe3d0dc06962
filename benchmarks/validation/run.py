"""The loop: every case of a section once, each result in a file of its own."""

import json
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator

from benchmarks.validation.cases import Case
from tribond.errors import TribondError
from tribond.files import write_json

Measure = Callable[[Case, Calculator, Path], dict[str, Any]]


def measure_all(
    cases: Iterable[Case], measure: Measure, calculator: Calculator, folder: Path, *, seconds: float = float("inf")
) -> int:
    """Measure the cases that have no result yet.

    What tribond refuses is a result: `error` has its kind and its sentence. Any other exception is kept as well, as a
    `crash` with its traceback, so that one crystal does not stop hundreds; tables count it apart.

    Args:
        cases: in the order in which they are done.
        measure: of one; its last argument is a folder for files that go with the result.
        calculator: of the potential.
        folder: of the results.
        seconds: begin no further case after this time.

    Returns:
        How many cases were measured now.
    """
    begin, done = time.monotonic(), 0
    for case in cases:
        path = folder / f"{case.name}.json"
        if path.is_file():
            continue
        if time.monotonic() - begin > seconds:
            break
        started = time.process_time()
        row: dict[str, Any] = {"reference": case.reference, "num_atoms": len(case.atoms)}
        try:
            row |= measure(case, calculator, folder)
        except TribondError as error:
            row["error"] = {"kind": type(error).__name__, "sentence": str(error)}
        except Exception as error:  # noqa: BLE001, one crystal must not stop hundreds
            row["crash"] = {"kind": type(error).__name__, "sentence": str(error), "where": traceback.format_exc()}
            print(f"{case.name} crashed: {type(error).__name__}: {error}", flush=True)
        row["cpu_seconds"] = round(time.process_time() - started, 3)
        write_json(path, row)
        done += 1
    return done


def read_results(folder: Path) -> dict[str, Any]:
    """Results by the name of their case."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
