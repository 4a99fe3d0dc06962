"""A split into training and validation that never puts one compound on both sides. Depends on ASE alone."""

import hashlib

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols
from numpy.typing import NDArray

from tribond.data.frame_table import FrameTable


def fold_of(formula: str, folds: int) -> int:
    """The fold that structures of this composition belong to: a fixed function of the reduced formula.

    Frames of one compound are near copies of one another, so a split by frames would measure memory. A hash instead
    of a shuffle keeps every compound on its side when data is added, whatever the order of files.

    Args:
        formula: any notation, of the cell or reduced: "Si2O4" and "SiO2" are the same.
        folds: how many there are.

    Returns:
        A number from 0 to folds - 1, each equally likely.
    """
    return int(hashlib.sha256(reduced_formula(formula).encode()).hexdigest(), 16) % folds


def folds_of(frames: FrameTable, folds: int) -> NDArray[np.int64]:
    """The fold of every frame.  (frames,).  Formulas are slow, and most compounds come many times."""
    known: dict[bytes, int] = {}
    ends = frames.offsets.tolist()
    result = np.zeros(len(frames), dtype=np.int64)
    for row in range(len(frames)):
        numbers = np.sort(frames.numbers[ends[row] : ends[row + 1]])
        composition = numbers.tobytes()
        if composition not in known:
            known[composition] = fold_of(str(Symbols(numbers.astype(np.int64))), folds)
        result[row] = known[composition]
    return result


def reduced_formula(formula: str) -> str:
    """The smallest formula of the same composition, in Hill order: "Fe4O6" and "O3Fe2" give "Fe2O3"."""
    return Formula(formula).reduce()[0].format("hill")
