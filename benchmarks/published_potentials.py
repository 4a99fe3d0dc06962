"""Errors of all published potentials on the same structures, as one page: docs/published_potentials.md.

    python benchmarks/published_potentials.py evaluate DATA... --output RUNS     # tribond evaluate, a model at a time
    python benchmarks/published_potentials.py write RUNS                         # the page

`evaluate` takes the potential that comes with tribond and every published one whose files are there (`tribond models
get NAME`) and which knows all elements of the data; what has been evaluated is not evaluated again. The energies of
every file are compared as they are and after the shift of the elements' energies that fits it best.
"""

import argparse
import json
import subprocess
import sys
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


def write(runs: Path) -> None:
    """Make the page from the summaries."""
    summaries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.glob("*/summary.json"))]
    if not summaries:
        sys.exit(f"{runs} holds no summary.json; run `evaluate` first")
    order = [DEFAULT, *catalogue()]
    summaries.sort(key=lambda summary: order.index(summary["model"]["name"]))
    files = [Path(report["name"]).name for report in summaries[0]["reports"]]
    for summary in summaries:  # the same frames, or the table compares nothing
        if [report["frames"] for report in summary["reports"]] != [r["frames"] for r in summaries[0]["reports"]]:
            sys.exit(f"{summary['model']['name']} was evaluated on other frames than {summaries[0]['model']['name']}")
    lines = [
        "# Published potentials on the same structures",
        "",
        "Written by `python benchmarks/published_potentials.py write`, from what `tribond evaluate` measured; its",
        "definitions are in [evaluation.md](evaluation.md). Mean absolute errors in float32, all frames of every file.",
        "Energies *shifted* are compared after adding to every element the constant that fits the file best: it takes out",
        "another zero of energy. The labels are PBE(+U) as the Materials Project computes it; the MatPES potentials predict",
        "another level of theory, PBE without U or r2SCAN, and are not wrong where they differ.",
        "",
        f"**{DEFAULT} was trained on nine tenths of these frames**, and the weights of the Materials Project on some of those",
        "of MPtrj: only the errors on other data compare potentials. Those of the built-in one are in its",
        "[model card](model_card.md).",
        "",
    ]
    for number, file in enumerate(files):
        frames = summaries[0]["reports"][number]["frames"]
        lines += [f"## {file.partition('.')[0]}, {frames} frames", ""]
        units = [f"{quantity}, {unit}" for quantity, _, unit, _ in QUANTITIES]
        lines += [f"| potential | {' | '.join(units)} |", "|---|" + "---:|" * len(QUANTITIES)]
        for summary in summaries:
            numbers = " | ".join(_cell(summary["reports"][number], key, digits) for _, key, _, digits in QUANTITIES)
            lines.append(f"| {summary['model']['name']} | {numbers} |")
        lines.append("")
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {PAGE}")


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
    verbs.add_parser("write").add_argument("runs", type=Path, metavar="RUNS")
    given = parser.parse_args()
    if given.verb == "evaluate":
        evaluate(given.data, given.output)
    else:
        write(given.runs)


if __name__ == "__main__":
    main()
