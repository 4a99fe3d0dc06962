"""Crystals of WBM, relaxed by DFT: how far a potential moves them, and what energy it then gives."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor
from reading import read_records

import tribond
from tribond.errors import TribondError
from tribond.properties.relax import relax

RATTLE = 0.05  # Å | so that no relaxation starts where it should end
SEED = 0
FMAX = 0.02  # eV/Å
STEPS = 300


def measure(model: str, data: Path) -> Any:
    """Relax all of them from rattled positions; energies are compared raw, on the scale of the Materials Project."""
    calculator = tribond.Calculator(tribond.load_potential(model, dtype="float64", device="cpu"))
    rows = []
    for number, record in enumerate(read_records(data / "properties/wbm-random-pbe52-equilibrium-2025.1.json.gz")):
        reference: Atoms = record["atoms"]
        start = reference.copy()
        start.positions += np.random.default_rng([SEED, number]).normal(0.0, RATTLE, start.positions.shape)
        row: dict[str, Any] = {"id": record["material_id"], "formula": record["formula"]}
        try:
            relaxation = relax(start, calculator, fmax_eV_per_A=FMAX, steps=STEPS)
        except TribondError as error:
            rows.append(row | {"error": str(error)})
            continue
        final = relaxation.final
        rows.append(
            row
            | {
                "converged": relaxation.converged,
                "energy_error_meV_per_atom": 1000 * (relaxation.history[-1].energy - record["energy"]) / len(reference),
                "volume_error_percent": 100 * (final.get_volume() / reference.get_volume() - 1),
                "rmsd": _rmsd(final, reference),
            }
        )
    return {"crystals": rows}


def _rmsd(one: Atoms, other: Atoms) -> float | None:
    """pymatgen's: root mean square distance over the cube root of volume per atom; None if they do not match."""
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=8.0)
    adapt = AseAtomsAdaptor.get_structure
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = matcher.get_rms_dist(adapt(one), adapt(other))
    return None if found is None else float(found[0])
