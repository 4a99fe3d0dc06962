"""What is computed of a crystal, by tribond's own functions for users with their defaults unless said otherwise."""

from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator

from benchmarks.validation.cases import Case
from tribond.properties.elastic import elasticity
from tribond.properties.eos import equation_of_state
from tribond.properties.phonons import phonons

HEAT_CAPACITY_LENGTH = 10.0  # Å | at 300 K, C_V of silicon, NaCl and MgO changes by less than 0.1 % beyond
TEMPERATURE = 300.0  # K
FCC_POINTS = {"Γ": (0.0, 0.0, 0.0), "X": (0.5, 0.0, 0.5), "L": (0.5, 0.5, 0.5)}  # of the primitive cell


def measure_element(case: Case, calculator: Calculator, _: Path) -> dict[str, Any]:
    """V0, B0 and B0' by a Birch-Murnaghan fit."""
    found = equation_of_state(case.atoms, calculator)
    summary = found.fit.summary(len(case.atoms))
    return {name: summary[name] for name in ("V0_A3_per_atom", "B0_GPa", "B0_prime", "rms_residual_meV_per_atom")}


def measure_moduli(case: Case, calculator: Calculator, _: Path) -> dict[str, Any]:
    """Bulk and shear modulus after Hill, ions relaxed."""
    found = elasticity(case.atoms, calculator)
    moduli = found.moduli
    return {
        "bulk_modulus_GPa": moduli.bulk_modulus_GPa,
        "shear_modulus_GPa": moduli.shear_modulus_GPa,
        "mechanically_stable": moduli.mechanically_stable,
        "volume_change_percent": 100 * (found.structure.get_volume() / case.atoms.get_volume() - 1),
    }


def measure_heat_capacity(case: Case, calculator: Calculator, _: Path) -> dict[str, Any]:
    """C_V at 300 K, and whether there are imaginary modes, which it leaves out."""
    found = phonons(case.atoms, calculator, min_length_A=HEAT_CAPACITY_LENGTH)
    index = int(np.argmin(np.abs(found.thermal.temperatures_K - TEMPERATURE)))
    return {
        "heat_capacity_300K_J_per_K_per_mol_atoms": float(found.thermal.heat_capacity_J_per_K_mol[index]),
        "lowest_frequency_THz": found.lowest_THz,
        "imaginary_modes": len(found.imaginary),
        "num_atoms_supercell": len(found.phonon.supercell),
        "volume_change_percent": 100 * (found.structure.get_volume() / case.atoms.get_volume() - 1),
    }


def measure_bands(case: Case, calculator: Calculator, _: Path) -> dict[str, Any]:
    """Bands along seekpath's path, and frequencies at Γ, X and L, of crystals whose primitive cell is fcc."""
    found = phonons(case.atoms, calculator)
    phonon, bands = found.phonon, found.bands
    phonon.run_qpoints(list(FCC_POINTS.values()))
    return {
        "labels": [list(ends) for ends in bands.labels],
        "distances_per_A": [piece.tolist() for piece in bands.distances],
        "frequencies_THz": [np.round(piece, 5).tolist() for piece in bands.frequencies],
        "points_THz": dict(zip(FCC_POINTS, phonon.qpoints.frequencies.tolist(), strict=True)),
        "lattice_constant_A": float((4 * phonon.primitive.volume) ** (1 / 3)),
        "imaginary_modes": len(found.imaginary),
    }
