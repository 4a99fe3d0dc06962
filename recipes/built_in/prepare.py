"""Write what of public DFT files may be trained on, as plain extended XYZ that a training reads quickly.

    python recipes/built_in/prepare.py DATASETS PREPARED --exclude FILE --agreeing FOLDER

FILE lists reduced formulas in Hill order, one a line: compounds that are kept for judging and that no training may see.
Compounds of the validation fold stay: the training holds them out. FOLDER is what select_dft.py wrote: which equations
of state and single calculations agree with the level of theory; their other labels are left out.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from generate_crystals import read_frames
from split import is_validation
from tribond.data.split import reduced_formula

FILES = ("mp_like/*", "mlearn/*_train", "maml_MoNbTaW/train", "prop_matbench_discovery/diatomics_PBE")


def equations_of_state(file: Path, keep: Path) -> tuple[list[Atoms], list[Atoms]]:
    """Frames of curves whose energies agree, with energies and stresses; and of those where only stresses do."""
    curves = json.loads(keep.read_text())
    both, stresses = [], []
    for atoms in read_frames(file):
        center = atoms.info["center"] or "F"  # the reader of extended XYZ takes fluorine for "false"
        found = curves.get(f"{center} {atoms.info['group']}", {"energy": False, "stress": False})
        if found["energy"]:
            both.append(_labelled(atoms, ("energy", "stress")))
        elif found["stress"]:
            stresses.append(_labelled(atoms, ("stress",)))
    return both, stresses


def single_calculations(file: Path, keep: Path) -> list[Atoms]:
    """Frames whose forces agree, each with those of its labels that do."""
    agree = np.load(keep)
    frames = []
    for number, atoms in enumerate(read_frames(file)):
        labels = tuple(name for name in ("energy", "forces", "stress") if agree[name][number])
        if "forces" in labels:
            frames.append(_labelled(atoms, labels))
    return frames


def _labelled(atoms: Atoms, labels: Iterable[str]) -> Atoms:
    """A copy with some of its labels."""
    kept = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    kept.calc = SinglePointCalculator(kept, **{name: atoms.calc.results[name] for name in labels})
    return kept


def main() -> None:
    """Write the frames that may be used, file by file, and count those that may not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--exclude", type=Path, required=True)
    parser.add_argument("--agreeing", type=Path, required=True)
    arguments = parser.parse_args()
    excluded = set(arguments.exclude.read_text().split())
    arguments.target.mkdir(parents=True, exist_ok=True)

    def keep(name: str, frames: list[Atoms]) -> None:
        kept = [a for a in frames if is_validation(a) or reduced_formula(str(a.symbols)) not in excluded]
        write(arguments.target / f"{name}.extxyz", kept, format="extxyz")
        print(f"{name}: {len(kept)} of {len(frames)} frames")

    for pattern in FILES:
        for file in sorted(arguments.source.glob(f"{pattern}.extxyz.gz")):
            name = file.name.partition(".")[0]
            keep("alloys" if file.parent.name.startswith("maml") else name, read_frames(file))
    (curves,) = (arguments.source / "acwf_vasp_eos").glob("*.extxyz.gz")
    both, stresses = equations_of_state(curves, arguments.agreeing / "eos_keep.json")
    keep("eos", both)
    keep("eos-stress", stresses)
    (singles,) = (arguments.source / "vasp_testfiles").glob("*.extxyz.gz")
    keep("single", single_calculations(singles, arguments.agreeing / "vasp_keep.npz"))


if __name__ == "__main__":
    main()
