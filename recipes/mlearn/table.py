"""Errors of trained models, element by element and seed by seed, as a table in Markdown.

    python recipes/mlearn/table.py runs/mlearn recipes/mlearn/data validation
    python recipes/mlearn/table.py runs/mlearn DATASETS test

The first folder holds the runs that `run.py` wrote; the second one `Si_validation.extxyz`, or `Si_test.extxyz.gz` and so on. The
test set is for one final number: choose nothing by it. Errors are means of |error|, of energies over structures (meV/atom) and
of forces over components (meV/Å). With several seeds: their mean, and the standard deviation between them.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from ase.io import read

import tribond
from tribond.checkpoints.native import read_header


def errors(model: Path, file: Path) -> tuple[float, float]:
    """Of a model on a file, meV/atom and meV/Å."""
    frames = read(file, ":")
    predictions = tribond.load_potential(model, device="cpu").predict(frames)
    pairs = list(zip(frames, predictions, strict=True))
    energy = np.mean([abs(it.energy - atoms.get_potential_energy()) / len(atoms) for atoms, it in pairs])
    forces = np.mean(np.abs(np.concatenate([(it.forces - atoms.get_forces()).ravel() for atoms, it in pairs])))
    return 1000 * float(energy), 1000 * float(forces)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("part", choices=["validation", "test"])
    arguments = parser.parse_args()
    found: dict[str, list[tuple[int, float, float, int]]] = defaultdict(list)
    for model in sorted(arguments.runs.glob("*/model.safetensors")):
        variant, _, seed = model.parent.name.rpartition("-")
        element = variant.partition("-")[0]
        (file, *_) = [*arguments.data.glob(f"{element}_{arguments.part}.extxyz*"), None]
        if file is None:
            parser.error(f"there is no {element}_{arguments.part}.extxyz in {arguments.data}")
        steps = read_header(model)["metadata"]["steps"]
        found[variant].append((int(seed), *errors(model, file), steps))
    print(f"| run | seeds | energy, meV/atom | forces, meV/Å | step of the best validation |\n|{'---|' * 5}")
    for variant, rows in found.items():
        seeds, energies, forces, steps = zip(*sorted(rows), strict=True)
        cells = [spread(energies), spread(forces)]
        print(f"| {variant} | {', '.join(map(str, seeds))} | {' | '.join(cells)} | {', '.join(map(str, steps))} |")


def spread(values: tuple[float, ...]) -> str:
    """A mean, with the standard deviation if there are several."""
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
