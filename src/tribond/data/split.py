"""A split into training and validation that never puts one compound on both sides. Depends on ASE alone."""

import hashlib

from ase.formula import Formula


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
    return fold_of_text(reduced_formula(formula), folds)


def reduced_formula(formula: str) -> str:
    """The smallest formula of the same composition, in Hill order: "Fe4O6" and "O3Fe2" give "Fe2O3"."""
    return Formula(formula).reduce()[0].format("hill")


def fold_of_text(name: str, folds: int) -> int:
    """The fold of an id: a fixed function of its letters. Of a reduced formula in Hill order, that of `fold_of`."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % folds
