"""Put a potential through everything that the model card shows.

    python recipes/built_in/measure run MODEL --data DATASETS --output MEASURED        # all sections, or --only SECTION ...
    python recipes/built_in/measure table MEASURED/MODEL ...                           # their tables, side by side
    python recipes/built_in/measure curves PICTURE RUN ...                             # how a training went

MODEL is whatever `tribond.load` takes. DATASETS is the folder of DFT data that the recipe's README describes. Each section
leaves MEASURED/MODEL/SECTION.json; one that is there is not measured again.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[1]))  # the recipe's split

import bulk_moduli
import crystals
import curves
import dimers
import dynamics
import frames
import tables
import wbm

from tribond.files import write_atomically

SECTIONS: dict[str, Callable[[str, Path], Any]] = {
    "frames": frames.measure,
    "elements": crystals.measure_elements,
    "textbook": crystals.measure_textbook,
    "moduli": bulk_moduli.measure,
    "wbm": wbm.measure,
    "dimers": lambda model, _: dimers.measure(model),
    "conservation": lambda model, _: dynamics.measure_conservation(model),
    "melts": lambda model, _: dynamics.measure_melts(model),
    "solids": lambda model, _: dynamics.measure_solids(model),
}


def run(model: str, data: Path, output: Path, sections: list[str]) -> None:
    """Measure what is not there yet."""
    folder = output / Path(model).name.removesuffix(".safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        file = folder / f"{section}.json"
        if file.is_file():
            print(f"{section}: there already")
            continue
        begin = time.monotonic()
        found = SECTIONS[section](model, data)
        write_atomically(file, json.dumps(found, indent=1).encode())
        print(f"{section}: {time.monotonic() - begin:.0f} s -> {file}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run")
    runs.add_argument("model")
    runs.add_argument("--data", type=Path, required=True)
    runs.add_argument("--output", type=Path, default=Path("measured"))
    runs.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    runs.add_argument("--threads", type=int)
    shows = verbs.add_parser("table")
    shows.add_argument("measured", type=Path, nargs="+")
    draws = verbs.add_parser("curves")
    draws.add_argument("picture", type=Path)
    draws.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.verb == "curves":
        curves.draw(arguments.runs, arguments.picture)
        return
    if arguments.verb == "table":
        print(tables.markdown(arguments.measured))
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    run(arguments.model, arguments.data, arguments.output, arguments.only)


main()
