"""Measure a potential on ten textbook crystals: relaxed volumes against PBE, and molecular dynamics at 300 K.

Run it as ``python recipes/built_in/measure_crystals.py [MODEL] [--picoseconds 2]``. Prints a table in Markdown, for
the model card.
"""

import argparse
import math

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.spacegroup import crystal

import tribond
from tribond.properties.relax import relax

TEMPERATURE_K = 300
TIMESTEP_FS = 2.0

# PBE volumes, Å³ per atom. Elements and binary solids: lattice constants of Haas, Tran & Blaha, PRB 79, 085104 (2009),
# rounded to 0.01 Å; TiO2 and LiFePO4 (PBE+U): Materials Project, mp-2657 and mp-19017.
PBE_VOLUMES = {
    "Si": 5.47**3 / 8,
    "C": 3.57**3 / 8,
    "Cu": 3.63**3 / 4,
    "Al": 4.04**3 / 4,
    "Fe": 2.83**3 / 2,
    "MgO": 4.26**3 / 8,
    "NaCl": 5.70**3 / 8,
    "GaAs": 5.76**3 / 8,
    "TiO2": 4.65**2 * 2.97 / 6,
    "LiFePO4": 10.44 * 6.07 * 4.75 / 28,
}


def crystals() -> dict[str, Atoms]:
    """The ten crystals at their experimental lattice constants."""
    olivine = crystal(
        ["Li", "Fe", "P", "O", "O", "O"],
        [(0, 0, 0), (0.282, 0.25, 0.975), (0.095, 0.25, 0.418), (0.097, 0.25, 0.743), (0.457, 0.25, 0.206),
         (0.166, 0.046, 0.285)],
        spacegroup=62,
        cellpar=[10.33, 6.01, 4.69, 90, 90, 90],
    )  # fmt: skip
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.59, 4.59, 2.96, 90, 90, 90]
    )
    return {
        "Si": bulk("Si", "diamond", 5.43),
        "C": bulk("C", "diamond", 3.57),
        "Cu": bulk("Cu", "fcc", 3.61),
        "Al": bulk("Al", "fcc", 4.05),
        "Fe": bulk("Fe", "bcc", 2.87),
        "MgO": bulk("MgO", "rocksalt", 4.21),
        "NaCl": bulk("NaCl", "rocksalt", 5.64),
        "GaAs": bulk("GaAs", "zincblende", 5.65),
        "TiO2": rutile,
        "LiFePO4": olivine,
    }


def molecular_dynamics(atoms: Atoms, potential: tribond.Potential, picoseconds: float) -> tuple[float, float]:
    """Langevin dynamics at 300 K of a cell of some 50 atoms.

    Args:
        atoms: the relaxed crystal.
        potential: float32 is enough here.
        picoseconds: length.

    Returns:
        Mean temperature of the second half (K), and the root mean square displacement from the start at the end (Å),
        the drift of the centre of mass taken out.
    """
    repeat = max(1, round((50 / len(atoms)) ** (1 / 3)))
    cell = atoms.repeat((repeat, repeat, repeat)) if len(atoms) < 20 else atoms.repeat((1, 2, 2))
    cell.calc = tribond.Calculator(potential)
    random = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(cell, temperature_K=2 * TEMPERATURE_K, rng=random)
    dynamics = Langevin(cell, TIMESTEP_FS * units.fs, temperature_K=TEMPERATURE_K, friction=0.01 / units.fs, rng=random)
    start = cell.get_positions()
    temperatures: list[float] = []
    dynamics.attach(lambda: temperatures.append(cell.get_temperature()))
    dynamics.run(round(1000 * picoseconds / TIMESTEP_FS))
    moved = cell.get_positions() - start
    moved -= moved.mean(axis=0)
    return float(np.mean(temperatures[len(temperatures) // 2 :])), math.sqrt(float((moved**2).sum(axis=1).mean()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--picoseconds", type=float, default=2.0)
    arguments = parser.parse_args()
    exact = tribond.load(arguments.model, dtype="float64")
    fast = tribond.load(arguments.model, dtype="float32")
    print("| crystal | volume, Å³/atom | PBE | difference | 300 K: temperature, K | displacement, Å |")
    print("|---|---|---|---|---|---|")
    for name, atoms in crystals().items():
        relaxation = relax(atoms, tribond.Calculator(exact), fmax_eV_per_A=0.01, steps=500)
        volume = relaxation.final.get_volume() / len(atoms)
        difference = volume / PBE_VOLUMES[name] - 1
        row = f"| {name} | {volume:.2f} | {PBE_VOLUMES[name]:.2f} | {100 * difference:+.1f} %"
        row += "" if relaxation.converged else " (not converged)"
        if arguments.picoseconds > 0:
            temperature, moved = molecular_dynamics(relaxation.final, fast, arguments.picoseconds)
            row += f" | {temperature:.0f} | {moved:.2f}"
        print(row + " |", flush=True)


if __name__ == "__main__":
    main()
