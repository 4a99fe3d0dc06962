"""The log of dynamics: temperature, energies, pressure and volume, one row every few steps."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from tribond.errors import DataError
from tribond.results.tables import cell as text_of
from tribond.simulation.trajectories import cut
from tribond.units import EV_PER_A3_TO_GPA

U_PER_A3_TO_G_PER_CM3 = 1.66053906892  # CODATA 2022: u in 1e-24 g
COLUMNS = (
    "step",
    "stage",
    "time_fs",
    "temperature_K",
    "target_temperature_K",
    "potential_energy_eV",
    "kinetic_energy_eV",
    "total_energy_eV",
    "conserved_eV",
    "pressure_GPa",
    "target_pressure_GPa",
    "volume_A3",
    "density_g_per_cm3",
    "length_a_A",
    "length_b_A",
    "length_c_A",
    "angle_alpha_degree",
    "angle_beta_degree",
    "angle_gamma_degree",
)


def row(atoms: Atoms, temperature_K: float) -> dict[str, float | None]:
    """What one step has of the columns that depend on the atoms alone.

    Args:
        atoms: with a calculator that has calculated them.
        temperature_K: of their motion.
    """
    potential, kinetic = float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())
    found: dict[str, float | None] = {
        "temperature_K": temperature_K,
        "potential_energy_eV": potential,
        "kinetic_energy_eV": kinetic,
        "total_energy_eV": potential + kinetic,
    }
    if atoms.pbc.all():
        volume = float(atoms.get_volume())
        found |= {
            "pressure_GPa": pressure(atoms),
            "volume_A3": volume,
            "density_g_per_cm3": float(atoms.get_masses().sum()) / volume * U_PER_A3_TO_G_PER_CM3,
        }
        found |= dict(zip(COLUMNS[-6:], map(float, atoms.cell.cellpar()), strict=True))
    return found


def pressure(atoms: Atoms) -> float | None:
    """-tr σ / 3 in GPa, with the motion of the atoms counted in; None where the calculator has no stress."""
    try:
        stress = atoms.get_stress(voigt=False, include_ideal_gas=False, apply_constraint=False)
    except (PropertyNotImplementedError, NotImplementedError):
        return None
    kinetic = (atoms.get_momenta() ** 2 / atoms.get_masses()[:, None]).sum() / (3 * atoms.get_volume())
    return float((kinetic - np.trace(stress) / 3) * EV_PER_A3_TO_GPA)


class ThermoLog:
    """A table that grows by rows and can be cut back to a checkpoint.

    Args:
        path: of the CSV file.
        size: bytes of it that count; None begins it.
        more: columns after those of every run.

    Raises:
        DataError: if the file has become shorter.
    """

    def __init__(self, path: Path, size: int | None, more: tuple[str, ...] = ()) -> None:
        self._columns = COLUMNS + more
        if size is not None:
            if not path.is_file() or path.stat().st_size < size:
                raise DataError(f"{path} is shorter than at the last checkpoint; begin anew with --restart")
            cut(path, size)
        self._file = path.open("w" if size is None else "a", encoding="utf-8", newline="")
        if size is None:
            self._file.write(",".join(self._columns) + "\n")

    def write(self, values: dict[str, Any]) -> None:
        """Append a row; columns without a value stay empty."""
        self._file.write(",".join(text_of(values.get(name)) for name in self._columns) + "\n")

    def mark(self) -> int:
        """Bring everything to the disk, and say where the file ends."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Nothing comes any more."""
        self._file.close()
