"""The columns of a screening: which there are after each step, and which ones another step makes untrue."""

from collections.abc import Sequence

from tribond.results.schema import CELL, RELAXATION, STATE, Column
from tribond.screening.settings import Step

OK, DUPLICATE, FILTERED, FAILED = "kept", "duplicate", "filtered", "failed"
STATUSES = (OK, DUPLICATE, FILTERED, FAILED)

START = (
    Column("number", int, "which structure of the sources, counted from 0"),
    Column("label", str, "file, file@frame, or prototype with the elements that came to its sites"),
    Column("key", str, "SHA-256 of the structure as it came in"),
    Column("status", str, "kept, duplicate, filtered or failed"),
    Column("step", str, "where it ended, such as 2 relax; empty for what is kept"),
    Column("failure", str, "error, crash (its process died twice) or time (it took too long)"),
    Column("error", str, "what went wrong, in words"),
    Column("formula", str, "chemical formula of the cell, Hill's order"),
    Column("reduced_formula", str, "the same for all cells of one composition"),
    Column("num_atoms", int, "atoms in the cell"),
    Column("seconds", float, "that all steps took, of one core"),
)
_RELAXED = (
    Column("converged", bool, "whether the relaxation came to rest"),
    *RELAXATION,
    Column("volume_change_percent", float, "by the relaxation"),
)
OF_STEP: dict[str, tuple[Column, ...]] = {
    "deduplicate": (Column("duplicate_of", int, "number of the structure that is the same"),),
    "predict": STATE,
    "relax": STATE + CELL + _RELAXED,
    "formation_energy": (Column("formation_energy_eV_per_atom", float, "from the references of the elements"),),
    "above_hull": (
        Column("above_hull_eV_per_atom", float, "above the hull of the references; negative below it"),
        Column("decomposition", str, "phases of the hull at this composition, with their parts of the atoms"),
    ),
    "bulk_modulus": (
        Column("bulk_modulus_GPa", float, "at rest"),
        Column("bulk_modulus_error_GPa", float, "of the fit; of an equation of state only"),
        Column("shear_modulus_GPa", float, "Voigt-Reuss-Hill; of the elastic tensor only"),
    ),
    "filter": (),
}
# Energies and moduli belong to a structure: when it moves, or gets another energy, they are computed again or empty.
_DERIVED = ("formation_energy", "above_hull", "bulk_modulus")
MADE_UNTRUE: dict[str, tuple[str, ...]] = {
    "predict": tuple(column.name for column in (*OF_STEP["relax"], *(it for name in _DERIVED for it in OF_STEP[name]))),
    "relax": tuple(column.name for name in _DERIVED for column in OF_STEP[name]),
}


def columns(steps: Sequence[Step]) -> tuple[Column, ...]:
    """All columns after these steps, each once."""
    found = {column.name: column for column in START}
    for step in steps:
        found.update({column.name: column for column in OF_STEP[step.kind]})
    return tuple(found.values())


def best_by(steps: Sequence[Step], asked: str | None) -> str | None:
    """What candidates are ranked by: what was asked for, or the last that says how stable they are.

    Args:
        steps: of the screening.
        asked: `rank_by`.

    Returns:
        A column, with a minus in front where the highest come first; None where there is nothing to rank by.
    """
    if asked is not None:
        return asked
    names = {column.name for column in columns(steps)}
    for name in ("above_hull_eV_per_atom", "formation_energy_eV_per_atom", "energy_eV_per_atom"):
        if name in names:
            return name
    return None
