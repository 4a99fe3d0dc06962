"""Bulk moduli of Materials Project crystals from their energy against volume."""

from pathlib import Path
from typing import Any

import numpy as np
from ase.eos import EquationOfState
from reading import read_records

import tribond
from tribond.errors import TribondError
from tribond.properties.relax import relax
from tribond.units import EV_PER_A3_TO_GPA

COUNT = 60  # evenly spread over the file
STRAINS = np.linspace(-0.04, 0.04, 7)  # of the volume, atoms relaxed at each


def measure(model: str, data: Path) -> Any:
    """Voigt-Reuss-Hill moduli of the Materials Project next to those of the potential (Birch-Murnaghan)."""
    calculator = tribond.Calculator(tribond.load_potential(model, dtype="float64", device="cpu"))
    records = read_records(data / "properties/mp-binary-pbe-elasticity-2025.1.json.gz")
    chosen = [records[k] for k in np.linspace(0, len(records) - 1, COUNT).round().astype(int)]
    rows = []
    for record in chosen:
        row = {"id": record["mp_id"], "formula": record["formula"], "reference_GPa": record["bulk_modulus_vrh"]}
        try:
            rest = relax(record["atoms"], calculator, fmax_eV_per_A=0.01, steps=200).final
            volumes, energies = [], []
            for strain in STRAINS:
                squeezed = rest.copy()
                squeezed.set_cell(rest.cell * (1 + strain) ** (1 / 3), scale_atoms=True)
                at_rest = relax(squeezed, calculator, fmax_eV_per_A=0.02, steps=60, relax_cell=False)
                volumes.append(squeezed.get_volume())
                energies.append(at_rest.history[-1].energy)
            modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit(warn=False)[2]
            row["bulk_modulus_GPa"] = float(modulus * EV_PER_A3_TO_GPA)
        except (TribondError, RuntimeError, ValueError) as error:
            row["error"] = str(error)
        rows.append(row)
    return {"crystals": rows}
