"""Potentials against DFT and experiment, through the functions that tribond's users call: docs/validation.md.

    python -m benchmarks.validation run default --data DATASETS --output VALIDATED          # all sections
    python -m benchmarks.validation run MODEL --data DATASETS --only moduli --every 4       # every 4th crystal
    python -m benchmarks.validation table VALIDATED/MODEL ...                               # Markdown, side by side
    python -m benchmarks.validation figures docs/images VALIDATED/MODEL ...

MODEL is whatever `tribond.load` takes. DATASETS holds prop_dcdft/dcdft.json (ase.collections.dcdft) and properties/*.json.gz
(benchmark_data of materialsvirtuallab/matcalc). Each crystal leaves VALIDATED/MODEL/SECTION/NAME.json: the same command goes
on where one was stopped. Tables compare the crystals that all of the models have been tried on.
"""

import argparse
import time
from pathlib import Path

import torch

import tribond
from benchmarks.validation import bands, cases, lithium, sections
from benchmarks.validation.run import measure_all

SECTIONS = {  # where the cases come from, what is measured of each, and in which precision
    "elements": (cases.elements, sections.measure_element, "float64"),
    "moduli": (cases.moduli, sections.measure_moduli, "float64"),
    "heat_capacity": (cases.heat_capacities, sections.measure_heat_capacity, "float64"),
    "bands": (lambda _: bands.crystals(), sections.measure_bands, "float64"),
    "lithium": (lambda _: lithium.runs(), lithium.measure, "float32"),  # noise of 1e-5 eV/Å means nothing to dynamics
}


def run(given: argparse.Namespace) -> None:
    """Measure what is not there yet."""
    torch.set_num_threads(given.threads)
    name = given.name or Path(given.model).name.removesuffix(".safetensors")
    for section in given.only:
        read, measure, dtype = SECTIONS[section]
        calculator = tribond.Calculator(tribond.load_potential(given.model, dtype=dtype, device="cpu"))
        chosen = list(cases.spread(read(given.data)[:: given.every]))
        begin = time.monotonic()
        folder = given.output / name / section
        done = measure_all(chosen, measure, calculator, folder, seconds=given.seconds)
        print(
            f"{name}, {section}: {done} of {len(chosen)} now, {time.monotonic() - begin:.0f} s -> {folder}", flush=True
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.validation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run")
    runs.add_argument("model")
    runs.add_argument("--data", type=Path, required=True)
    runs.add_argument("--output", type=Path, default=Path("validated"))
    runs.add_argument("--name", help="of the folder of results; that of the model if left out")
    runs.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    runs.add_argument("--every", type=int, default=1, help="take only every Nth crystal of the file")
    runs.add_argument("--seconds", type=float, default=float("inf"), help="of a section, after which no crystal begins")
    runs.add_argument("--threads", type=int, default=1)
    shows = verbs.add_parser("table")
    shows.add_argument("measured", type=Path, nargs="+")
    draws = verbs.add_parser("figures")
    draws.add_argument("images", type=Path)
    draws.add_argument("measured", type=Path, nargs="+")
    given = parser.parse_args()
    if given.verb == "run":
        run(given)
    elif given.verb == "table":
        from benchmarks.validation import tables

        print(tables.markdown(given.measured))
    else:
        from benchmarks.validation import figures

        figures.draw_all(given.measured, given.images)


if __name__ == "__main__":
    main()
