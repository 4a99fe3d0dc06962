"""Set aside a part of the official training set for the choice of settings.

    python recipes/mlearn/split.py DATASETS DATA

DATASETS holds `Si_train.extxyz.gz` and so on; DATA gets `Si_train.extxyz` and `Si_validation.extxyz` for every element
found. Each tenth frame validates: the official set is a list of short trajectories and strained cells, one after the
other, so each tenth is a fair sample of all of them. The test set is not read.
"""

import argparse
from pathlib import Path

from ase.io import read, write

ONE_IN = 10
FIRST = 5


def main() -> None:
    """Write both parts of every element, and count them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    arguments.target.mkdir(parents=True, exist_ok=True)
    files = sorted(arguments.source.glob("*_train.extxyz.gz"))
    if not files:
        parser.error(f"there is no *_train.extxyz.gz in {arguments.source}")
    for file in files:
        element = file.name.partition("_")[0]
        frames = read(file, ":")
        validation = frames[FIRST::ONE_IN]
        train = [frame for number, frame in enumerate(frames) if number % ONE_IN != FIRST]
        write(arguments.target / f"{element}_train.extxyz", train)
        write(arguments.target / f"{element}_validation.extxyz", validation)
        print(f"{element}: {len(train)} frames to train, {len(validation)} to validate")


if __name__ == "__main__":
    main()
