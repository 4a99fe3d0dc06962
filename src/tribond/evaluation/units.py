"""Labels in another unit, or of the other sign, are told from predictions: they are all wrong by the same factor."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tribond.evaluation.metrics import FrameResult

FEWEST = 9  # numbers that may say something
ALIKE = 0.8  # correlation of labels and predictions that are the same but for a factor
NEAR = 0.3  # relative | how well a factor must be met
FAR = 30.0  # factors beyond are told though their name is not known
FACTORS = {
    "forces": {
        0.0194469: "hartree/bohr",
        0.0388938: "rydberg/bohr",
        23.0605: "kcal/mol/Å",
        96.4853: "kJ/mol/Å",
        964.853: "kJ/mol/nm",
        -1.0: "gradients, of the other sign",
    },
    "stress": {
        160.2177: "GPa",
        1602.177: "kbar",
        -1602.177: "VASP's kbar, of the other sign (--stress-unit kbar)",
        -160.2177: "GPa, of the other sign",
        0.00624151: "eV/Å³ that were converted from GPa once too often",
        160217.7: "bar",
        1.602177e11: "Pa",
        0.00508: "hartree/bohr³",
        -1.0: "eV/Å³, of the other sign",
    },
}


def unit_notes(results: Sequence[FrameResult]) -> list[str]:
    """What the user should know of the units of the labels.

    Args:
        results: labels and predictions.
    """
    notes = []
    for label in ("forces", "stress"):
        pairs = [
            (np.ravel(getattr(it.frame, label)), np.ravel(getattr(it.prediction, label)))
            for it in results
            if getattr(it.frame, label) is not None and getattr(it.prediction, label) is not None
        ]
        if not pairs:
            continue
        found = factor(np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs]))
        if found is None:
            continue
        likely = [
            (name, known)
            for known, name in FACTORS[label].items()
            if known * found > 0 and abs(found / known - 1) < NEAR
        ]
        if likely:
            name, known = min(likely, key=lambda pair: abs(found / pair[1] - 1))
            notes.append(
                f"the labels of {label} are {found:.4g} times the predictions: they look like {name} ({known:g})"
            )
        elif abs(found) > FAR or abs(found) < 1 / FAR:
            notes.append(
                f"the labels of {label} are {found:.4g} times the predictions: they may have another unit or another sign"
            )
    return notes


def factor(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float | None:
    """What the predictions must be multiplied by, if labels are alike but for that; None otherwise."""
    sizes = float(np.linalg.norm(labels)), float(np.linalg.norm(predictions))
    if len(labels) < FEWEST or min(sizes) == 0 or not np.isfinite(sizes).all():
        return None
    product = float(labels @ predictions)
    if abs(product) < ALIKE * sizes[0] * sizes[1]:
        return None
    return float(np.copysign(sizes[0] / sizes[1], product))
