"""Labels in another unit, or of the other sign, are told from predictions: they are all wrong by the same factor."""

import numpy as np
from numpy.typing import NDArray

FEWEST = 9  # numbers that may say something
ALIKE = 0.8  # correlation of labels and predictions that are the same but for a factor
NEAR = 0.3  # relative | how well a factor must be met
FAR = 30.0  # factors beyond are told though their name is not known
FACTORS: dict[str, dict[float, str]] = {
    "energy": {
        0.0367493: "hartree",
        0.0734986: "rydberg",
        23.0605: "kcal/mol",
        96.4853: "kJ/mol",
        -1.0: "energies of the other sign",
    },
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


def unit_note(label: str, labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> str | None:
    """What the user should know of the unit of some labels; None if there is nothing.

    Args:
        label: energy, forces or stress.
        labels: (n,) numbers; of energies, what is left of them without the energies of the elements.
        predictions: (n,) of the same.
    """
    found = factor(labels, predictions)
    if found is None:
        return None
    likely = [
        (name, known) for known, name in FACTORS[label].items() if known * found > 0 and abs(found / known - 1) < NEAR
    ]
    what = "the energies, without those of the elements," if label == "energy" else f"the labels of {label}"
    if likely:
        name, known = min(likely, key=lambda pair: abs(found / pair[1] - 1))
        return f"{what} are {found:.4g} times the predictions: they look like {name} ({known:g})"
    if abs(found) > FAR or abs(found) < 1 / FAR:
        return f"{what} are {found:.4g} times the predictions: they may have another unit or another sign"
    return None


def without_elements(composition: NDArray[np.float64], energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energies without the energies of the elements that fit them best: the zero of energy is anybody's choice.

    Args:
        composition: (structures, elements) numbers of atoms.
        energies: (structures,).

    Returns:
        (structures,) eV per atom; zeros if there are too few structures for anything to be left.
    """
    if len(energies) < FEWEST + composition.shape[1]:
        return np.zeros(len(energies))
    fit = np.linalg.lstsq(composition, energies, rcond=None)[0]
    return np.asarray((energies - composition @ fit) / composition.sum(axis=1))


def factor(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float | None:
    """What the predictions must be multiplied by, if labels are alike but for that; None otherwise."""
    sizes = float(np.linalg.norm(labels)), float(np.linalg.norm(predictions))
    if len(labels) < FEWEST or min(sizes) == 0 or not np.isfinite(sizes).all():
        return None
    product = float(labels @ predictions)
    if abs(product) < ALIKE * sizes[0] * sizes[1]:
        return None
    return float(np.copysign(sizes[0] / sizes[1], product))
