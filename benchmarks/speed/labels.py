"""Random labels to train on: how long a step takes does not depend on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms


@dataclass(frozen=True)
class Labels:
    """Of one structure."""

    energy: float  # eV
    forces: np.ndarray  # (atoms, 3) eV/Å
    stress: np.ndarray  # (3, 3) eV/Å³, symmetric


def random_labels(structures: Sequence[Atoms]) -> list[Labels]:
    """Energies, forces and stresses of a likely size, always the same."""
    random = np.random.default_rng(0)
    labels = []
    for atoms in structures:
        stress = random.normal(0.0, 0.01, (3, 3))
        energy = float(random.normal(0.0, 0.1) * len(atoms))
        labels.append(Labels(energy, random.normal(0.0, 0.5, (len(atoms), 3)), (stress + stress.T) / 2))
    return labels
