"""The picture of in.melt: the atoms before and after, and how far pairs of atoms are apart.

Usage: python picture.py melt.dump melt.png
"""

import sys
from collections.abc import Iterator

import ase.io
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from vesin import ase_neighbor_list

SLICE_A = 3.0  # in the middle of the cell along y, seen from the front: a layer of the crystal
COLOURS = {"Na": "#7b3fa0", "Cl": "#4caf50"}
SIZES = {"Na": 5.0, "Cl": 12.0}
FARTHEST_A = 9.0


def pair_distances(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Distances in Å, and how many sodium atoms there are about a chlorine atom, over what an even mixture would have."""
    first, second, lengths = ase_neighbor_list("ijd", atoms, FARTHEST_A)
    chlorine = np.array(atoms.symbols) == "Cl"
    counts, edges = np.histogram(lengths[chlorine[first] & ~chlorine[second]], bins=180, range=(0, FARTHEST_A))
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    even = chlorine.sum() * (~chlorine).sum() / atoms.get_volume()
    return (edges[1:] + edges[:-1]) / 2, counts / shells / even


def panels(frames: list[Atoms]) -> Iterator[tuple[str, Atoms]]:
    """Titles and frames."""
    yield "crystal, at the start", frames[0]
    yield "after the run: liquid", frames[-1]


def main() -> None:
    """Read the dump and draw."""
    frames = ase.io.read(sys.argv[1], index=":", format="lammps-dump-text")
    figure, axes = plt.subplots(3, 1, figsize=(8, 9), height_ratios=(2, 2, 1.6), layout="constrained")
    for axis, (title, atoms) in zip(axes, panels(frames), strict=False):
        atoms.wrap()
        inside = np.abs(atoms.positions[:, 1] - atoms.cell[1, 1] / 2) < SLICE_A / 2
        for symbol, colour in COLOURS.items():
            seen = (np.array(atoms.symbols) == symbol) & inside
            axis.scatter(*atoms.positions[seen][:, [0, 2]].T, s=SIZES[symbol], c=colour, label=symbol, linewidths=0)
        axis.set(title=f"{title} ({len(atoms):,} atoms, a slice of {SLICE_A:g} Å)", ylabel="z, Å", aspect="equal")
        axis.set(xlim=(0, atoms.cell[0, 0]), ylim=(0, atoms.cell[2, 2]))
    axes[1].set_xlabel("x, Å")
    axes[0].legend(loc="upper right", markerscale=2)
    for title, atoms in panels(frames):
        axes[2].plot(*pair_distances(atoms), label=title)
    axes[2].set(xlabel="distance of Na and Cl, Å", ylabel="pair distribution", xlim=(1.5, FARTHEST_A), ylim=(0, 5))
    axes[2].legend()
    figure.savefig(sys.argv[2], dpi=110)


if __name__ == "__main__":
    main()
