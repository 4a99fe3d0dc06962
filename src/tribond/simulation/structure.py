"""Structure of what moves: pair distributions, coordination numbers and angles between bonds.

Pairs come from tribond's own search, which takes any cell, and any radius, images included. ASE's and freud's pair
distributions stop at half of the cell, so that small cells could not be analysed.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.errors import ConfigError, DataError
from tribond.graph.neighbors import neighbor_list
from tribond.simulation.motion import Motion, select

MOST_BINS = 100_000


@dataclass(frozen=True, eq=False)
class PairDistribution:
    """g(r) of every pair of elements.

    Attributes:
        radii_A: (bins,) middles of the bins, Å.
        total: (bins,) of all atoms.
        partial: (bins,) by pair of elements, "Li-O".
        coordination: (bins,) by ordered pair, "Li-O": neighbours O of a Li up to the end of each bin.
        frames: how many were averaged.
    """

    radii_A: NDArray[np.float64]
    total: NDArray[np.float64]
    partial: dict[str, NDArray[np.float64]]
    coordination: dict[str, NDArray[np.float64]]
    frames: int


def pair_distribution(
    motion: Motion, r_max_A: float = 8.0, bins: int = 400, symbols: str | None = None
) -> PairDistribution:
    """g(r) = number of pairs at r over that of an ideal gas of the same density, averaged over frames.

    Args:
        motion: of a fully periodic structure.
        r_max_A: largest distance, Å; may be longer than the cell.
        bins: of distances.
        symbols: elements with commas in between; None is all.

    Raises:
        ConfigError: for a radius or bins that make no sense, or elements that are not there.
        DataError: for structures with open axes, which have no density.
    """
    if not (np.isfinite(r_max_A) and r_max_A > 0):
        raise ConfigError(f"the largest distance must be larger than 0 Å, not {r_max_A}")
    if not 2 <= bins <= MOST_BINS:
        raise ConfigError(f"take 2 to {MOST_BINS} bins, not {bins}")
    if not motion.atoms.pbc.all():
        raise DataError(
            "a pair distribution needs a structure that is periodic along a, b and c: others have no density"
        )
    chosen = select(motion.atoms, symbols)
    kind = np.full(len(motion.atoms), -1)
    for number, indices in enumerate(chosen.values()):
        kind[indices] = number
    kinds = len(chosen)
    edges = np.linspace(0.0, r_max_A, bins + 1)
    counts = np.zeros((kinds, kinds, bins))
    weighted = np.zeros((kinds, kinds, bins))  # counts times the volume of their frame
    for positions, cell in zip(motion.positions, motion.cells, strict=True):
        centres, neighbours, _, lengths = neighbor_list(positions, cell, motion.atoms.pbc, r_max_A)
        first, second = kind[centres], kind[neighbours]
        keep = (first >= 0) & (second >= 0)
        place = np.minimum((lengths[keep] / r_max_A * bins).astype(np.int64), bins - 1)
        flat = (first[keep] * kinds + second[keep]) * bins + place
        found = np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        counts += found
        weighted += found * abs(np.linalg.det(cell))
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    frames = len(motion.positions)
    numbers = np.array([len(indices) for indices in chosen.values()])
    g = weighted / (frames * numbers[:, None, None] * numbers[None, :, None] * shells)
    names = list(chosen)
    partial = {
        f"{names[i]}-{names[j]}": 0.5 * (g[i, j] + g[j, i]) for i, j in combinations_with_replacement(range(kinds), 2)
    }
    around = np.cumsum(counts, axis=2) / (frames * numbers[:, None, None])
    coordination = {f"{names[i]}-{names[j]}": around[i, j] for i in range(kinds) for j in range(kinds)}
    total = weighted.sum(axis=(0, 1)) / (frames * numbers.sum() ** 2 * shells)
    return PairDistribution(0.5 * (edges[1:] + edges[:-1]), total, partial, coordination, frames)


@dataclass(frozen=True, eq=False)
class AngleDistribution:
    """How often angles between bonds of one atom are found.

    Attributes:
        angles_degree: (bins,) middles of the bins.
        density_per_degree: (bins,) by triple of elements with the centre in the middle, "O-Si-O"; each has the area 1.
        counts: angles found, by triple.
    """

    angles_degree: NDArray[np.float64]
    density_per_degree: dict[str, NDArray[np.float64]]
    counts: dict[str, int]


def angle_distribution(
    motion: Motion, cutoff_A: float, bins: int = 180, symbols: str | None = None
) -> AngleDistribution:
    """Angles between all pairs of bonds of an atom.

    Args:
        motion: of any structure.
        cutoff_A: longest bond, Å.
        bins: of angles.
        symbols: elements of the atom in the middle; None is all.

    Raises:
        ConfigError: for a length or bins that make no sense, or elements that are not there.
        DataError: if there are no angles.
    """
    if not (np.isfinite(cutoff_A) and cutoff_A > 0):
        raise ConfigError(f"the longest bond must be larger than 0 Å, not {cutoff_A}")
    if not 2 <= bins <= MOST_BINS:
        raise ConfigError(f"take 2 to {MOST_BINS} bins, not {bins}")
    wanted = np.zeros(len(motion.atoms), dtype=bool)
    for indices in select(motion.atoms, symbols).values():
        wanted[indices] = True
    histograms: dict[str, NDArray[np.float64]] = {}
    symbol_of, element = np.unique(motion.atoms.get_chemical_symbols(), return_inverse=True)
    for positions, cell in zip(motion.positions, motion.cells, strict=True):
        centres, neighbours, shifts, lengths = neighbor_list(positions, cell, motion.atoms.pbc, cutoff_A)
        vectors = (positions[neighbours] - positions[centres] + shifts @ cell) / lengths[:, None]
        starts = np.searchsorted(centres, np.arange(len(element) + 1))  # bonds are sorted by centre
        for atom in np.flatnonzero(wanted):
            mine = slice(starts[atom], starts[atom + 1])
            bonds, ends = vectors[mine], element[neighbours[mine]]
            i, j = np.triu_indices(len(bonds), 1)
            angles = np.degrees(np.arccos(np.clip((bonds[i] * bonds[j]).sum(axis=1), -1, 1)))
            pairs = np.sort(np.stack([ends[i], ends[j]]), axis=0)
            for low, high in {(int(low), int(high)) for low, high in pairs.T}:
                mine_too = (pairs[0] == low) & (pairs[1] == high)
                found = np.histogram(angles[mine_too], bins=bins, range=(0.0, 180.0))[0]
                triple = f"{symbol_of[low]}-{symbol_of[element[atom]]}-{symbol_of[high]}"
                histograms[triple] = histograms.get(triple, np.zeros(bins)) + found
    if not histograms:
        raise DataError(f"no atom has two bonds of up to {cutoff_A:g} Å; take a longer cutoff")
    width = 180.0 / bins
    middles: NDArray[Any] = width * (np.arange(bins) + 0.5)
    return AngleDistribution(
        middles,
        {name: found / (found.sum() * width) for name, found in sorted(histograms.items())},
        {name: int(found.sum()) for name, found in sorted(histograms.items())},
    )
