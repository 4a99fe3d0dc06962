"""What a store holds, in numbers: for people, before they train on it."""

from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from tribond.data.frames import LABELS
from tribond.data.reference_energies import fit_energies, residuals
from tribond.data.store.store import Store
from tribond.units import EV_PER_A3_TO_GPA

EXAMPLES = 20  # of everything that is listed
FAR = 10.0  # spreads (interquartile, scaled to sigma) from the median: an outlier
FEWEST = 50  # structures before anything is called an outlier
HUGE_FORCE = 50.0  # eV/Å
HUGE_STRESS = 500.0  # GPa
SAME_ENERGY = 1e-4  # eV per atom | duplicates that differ by more contradict each other


def report_of(store: Store) -> dict[str, Any]:
    """Counts, energies per level of theory, duplicates and outliers."""
    return {
        "structures": len(store),
        "atoms": int(store.manifest["atoms"]),
        "labels": {label: int(store.has(label).sum()) for label in LABELS},
        "elements": element_counts(store),
        "formulas": len(store.texts("formulas")),
        "ids": len(store.texts("ids")),
        "levels": [_level(store, number) for number in range(len(store.levels))],
        "duplicates": duplicates(store),
        "outliers": outliers(store),
    }


def element_counts(store: Store) -> dict[str, int]:
    """Structures that have each element."""
    counts = np.bincount(store.composition.numbers, minlength=1)
    return {chemical_symbols[number]: int(counts[number]) for number in np.flatnonzero(counts).tolist()}


def _level(store: Store, number: int) -> dict[str, Any]:
    rows = np.flatnonzero((store.column("level") == number) & store.has("energy") & (store.sizes > 0))
    about: dict[str, Any] = {"name": store.levels[number], "structures": int((store.column("level") == number).sum())}
    if not len(rows):
        return about
    left, references = residuals_of(store, rows)
    per_atom = store.energies[rows] / store.sizes[rows]
    return about | {
        "with_energy": len(rows),
        "energy_per_atom_eV": _spread(per_atom),
        "without_elements_eV": _spread(left),
        "reference_energies_eV": references,
    }


def residuals_of(store: Store, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], dict[str, float]]:
    """(rows,) eV per atom without the energies of the elements that fit best, and these."""
    composition = store.composition.take(rows)
    numbers = composition.elements().tolist()
    energies = np.asarray(store.energies)[rows]
    fitted, _ = fit_energies(composition, energies, numbers)
    names = {chemical_symbols[number]: round(float(value), 6) for number, value in zip(numbers, fitted, strict=True)}
    return residuals(composition, energies, numbers, fitted), names


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "smallest": float(values.min()),
        "median": float(np.median(values)),
        "largest": float(values.max()),
        "standard_deviation": float(values.std()),
    }


def duplicates(store: Store) -> dict[str, Any]:
    """Structures that occur more than once at one level of theory, and those whose energies contradict each other."""
    keys = store.column("hash"), store.column("level")
    order = np.lexsort((np.arange(len(store)), *keys))
    hashes, levels = (np.asarray(key)[order] for key in keys)
    same = (hashes[1:] == hashes[:-1]) & (levels[1:] == levels[:-1])
    first, second = order[:-1][same], order[1:][same]
    energies = np.asarray(store.energies)
    apart = np.abs(energies[first] - energies[second]) / np.maximum(store.sizes[first], 1) > SAME_ENERGY
    return {
        "count": int(same.sum()),
        "contradicting": int(apart.sum()),
        "examples": [
            [store.origin(int(one)), store.origin(int(two))]
            for one, two in zip(first[:EXAMPLES], second[:EXAMPLES], strict=True)
        ],
        "contradicting_examples": [
            [store.origin(int(one)), store.origin(int(two)), round(float(energies[two] - energies[one]), 6)]
            for one, two in zip(first[apart][:EXAMPLES], second[apart][:EXAMPLES], strict=True)
        ],
    }


def outliers(store: Store) -> dict[str, Any]:
    """Structures that look unlike the others, or like no matter; they stay in the store."""
    found: dict[str, NDArray[np.int64]] = {}
    unusual: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    for number in range(len(store.levels)):
        rows = np.flatnonzero((store.column("level") == number) & store.has("energy") & (store.sizes > 0))
        if len(rows) < FEWEST:
            continue
        left, _ = residuals_of(store, rows)
        low, middle, high = np.percentile(left, [25, 50, 75])
        unusual.append(rows[np.abs(left - middle) > FAR * max((high - low) / 1.349, 1e-3)])
    found["energy far from all others of its level, without the elements' energies"] = np.concatenate(unusual)
    with np.errstate(invalid="ignore"):
        found[f"force beyond {HUGE_FORCE:g} eV/Å"] = np.flatnonzero(store.largest_forces > HUGE_FORCE)
        found[f"stress beyond {HUGE_STRESS:g} GPa"] = np.flatnonzero(
            store.largest_stresses * EV_PER_A3_TO_GPA > HUGE_STRESS
        )
        radii = np.nan_to_num(covalent_radii, nan=1.0)
        volumes = store.composition.total(4 / 3 * np.pi * np.concatenate([radii, np.ones(256 - len(radii))]) ** 3)
        filled = np.asarray(store.column("volume")) / np.maximum(volumes, 1e-9)
        found["volume less than half that of its atoms"] = np.flatnonzero(filled < 0.5)
        found["two atoms nearer than 0.5 Å"] = np.flatnonzero(store.column("shortest") < 0.5)
    return {
        name: {"count": len(rows), "examples": [store.origin(row) for row in rows[:EXAMPLES].tolist()]}
        for name, rows in found.items()
        if len(rows)
    }
