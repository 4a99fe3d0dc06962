"""Errors of published potentials on the same structures, as one page: docs/published_potentials.md.

    python recipes/built_in/write_validation.py DATA HELD_OUT                     # frames tribond-mp-2 was not trained on
    python benchmarks/published_potentials.py evaluate HELD_OUT/* --output RUNS_HELD_OUT
    python benchmarks/published_potentials.py evaluate DATA/* --output RUNS       # tribond evaluate, a model at a time
    python benchmarks/published_potentials.py write RUNS_HELD_OUT RUNS            # the page

`evaluate` takes the potential that comes with tribond and every published one whose files are there (`tribond models
get NAME`) and that knows nearly all elements; what has been evaluated is not evaluated again. The energies of every file
are compared as they are and after the shift of the elements' energies that fits it best.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tribond.checkpoints.catalogue import catalogue
from tribond.checkpoints.registry import DEFAULT, is_downloaded

PAGE = Path(__file__).parent.parent / "docs" / "published_potentials.md"
FEWEST_ELEMENTS = 80  # a potential of fewer sees another selection of the frames
QUANTITIES = (
    ("energy", "energy_errors_meV_per_atom", "meV/atom", 0),
    ("energy, shifted", "energy_shifted_errors_meV_per_atom", "meV/atom", 0),
    ("forces", "forces_errors_meV_per_A", "meV/Å", 0),
    ("stress", "stress_errors_GPa", "GPa", 2),
)


def evaluate(data: list[str], output: Path) -> None:
    """Run `tribond evaluate` for every potential that is there."""
    published = [
        entry.name
        for entry in catalogue().values()
        if entry.kind == "potential" and entry.num_elements >= FEWEST_ELEMENTS and is_downloaded(entry)
    ]
    for name in [DEFAULT, *published]:
        folder = output / name
        if (folder / "summary.json").is_file():
            print(f"{name}: there already")
            continue
        print(f"{name} ...", flush=True)
        command = [
            sys.executable,
            "-m",
            "tribond.cli.main",
            "evaluate",
            name,
            *data,
            "--output",
            str(folder),
            "--quiet",
        ]
        subprocess.run(command, check=True)


ABOUT = {
    "alexandria-random-1k": "relaxed crystals of Alexandria",
    "mpf-TP": "crystals of the Materials Project at up to 5000 K and 1000 GPa",
    "mpf-alkali-TP": "such of alkali metals",
    "mptrj-highest-stress-1k": "the frames of MPtrj, relaxations of the Materials Project, with the highest stress",
    "mptrj-random-1k": "frames of MPtrj chosen at random",
    "random-TP": "random structures at up to 5000 K and 1000 GPa",
}
INTRODUCTION = """# Published potentials on the same structures

Written by `python benchmarks/published_potentials.py`, from what `tribond evaluate` measured; definitions are in
[evaluation.md](evaluation.md). Mean absolute errors in float32 over benchmark files of microsoft/mattersim (MIT), labels
PBE(+U) as the Materials Project computes it.

- *Shifted* energies are compared after adding to every element the constant that fits the file best: it takes out
  another zero of energy. Total energies of two functionals differ by several eV per atom, so for the r2SCAN potential
  the shifted energy alone means something.
- The MatPES potentials predict another level of theory, PBE without U or r2SCAN, and are not wrong where they differ.
- The potentials of the Materials Project may have been trained on frames of the MPtrj files.
- Absent: potentials of a few elements (NaBH, ANI-1x, lithium), and those whose weights were not at hand (DIRECT, MatGL ≥ 3,
  MatterSim; MatterSim's own numbers are in its model card).

"""


def write(held_out: Path, everything: Path) -> None:
    """Make the page from the summaries of both runs."""
    lines = [INTRODUCTION.rstrip() + "\n", "## Compounds that tribond-mp-2 was not trained on\n"]
    lines += ["Too few frames to fit a shift for every element.\n"]
    lines += _tables(held_out, [DEFAULT, *catalogue()], [it for it in QUANTITIES if "shifted" not in it[0]])
    lines += ["## All frames\n", f"Without {DEFAULT}, which was trained on most of them.\n"]
    lines += _tables(everything, list(catalogue()), QUANTITIES)
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {PAGE}")


def _tables(runs: Path, order: list[str], quantities: Sequence[tuple[str, str, str, int]]) -> list[str]:
    """One table a file of data, the potentials in this order."""
    summaries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("*/summary.json"))]
    summaries = [summary for summary in summaries if summary["model"]["name"] in order]
    if not summaries:
        sys.exit(f"{runs} holds no summary.json; run `evaluate` first")
    summaries.sort(key=lambda summary: order.index(summary["model"]["name"]))
    lines = []
    for number, first in enumerate(summaries[0]["reports"]):
        if any(summary["reports"][number]["frames"] != first["frames"] for summary in summaries):
            sys.exit(f"{first['name']}: not all potentials were evaluated on the same frames")
        file = Path(first["name"]).name.partition(".")[0]
        lines += [f"**{file}**: {ABOUT.get(file, 'frames')}, {first['frames']} of them", ""]
        units = [f"{quantity}, {unit}" for quantity, _, unit, _ in quantities]
        lines += [f"| potential | {' | '.join(units)} |", "|---|" + "---:|" * len(quantities)]
        for summary in summaries:
            numbers = " | ".join(_cell(summary["reports"][number], key, digits) for _, key, _, digits in quantities)
            lines.append(f"| {summary['model']['name']} | {numbers} |")
        lines.append("")
    return lines


def _cell(report: dict[str, Any], key: str, digits: int) -> str:
    errors = report[key]
    return "" if errors is None else f"{errors['mae']:.{digits}f}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    first = verbs.add_parser("evaluate")
    first.add_argument("data", nargs="+", metavar="DATA")
    first.add_argument("--output", type=Path, required=True, metavar="RUNS")
    second = verbs.add_parser("write")
    second.add_argument("held_out", type=Path, metavar="RUNS_HELD_OUT")
    second.add_argument("everything", type=Path, metavar="RUNS")
    given = parser.parse_args()
    if given.verb == "evaluate":
        evaluate(given.data, given.output)
    else:
        write(given.held_out, given.everything)


if __name__ == "__main__":
    main()
