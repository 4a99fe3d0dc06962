r"""Find out which frames of two DFT collections agree with the teacher's level of theory.

``acwf_vasp_eos`` has no spin and other POTCARs than the Materials Project, ``vasp_testfiles`` has mixed settings. Only
labels that agree with the teacher's (for equations of state apart from an energy per element) may be mixed with
Materials Project data:

    python select_dft.py --data DATASETS --out FOLDER

writes ``eos_keep.json`` and ``vasp_keep.npz``.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from elements import ELEMENTS
from generate_crystals import read_frames
from nequix_teacher import BATCH_ATOMS, Labeller, Labels, Teacher
from tribond.units import EV_PER_A3_TO_GPA as GPA

# Equations of state. Pressures go to 6 % of the bulk modulus, so 3 % is half a label wrong: the bound for soft crystals.
EOS_STRESS = 4.0  # GPa, mean of a curve
EOS_SOFT = (1.0, 0.03)  # GPa, and as a fraction of the bulk modulus: the larger of both bounds the stress too
EOS_ENERGY = (0.04, 0.015)  # eV/atom: mean of a curve after the shift, and how much it varies along the curve
MAGNETIC = ("Cr", "Mn", "Fe", "Co", "Ni", "Eu", "Gd")  # without spin their curves belong to another state
# The teacher is wrong about solid rare gases, and without spin is how they are: their curves are taken as they are.
RARE_GASES = ("He", "Ne", "Ar", "Kr", "Xe")
# Single calculations: an absolute bound and one relative to the size of the label.
VASP_ENERGY = 0.06  # eV/atom, without a shift: who uses the Materials Project's POTCARs has its zero
VASP_STRANGE = 1.0  # eV/atom; energies further off come from settings that nothing else is believed of either
VASP_FORCE = (0.15, 0.2)  # eV/Å, mean component
VASP_STRESS = (2.0, 0.15)  # GPa, mean component


def known(atoms: Atoms) -> bool:
    """Tell whether the teacher knows all elements of a frame; Po to Ra and those after Pu it doesn't."""
    return bool(np.isin(atoms.numbers, ELEMENTS).all())


