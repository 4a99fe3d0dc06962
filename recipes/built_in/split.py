"""The split of the built-in potential: one compound in ten is for validation, chosen by a hash of its formula."""

from ase import Atoms

from tribond.data.split import fold_of

FOLDS = 10


def is_validation(atoms_or_formula: Atoms | str) -> bool:
    """Whether a structure or composition belongs to the validation part."""
    formula = str(atoms_or_formula.symbols) if isinstance(atoms_or_formula, Atoms) else atoms_or_formula
    return fold_of(formula, FOLDS) == 0
