"""Which elements replace which, and how much volume an atom takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

# H to Pu without Po, At, Rn, Fr and Ra: the 89 elements of the Materials Project.
ELEMENTS = tuple(z for z in range(1, 95) if z not in (84, 85, 86, 87, 88))
NOBLE_GASES = (2, 10, 18, 36, 54)
ANIONS = tuple(atomic_numbers[s] for s in "H C N O F P S Cl As Se Br Te I".split())
STRONG_ANIONS = tuple(atomic_numbers[s] for s in "N O F S Cl Se Br I".split())
_ROW_ENDS = (0, 2, 10, 18, 36, 54, 86, 118)


def row_and_group(z: int) -> tuple[int, float]:
    """Return the row and the group of an element; f elements spread over groups 3.0 to 3.5.

    Args:
        z: Atomic number.

    Returns:
        Row (1 to 7) and group (1 to 18).
    """
    row = next(i for i, end in enumerate(_ROW_ENDS) if z <= end)
    position = z - _ROW_ENDS[row - 1]
    length = _ROW_ENDS[row] - _ROW_ENDS[row - 1]
    if position <= 2 and not (row == 1 and position == 2):
        return row, float(position)
    if length == 32:
        if position <= 17:
            return row, 3.0 + 0.5 * (position - 3) / 14
        return row, float(position - 14)
    return row, float(18 - (length - position))


def similarity() -> np.ndarray:
    """Return how readily one element replaces another: periodic-table neighbours first.

    Returns:
        Array (95, 95) indexed by atomic numbers, without units; the diagonal is zero and the
        rows sum to one.
    """
    table = np.zeros((95, 95))
    for a in ELEMENTS:
        for b in ELEMENTS:
            (row_a, group_a), (row_b, group_b) = row_and_group(a), row_and_group(b)
            distance = 1.1 * abs(group_a - group_b) + 0.5 * abs(row_a - row_b)
            kind = 1.0 if (a in ANIONS) == (b in ANIONS) else 0.3
            noble = 0.3 if b in NOBLE_GASES else 1.0
            table[a, b] = 0.0 if a == b else noble * (kind * np.exp(-distance) + 2e-4)
    return table / np.maximum(table.sum(1, keepdims=True), 1e-12)


def has_anion(numbers: np.ndarray) -> bool:
    """Tell whether a crystal counts as ionic: a fifth of its atoms are strong anions.

    Args:
        numbers: Atomic numbers of the crystal.

    Returns:
        True for an ionic crystal.
    """
    return bool(np.isin(numbers, STRONG_ANIONS).mean() >= 0.2)


class AtomicVolumes:
    """Volumes per atom (Å³), one table for ionic crystals and one for the others.

    Each table is a ridge regression of cell volumes around a prior from equations of state of the
    elements (all other crystals) and of their oxides (ionic crystals).
    """

    def __init__(self, eos: Sequence[Atoms], crystals: Sequence[Atoms]) -> None:
        """Fit both tables.

        Args:
            eos: Equation-of-state frames with an info key ``group`` (``unaries:...`` or
                ``oxides:...``) and energies (eV).
            crystals: Crystals near equilibrium; only their cells and species are used.
        """
        relaxed: dict[str, Atoms] = {}
        for frame in eos:
            key = f"{frame.info['group']} {frame.symbols}"
            best = relaxed.get(key)
            if best is None or frame.get_potential_energy() < best.get_potential_energy():
                relaxed[key] = frame
        unaries: dict[int, list[float]] = {}
        oxides: dict[int, list[float]] = {}
        for frame in relaxed.values():
            z = int(max(frame.numbers, key=lambda n: n != 8))
            if frame.info["group"].startswith("unaries"):
                if not frame.info["group"].endswith(("SC", "Diamond")):
                    unaries.setdefault(z, []).append(frame.cell.volume / len(frame))
            elif z != 8:
                count = int((frame.numbers == z).sum())
                oxygen = 11.5 * (len(frame) - count)
                oxides.setdefault(z, []).append((frame.cell.volume - oxygen) / count)
        prior = np.full((2, 95), 15.0)
        for z, volumes in unaries.items():
            if z < 95:
                prior[0, z] = np.clip(np.mean(volumes), 3.0, 70.0)
        for z, volumes in oxides.items():
            if z < 95:
                prior[1, z] = np.clip(np.median(volumes), 2.0, 60.0)
        prior[1, 8] = 11.5
        self.table = prior.copy()
        for ionic in (0, 1):
            chosen = [c for c in crystals if has_anion(c.numbers) == bool(ionic)]
            counts = np.array([np.bincount(c.numbers, minlength=95) / len(c) for c in chosen])
            volumes = np.array([c.cell.volume / len(c) for c in chosen])
            keep = volumes < 60.0
            counts, volumes = counts[keep], volumes[keep]
            residual = volumes - counts @ prior[ionic]
            normal = counts.T @ counts + 0.3 * np.eye(95)
            fitted = prior[ionic] + np.linalg.solve(normal, counts.T @ residual)
            self.table[ionic] = np.clip(fitted, 1.5, 90.0)

    def __call__(self, numbers: np.ndarray) -> float:
        """Return the guessed volume of a crystal.

        Args:
            numbers: Atomic numbers of the cell.

        Returns:
            Volume (Å³).
        """
        return float(self.table[int(has_anion(numbers)), numbers].sum())