def element_shifts(frames: Sequence[Atoms], energies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit an energy per element to what two sets of energies differ by, robustly.

    Args:
        frames: Structures.
        energies: Differences of their energies (eV), shape (frames,).
        weights: Weights of the frames, shape (frames,).

    Returns:
        Differences per atom that the shifts leave (eV/atom), shape (frames,).
    """
    sizes = np.array([len(a) for a in frames])
    counts = np.array([np.bincount(a.numbers, minlength=119) for a in frames]) / sizes[:, None]
    wanted = energies / sizes
    shifts = np.zeros(119)
    left = wanted
    for _ in range(20):  # least squares whose weights fall with the size of what is left: outliers don't rule it
        w = weights / np.maximum(np.abs(left), 0.01)
        normal = counts.T @ (counts * w[:, None]) + 1e-3 * np.eye(119)
        shifts = np.linalg.solve(normal, counts.T @ (w * wanted))
        left = wanted - counts @ shifts
    return left


def select_eos(frames: Sequence[Atoms], labels: Sequence[Labels]) -> dict[str, dict[str, float | bool]]:
    """Judge every equation of state.

    Args:
        frames: DFT frames with info keys ``center`` and ``group``.
        labels: The teacher's labels of the frames.

    Returns:
        For every "center group" the mean stress difference and the bulk modulus (GPa), the energy that a shift per
        element leaves and its spread (eV/atom), and whether stress and energy agree.
    """
    curves: dict[str, list[int]] = defaultdict(list)
    for k, a in enumerate(frames):
        center = a.info["center"] or "F"  # the reader of extended XYZ takes fluorine for "false"
        curves[f"{center} {a.info['group']}"].append(k)
    difference = np.array([a.get_potential_energy() - e for a, (e, _, _) in zip(frames, labels, strict=True)])
    stress = np.array(
        [np.abs(a.get_stress() - s)[:3].mean() * GPA for a, (_, _, s) in zip(frames, labels, strict=True)]
    )
    pressure = np.array([-a.get_stress()[:3].mean() * GPA for a in frames])
    volume = np.array([a.cell.volume for a in frames])
    modulus, agrees = {}, {}
    for key, members in curves.items():
        slope = np.polyfit(volume[members] / volume[members].mean(), pressure[members], 1)[0]
        modulus[key] = max(-slope, 0.0)
        bound = min(EOS_STRESS, max(EOS_SOFT[0], EOS_SOFT[1] * modulus[key]))
        center, group = key.split(maxsplit=1)
        known_better = center in RARE_GASES and group.startswith("unaries")
        agrees[key] = known_better or bool(stress[members].mean() < bound and center not in MAGNETIC)
    trusted = np.zeros(len(frames))
    for key, members in curves.items():
        trusted[members] = 1.0 if agrees[key] else 0.05
    left = element_shifts(frames, difference, trusted)
    result: dict[str, dict[str, float | bool]] = {}
    for key, members in curves.items():
        mean, spread = float(left[members].mean()), float(np.ptp(left[members]))
        result[key] = {
            "stress_difference": round(float(stress[members].mean()), 3),
            "bulk_modulus": round(float(modulus[key]), 1),
            "energy_left": round(mean, 4),
            "energy_spread": round(spread, 4),
            "stress": agrees[key],
            "energy": bool(agrees[key] and abs(mean) < EOS_ENERGY[0] and spread < EOS_ENERGY[1]),
        }
    return result


def select_single(frames: Sequence[Atoms], labels: Sequence[Labels]) -> dict[str, np.ndarray]:
    """Judge single calculations.

    Args:
        frames: DFT frames with energy, forces and stress.
        labels: The teacher's labels of the frames.

    Returns:
        Boolean arrays ``energy``, ``forces``, ``stress`` of usable labels and ``duplicate``, each of shape (frames,).
    """
    seen: set[tuple] = set()
    duplicate = np.zeros(len(frames), bool)
    force_error, force_size, stress_error, stress_size = np.zeros((4, len(frames)))
    difference = np.zeros(len(frames))
    for k, (a, (energy, forces, stress)) in enumerate(zip(frames, labels, strict=True)):
        key = (a.numbers.tobytes(), a.cell.array.round(3).tobytes(), a.get_scaled_positions().round(3).tobytes())
        duplicate[k] = key in seen
        seen.add(key)
        difference[k] = (a.get_potential_energy() - energy) / len(a)
        force_error[k], force_size[k] = np.abs(a.get_forces() - forces).mean(), np.abs(a.get_forces()).mean()
        if "stress" in a.calc.results:
            stress_error[k] = np.abs(a.get_stress() - stress).mean() * GPA
            stress_size[k] = np.abs(a.get_stress()).mean() * GPA
        else:
            stress_error[k] = np.inf
    strange = np.abs(difference) > VASP_STRANGE
    forces_agree = (force_error < VASP_FORCE[0] + VASP_FORCE[1] * force_size) & ~duplicate & ~strange
    return {
        "energy": (np.abs(difference) < VASP_ENERGY) & forces_agree,
        "forces": forces_agree,
        "stress": (stress_error < VASP_STRESS[0] + VASP_STRESS[1] * stress_size) & forces_agree,
        "duplicate": duplicate,
    }


def main(make_teacher: Callable[[Path | None], Labeller] = Teacher) -> None:
    """Label both collections and write what may be used.

    Args:
        make_teacher: Makes the labelling function from a file of weights.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with acwf_vasp_eos and vasp_testfiles")
    parser.add_argument("--out", type=Path, required=True, help="folder for eos_keep.json and vasp_keep.npz")
    parser.add_argument("--weights", type=Path, help="weights of the teacher; the package's own by default")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = make_teacher(args.weights)
    frames = [a for a in read_frames(args.data / "acwf_vasp_eos/acwf_vasp_eos.extxyz.gz") if known(a)]
    curves = select_eos(frames, teacher(frames, BATCH_ATOMS))
    (args.out / "eos_keep.json").write_text(json.dumps(curves, indent=1))
    print(f"{sum(c['stress'] for c in curves.values())} stresses, {sum(c['energy'] for c in curves.values())} energies "
          f"of {len(curves)} curves")  # fmt: skip
    (path,) = sorted((args.data / "vasp_testfiles").glob("*.extxyz.gz"))
    frames = read_frames(path)
    if not all(map(known, frames)):
        raise SystemExit(f"{path} holds elements that the teacher does not know")
    single = select_single(frames, teacher(frames, BATCH_ATOMS))
    np.savez(args.out / "vasp_keep.npz", **single)
    print({k: int(v.sum()) for k, v in single.items()}, "of", len(frames), "frames")


if __name__ == "__main__":
    main()
