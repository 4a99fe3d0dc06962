"""Print statistics of labelled frames: sizes, forces, pressures, energies, elements.

Run it as ``python describe_labels.py SHARDS/shard-*.extxyz``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from elements import ELEMENTS
from split import is_validation
from tribond.data.split import reduced_formula
from tribond.units import EV_PER_A3_TO_GPA as GPA


def describe(frames: Sequence[Atoms]) -> None:
    """Print statistics.

    Args:
        frames: Frames with energy (eV), forces (eV/Å) and stress (eV/Å³).
    """
    sizes = np.array([len(a) for a in frames])
    fmax = np.array([np.linalg.norm(a.get_forces(), axis=1).max() for a in frames])
    pressure = np.array([-a.get_stress()[:3].mean() * GPA for a in frames])
    energy = np.array([a.get_potential_energy() for a in frames]) / sizes
    ranks = [1, 5, 25, 50, 75, 90, 95, 99]
    print(f"{len(frames)} frames, {sizes.mean():.2f} atoms per frame, percentiles {ranks}:")
    for name, values in (
        ("atoms", sizes),
        ("fmax eV/Å", fmax),
        ("pressure GPa", pressure),
        ("eV/atom", energy),
    ):
        print(f"  {name:13s}", " ".join(f"{v:9.3f}" for v in np.percentile(values, ranks)))
    print(f"  near equilibrium (fmax < 0.5, |p| < 5): {np.mean((fmax < 0.5) & (np.abs(pressure) < 5)):.2f}")
    print(f"  near equilibrium (fmax < 0.1, |p| < 2): {np.mean((fmax < 0.1) & (np.abs(pressure) < 2)):.2f}")
    print(f"  far off (fmax > 2 or |p| > 15): {np.mean((fmax > 2) | (np.abs(pressure) > 15)):.2f}")
    steps = np.array([a.info.get("step", 0) for a in frames])
    for step in np.unique(steps):
        of = steps == step
        quartiles = " ".join(f"{v:.3f}" for v in np.percentile(fmax[of], [25, 50, 75]))
        pressures = " ".join(f"{v:.2f}" for v in np.percentile(np.abs(pressure[of]), [25, 50, 75]))
        print(f"  step {step}: {of.sum()} frames, fmax quartiles {quartiles}, |p| quartiles {pressures}")
    print(" ", dict(Counter(a.info.get("kind", "?") for a in frames)))
    formulas = {reduced_formula(str(a.symbols)) for a in frames}
    print(f"  {len(formulas)} formulas, of the validation part: {sum(map(is_validation, formulas))}")
    counts = Counter(z for a in frames for z in set(a.get_chemical_symbols()))
    print(f"  {sum(a in counts for a in _symbols())} of {len(ELEMENTS)} elements; frames with each:")
    print("  " + " ".join(f"{s}:{n}" for s, n in counts.most_common()))


def _symbols() -> list[str]:
    """Return the symbols of the wanted elements."""
    return [Atoms(numbers=[z]).get_chemical_symbols()[0] for z in ELEMENTS]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    describe([frame for path in parser.parse_args().files for frame in read(path, ":")])
