"""Where point defects can sit in a crystal: its distinct atoms, and the voids between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.properties.symmetry import symmetry_of

Array = NDArray[np.float64]

REACH = 10.0  # Å | images this far around the cell bound the voids in it
SMALLEST_VOID = 0.9  # Å | from its centre to the next nucleus; in less no atom relaxes to anything sensible
ONE_VOID = 0.5  # Å | centres closer than this are one void, whose centre is the one that symmetry fixes


@dataclass(frozen=True)
class AtomSite:
    """One of the atoms that symmetry tells apart."""

    index: int  # of the first such atom
    element: str
    multiplicity: int  # such atoms in the cell
    wyckoff: str  # letter
    symmetry: str  # of the site


@dataclass(frozen=True)
class Void:
    """One of the voids that symmetry tells apart."""

    fractional: Array  # (3,) of its centre
    radius_A: float  # from its centre to the next nucleus
    multiplicity: int  # such voids in the cell
    neighbours: int  # nuclei within 10 % of the radius


def distinct_atoms(crystal: Atoms) -> list[AtomSite]:
    """One atom of each orbit of the space group, in the order of the structure.

    Args:
        crystal: periodic along a, b and c; only read.

    Raises:
        StructureError: if spglib finds no symmetry, not even none.
    """
    found = _symmetry(crystal)
    orbits = np.asarray(found.equivalent_atoms)
    return [
        AtomSite(
            int(first),
            crystal.symbols[first],
            int((orbits == first).sum()),
            str(found.wyckoffs[first]),
            str(found.site_symmetry_symbols[first]).replace(".", ""),
        )
        for first in dict.fromkeys(orbits.tolist())
    ]


def distinct_voids(crystal: Atoms) -> list[Void]:
    """Centres of the voids between atoms, one of each orbit of the space group, the widest first.

    They are the corners of Voronoi cells: points that are equally far from four atoms or more, and further from all others.

    Args:
        crystal: periodic along a, b and c; only read.
    """
    from scipy.spatial import KDTree, Voronoi

    cell = crystal.cell.array
    found = _symmetry(crystal)
    heights = 1 / np.linalg.norm(crystal.cell.reciprocal().array, axis=1)
    spans = [np.arange(-int(np.ceil(REACH / height)), int(np.ceil(REACH / height)) + 1) for height in heights]
    shifts = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    points = ((crystal.get_scaled_positions()[None] + shifts[:, None]).reshape(-1, 3)) @ cell
    near = _within(points @ np.linalg.inv(cell), REACH / heights)
    tree = KDTree(points)
    corners = Voronoi(points[near]).vertices
    fractional = corners @ np.linalg.inv(cell)
    fractional = fractional[((fractional > -1e-6) & (fractional < 1 - 1e-6)).all(axis=1)]
    radii, _ = tree.query(fractional @ cell)
    # Equal radii in an order of their own: that of coordinates, which rounding does not change.
    order = np.lexsort((*np.round(fractional, 4).T[::-1], -np.round(radii, 3)))
    taken: list[Array] = []
    voids = []
    for number in order:
        if radii[number] < SMALLEST_VOID:
            continue
        centre = fractional[number]
        if taken and _distances(np.concatenate(taken), centre, cell).min() < ONE_VOID:
            continue
        images = np.einsum("nij,j->ni", found.rotations, centre) + found.translations
        close = _distances(images, centre, cell) < ONE_VOID
        centre = np.mod(centre + _shortest(images[close] - centre, cell).mean(axis=0), 1.0)
        images = np.einsum("nij,j->ni", found.rotations, centre) + found.translations
        orbit = _different(images, cell)
        taken.append(orbit)
        distances = np.sort(tree.query(centre @ cell, k=min(30, len(points)))[0])
        radius = float(distances[0])
        if radius >= SMALLEST_VOID:
            voids.append(Void(centre, radius, len(orbit), int((distances < 1.1 * radius).sum())))
    return sorted(voids, key=lambda void: -round(void.radius_A, 3))


def _symmetry(crystal: Atoms) -> Any:
    found = symmetry_of(crystal)
    if found is None:
        raise StructureError("spglib finds no symmetry in this structure; look for atoms on top of each other")
    return found


def _within(fractional: Array, margins: Array) -> NDArray[np.bool_]:
    """Points in the cell or at most so far beside it."""
    return np.asarray(((fractional > -margins - 1e-9) & (fractional < 1 + margins + 1e-9)).all(axis=1))


def _shortest(differences: Array, cell: Array) -> Array:
    """Fractional differences (n, 3) between nearest images."""
    from ase.geometry import find_mic

    return np.asarray(find_mic(differences @ cell, cell)[0]) @ np.linalg.inv(cell)


def _distances(places: Array, centre: Array, cell: Array) -> Array:
    """From a place to each of others, periodic.  (n,) Å"""
    return np.linalg.norm(_shortest(places - centre, cell) @ cell, axis=1)


def _different(places: Array, cell: Array) -> Array:
    """Each place once."""
    kept: list[Array] = []
    for place in places:
        if not kept or _distances(np.array(kept), place, cell).min() > 0.01:
            kept.append(place)
    return np.array(kept)
