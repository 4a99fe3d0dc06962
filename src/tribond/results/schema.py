"""The columns of tables with one row a structure: names with units, kinds, meanings. Written by relax and predict of many.

SCHEMA changes when a column changes its name, its unit or its meaning; new columns may come without that.
"""

from dataclasses import dataclass

SCHEMA = 1


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: with the unit at its end.
        kind: str, int or float; a cell may be empty in any of them.
        meaning: in a few words.
    """

    name: str
    kind: type
    meaning: str


IDENTITY = (
    Column("label", str, "file, or file@frame"),
    Column("key", str, "SHA-256 of the structure as it came in, and which time it came"),
    Column("status", str, "ok, converged, not converged, or failed"),
    Column("failure", str, "error, crash (its process died) or time (it took too long)"),
    Column("error", str, "what went wrong, in words"),
    Column("formula", str, "chemical formula of the cell, Hill's order"),
    Column("num_atoms", int, "atoms in the cell"),
)
STATE = (
    Column("energy_eV", float, "potential energy of the cell"),
    Column("energy_eV_per_atom", float, "potential energy an atom"),
    Column("max_force_eV_per_A", float, "longest force on an atom; constraints applied in relaxations"),
    Column(
        "max_stress_GPa", float, "largest component of the stress, less the pressure asked for; fully periodic only"
    ),
    Column("volume_A3", float, "of the cell; fully periodic only"),
)
CELL = (
    Column("a_A", float, "length of the first lattice vector"),
    Column("b_A", float, "second"),
    Column("c_A", float, "third"),
    Column("alpha_degree", float, "angle between b and c"),
    Column("beta_degree", float, "between a and c"),
    Column("gamma_degree", float, "between a and b"),
    Column("space_group", str, "symbol, found to within 0.02 Å"),
)
RELAXATION = (
    Column("enthalpy_eV", float, "energy and pressure times volume"),
    Column("steps", int, "of the optimizer"),
    Column("fmax_eV_per_A", float, "what is converged: longest force on an atom or, by the atoms, on the cell"),
    Column("initial_energy_eV_per_atom", float, "before the relaxation"),
    Column("initial_volume_A3", float, "before the relaxation"),
    Column("initial_space_group", str, "before the relaxation"),
)
SECONDS = (Column("seconds", float, "that it took"),)
RELAXED = IDENTITY + STATE + CELL + RELAXATION + SECONDS
PREDICTED = IDENTITY + STATE + SECONDS
SPREAD = (
    Column(
        "energy_std_eV_per_atom", float, "standard deviation of the energy over the members of the ensemble, an atom"
    ),
    Column("max_force_spread_eV_per_A", float, "largest spread of the force on an atom over the members"),
)
PREDICTED_BY_ENSEMBLE = IDENTITY + STATE + SPREAD + SECONDS
