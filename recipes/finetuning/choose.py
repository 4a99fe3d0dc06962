"""Choose some frames of a set at random: those to fine-tune with, and the others to choose settings by.

python recipes/finetuning/choose.py Mo_train.extxyz.gz 20 OUT [SEED]
"""

import sys
from pathlib import Path

import ase.io
import numpy as np


def main() -> None:
    """Write OUT/chosen.extxyz and OUT/rest.extxyz."""
    file, number, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    frames = ase.io.read(file, ":")
    order = np.random.default_rng(seed).permutation(len(frames))
    out.mkdir(parents=True, exist_ok=True)
    ase.io.write(out / "chosen.extxyz", [frames[row] for row in order[:number]])
    ase.io.write(out / "rest.extxyz", [frames[row] for row in order[number:]])


if __name__ == "__main__":
    main()
