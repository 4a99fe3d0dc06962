"""From sites and symmetry operations to all atoms of a cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tribond.errors import StructureError

SAME = 1e-3  # Å | images this close are one atom without a word
COARSE = 0.03  # Å | images this close are one atom whose coordinates were rounded; farther, the file is too coarse
TOO_CLOSE = 0.5  # Å | images of one site closer than this are no two atoms
CRAMPED = 0.87  # of the sum of covalent radii | atoms closer than this speak against a setting
LARGEST = 200_000  # images; more are no cell of a crystal


@dataclass(frozen=True)
class Operation:
    """x' = rotation · x + translation, in fractions of the lattice vectors."""

    rotation: NDArray[np.float64]  # (3, 3)
    translation: NDArray[np.float64]  # (3,)


@dataclass(frozen=True)
class Expanded:
    """All atoms of a cell."""

    site: NDArray[np.int64]  # (atoms,) which site each is an image of
    fractional: NDArray[np.float64]  # (atoms, 3)
    moved: float  # Å | by how much images were moved that are the same atom


def expand(
    fractional: NDArray[np.float64], operations: Sequence[Operation], cell: NDArray[np.float64], labels: Sequence[str]
) -> Expanded:
    """Apply the operations to the sites; images of a site that coincide are one atom at their mean.

    Args:
        fractional: (sites, 3).
        operations: of the space group, centring included.
        cell: (3, 3) Å.
        labels: of the sites, for messages.

    Raises:
        StructureError: if images of a site are too close to be two atoms and too far to be one.
    """
    if len(fractional) * len(operations) > LARGEST:
        msg = f"{len(operations)} symmetry operations of {len(fractional)} sites make no cell that can be computed"
        raise StructureError(msg)
    check_metric(cell, operations)
    rotations = np.array([operation.rotation for operation in operations])
    translations = np.array([operation.translation for operation in operations])
    sites, places, moved = [], [], 0.0
    for number, place in enumerate(fractional):
        images = rotations @ place + translations
        if len(operations) == 1:
            sites.append(number)
            places.append(images[0])
            continue
        merged, shift = _merge(images, cell, labels[number])
        moved = max(moved, shift)
        sites += [number] * len(merged)
        places += list(merged - np.floor(merged + 1e-9))
    return Expanded(np.array(sites, dtype=np.int64), np.array(places).reshape(-1, 3), moved)


def _merge(images: NDArray[np.float64], cell: NDArray[np.float64], label: str) -> tuple[NDArray[np.float64], float]:
    """Different images, and by how much those that coincide were apart."""
    left = np.arange(len(images))
    merged, moved = [], 0.0
    while len(left):
        apart = images[left] - images[left[0]]
        apart -= np.round(apart)
        distances = np.linalg.norm(apart @ cell, axis=1)
        same = distances < COARSE
        close = distances[~same]
        if len(close) and close.min() < TOO_CLOSE:
            msg = (
                f"two images of {label} are {close.min():.3f} Å apart: its coordinates are too coarse for the special "
                "position that they mean; write more digits (0.333333, not 0.33)"
            )
            raise StructureError(msg)
        merged.append(images[left[0]] + apart[same].mean(axis=0))
        moved = max(moved, float(distances[same].max()))
        left = left[~same]
    return np.array(merged), moved


def check_metric(cell: NDArray[np.float64], operations: Sequence[Operation]) -> None:
    """Raise StructureError unless the lattice has the symmetry of the operations: another setting, or another cell."""
    metric = cell @ cell.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    for operation in operations:
        turned = operation.rotation.T @ metric @ operation.rotation
        if np.abs((turned - metric) / scale).max() > 0.02:
            lengths = ", ".join(f"{length:.4g}" for length in np.sqrt(np.diag(metric)))
            msg = (
                f"the cell (a, b, c = {lengths} Å) does not have the symmetry of the space group: its setting (unique "
                "axis, hexagonal or rhombohedral axes) is another one than the cell's; mend one of the two"
            )
            raise StructureError(msg)


def crowding(numbers: NDArray[np.int64], fractional: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """The shortest distance between atoms over the sum of their covalent radii; 1 is an ordinary bond."""
    from ase import Atoms
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    atoms = Atoms(numbers=numbers, scaled_positions=fractional, cell=cell, pbc=True)
    first, second, distances = neighbor_list("ijd", atoms, 4.0)
    if len(distances) == 0:
        return float("inf")
    radii = covalent_radii[numbers]
    return float((distances / (radii[first] + radii[second])).min())
