"""Errors on DFT frames of compounds that were held out, and the frames that are worst."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from reading import read_packed

import tribond
from split import is_validation
from tribond.data.frames import Frame
from tribond.evaluation.evaluate import evaluate_frames
from tribond.evaluation.metrics import FrameResult, energy_differences, force_differences
from tribond.units import EV_PER_A3_TO_GPA

FILES = (
    "mptrj-random-1k",
    "alexandria-random-1k",
    "mpf-TP",
    "mpf-alkali-TP",
    "mptrj-highest-stress-1k",
    "random-TP",
)
WORST = 20


def measure(model: str, data: Path) -> Any:
    """Mean absolute errors of raw energies (meV/atom), force components (meV/Å) and stresses (GPa) per file."""
    potential = tribond.load_potential(model, dtype="float32", device="cpu")
    found: dict[str, Any] = {"files": {}}
    results: list[tuple[str, FrameResult]] = []
    for name in FILES:
        images = [atoms for atoms in read_packed(data / f"mp_like/{name}.extxyz.gz") if is_validation(atoms)]
        frames = [
            Frame(
                atoms,
                atoms.get_potential_energy(),
                atoms.get_forces(),
                atoms.get_stress(voigt=False),
                f"{name}#{number}",
            )
            for number, atoms in enumerate(images)
        ]
        report = evaluate_frames(potential, frames, name=name)
        found["files"][name] = {
            "frames": report.frames,
            "energy_meV_per_atom": report.energy and report.energy.mae,
            "energy_shifted_meV_per_atom": report.energy_shifted and report.energy_shifted.mae,
            "forces_meV_per_A": report.forces and report.forces.mae,
            "stress_GPa": report.stress and report.stress.mae,
        }
        results += [(name, result) for result in report.results]
    results.sort(key=lambda pair: -_badness(pair[1]))
    found["worst"] = [_describe(name, result) for name, result in results[:WORST]]
    common = Counter(symbol for _, result in results[:WORST] for symbol in set(result.frame.atoms.symbols))
    found["elements_of_the_worst"] = dict(common.most_common(12))
    return found


def _badness(result: FrameResult) -> float:
    """One number for energy and forces: meV/atom plus a tenth of meV/Å."""
    (energy,), forces = energy_differences([result]), force_differences([result])
    return float(abs(energy) + 0.1 * np.abs(forces).mean())


def _describe(name: str, result: FrameResult) -> dict[str, Any]:
    atoms = result.frame.atoms
    labels = atoms.calc.results
    return {
        "file": name,
        "formula": atoms.get_chemical_formula(),
        "volume_A3_per_atom": atoms.get_volume() / len(atoms),
        "pressure_GPa": -float(np.trace(atoms.get_stress(voigt=False))) / 3 * EV_PER_A3_TO_GPA,
        "fmax_eV_per_A": float(np.linalg.norm(labels["forces"], axis=1).max()),
        "energy_error_meV_per_atom": float(energy_differences([result])[0]),
        "forces_mae_meV_per_A": float(np.abs(force_differences([result])).mean()),
    }
