"""Diffusion of lithium in Li10GeP2S12: dynamics at several temperatures, one run each."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.spacegroup import crystal

from benchmarks.validation.cases import Case
from tribond.properties.relax import relax
from tribond.properties.work import Work
from tribond.simulation.diffusion import Diffusion, diffusion
from tribond.simulation.md import run_md
from tribond.simulation.motion import read_motion

TEMPERATURES = (600, 800, 1000)  # K
TIMESTEP = 2.0  # fs | as in the published dynamics with DFT forces
EQUILIBRATION, PRODUCTION = 3.0, 24.0  # ps
FRAMES = 20.0  # fs
FIT = (1000.0, 4000.0)  # fs | beyond the vibrations of the cages, within a fifth of the run
DRAWS = 20_000
# P4_2/nmc, origin at -4m2, a = 8.694, c = 12.599 Å: the site coordinates of pymatgen's Li10GeP2S12.
SITES = {
    "Li 16h": ("Li", (0.2563, 0.2718, 0.8168)),
    "Li 4d": ("Li", (0.0, 0.5, 0.0554)),
    "Li 8f": ("Li", (0.2463, 0.2463, 0.0)),
    "Ge 4d": ("Ge", (0.0, 0.5, 0.3093)),
    "P 2b": ("P", (0.0, 0.0, 0.5)),
    "S1": ("S", (0.0, 0.1843, 0.5897)),
    "S2": ("S", (0.0, 0.7009, 0.905)),
    "S3": ("S", (0.0, 0.699, 0.2086)),
}
CELL = [8.694, 8.694, 12.599, 90.0, 90.0, 90.0]
NUM_LITHIUM, NUM_GERMANIUM = 20, 2


def li10gep2s12() -> Atoms:
    """An ordered cell of the measured size, 50 atoms.

    In the crystal 24 of the sites of Li are partly occupied, and Ge shares one with P. Here, two of the four shared sites are
    Ge, one in each column, and of many random choices of 16 of the 24 sites for Li that one is taken whose Li are farthest
    from each other, by the sum of 1/r⁶. At the temperatures of the runs Li forgets where it began within picoseconds.
    """
    kinds = list(SITES)
    full = crystal(
        [symbol for symbol, _ in SITES.values()],
        [position for _, position in SITES.values()],
        spacegroup=137,
        setting=1,
        cellpar=CELL,
    )
    kind = np.array([kinds[k] for k in full.arrays["spacegroup_kinds"]])
    shared = np.flatnonzero(kind == "Ge 4d")
    columns: dict[float, int] = {}
    for index in shared:
        columns.setdefault(round(float(full.get_scaled_positions()[index, 0]), 2), index)
    symbols = np.array(full.get_chemical_symbols())
    symbols[shared] = "P"
    symbols[list(columns.values())] = "Ge"
    always = np.flatnonzero(kind == "Li 4d")
    partly = np.flatnonzero((kind == "Li 16h") | (kind == "Li 8f"))
    inverse = 1 / (full.get_all_distances(mic=True) + np.eye(len(full)))
    random = np.random.default_rng(0)

    def crowding(chosen: np.ndarray) -> float:
        lithium = np.concatenate([always, chosen])
        return float((inverse[np.ix_(lithium, lithium)] ** 6).sum())

    draws = [random.choice(partly, NUM_LITHIUM - len(always), replace=False) for _ in range(DRAWS)]
    best = min(draws, key=crowding)
    kept = np.sort(np.concatenate([np.flatnonzero(~np.char.startswith(kind, "Li")), always, best]))
    return Atoms(symbols[kept], full.positions[kept], cell=full.cell, pbc=True)


def runs() -> list[Case]:
    """One run a temperature."""
    atoms = li10gep2s12()
    return [Case(f"{T}K", atoms, {"temperature_K": T}) for T in TEMPERATURES]


def measure(case: Case, calculator: Calculator, folder: Path) -> dict[str, Any]:
    """D of lithium, and of the other atoms, which must stay where they are. A run that was stopped goes on."""
    place = folder / f"{case.name}_md"
    start = Work(place).structure(
        "relaxed", lambda: relax(case.atoms, calculator, fmax_eV_per_A=0.05, relax_cell=False).final
    )
    stage = {"ensemble": "nvt", "temperature_K": case.reference["temperature_K"], "timestep_fs": TIMESTEP}
    stages = [stage | {"time_ps": EQUILIBRATION}, stage | {"time_ps": PRODUCTION}]
    summary = run_md(start, calculator, place / "run", stages, trajectory_interval_fs=FRAMES, velocities="new")
    motion = read_motion([str(place / "run" / "trajectory.traj")], skip_fs=1000 * EQUILIBRATION)
    is_lithium = motion.atoms.symbols == "Li"
    lithium = diffusion(motion, np.flatnonzero(is_lithium), FIT)
    others = diffusion(motion, np.flatnonzero(~is_lithium), FIT)
    last = summary["stages"][-1]
    return {
        "production_ps": PRODUCTION,
        "lithium": _numbers(lithium),
        "others": _numbers(others),
        "means_of_the_run": {
            name: last[name] for name in last if name.startswith(("mean_temperature", "mean_pressure"))
        },
    }


def _numbers(found: Diffusion) -> dict[str, float]:
    end = round(found.fit_fs[1] / FRAMES)
    return {
        "coefficient_cm2_per_s": found.coefficient_cm2_per_s,
        "error_cm2_per_s": found.error_cm2_per_s,
        "exponent": found.exponent,
        "msd_at_the_end_of_the_fit_A2": float(found.msd_A2[end].sum()),
    }
