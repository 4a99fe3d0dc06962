"""Rare gases from the DFT curves of their pairs: the teacher makes them collapse, and pairs are nearly all there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from scipy.interpolate import CubicSpline
from vesin import ase_neighbor_list

CUTOFF = 6.0  # Å; the curves end here, flat to 1 meV
SYMBOLS = ("He", "Ne", "Ar", "Kr", "Xe")


class RareGasPairs:
    """Sum of pair energies; labels frames as the teacher does.

    The curve of two kinds is the mean of both kinds' curves with distances scaled to the mean of their diameters.
    """

    def __init__(self, dimers: Sequence[Atoms]) -> None:
        """Fit the curves.

        Args:
            dimers: DFT frames of diatomics (eV), of rare gases and others.
        """
        self._curves: dict[int, CubicSpline] = {}
        self._diameter: dict[int, float] = {}
        self._atom: dict[int, float] = {}
        for symbol in SYMBOLS:
            pairs = [d for d in dimers if set(d.symbols) == {symbol}]
            curve = sorted((d.get_distance(0, 1), d.get_potential_energy()) for d in pairs)
            r, energy = np.array(curve).T
            energy = energy - energy[-1]
            z = int(pairs[0].numbers[0])
            self._atom[z] = 0.5 * curve[-1][1]
            self._curves[z] = CubicSpline(r, energy, bc_type=("not-a-knot", (1, 0.0)))
            # Where the wall is 50 meV high; the minima are too flat to say what size an atom has.
            self._diameter[z] = float(r[energy > 0.05].max())

    def _pair(self, a: int, b: int, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return energies (eV) and slopes (eV/Å) of pairs at distances ``r`` (Å), each of shape (pairs,)."""
        mean = 0.5 * (self._diameter[a] + self._diameter[b])
        energy, slope = np.zeros(len(r)), np.zeros(len(r))
        for z in (a, b):
            scale = self._diameter[z] / mean
            inside = r * scale < CUTOFF
            energy += 0.5 * np.where(inside, self._curves[z](r * scale), 0.0)
            slope += 0.5 * scale * np.where(inside, self._curves[z](r * scale, 1), 0.0)
        return energy, slope

    def __call__(self, frames: Sequence[Atoms], _batch_atoms: int = 0) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """Label frames.

        Args:
            frames: Periodic structures of rare gases.
            _batch_atoms: Not used; there is nothing to batch.

        Returns:
            For every frame energy (eV), forces (eV/Å) and stress (eV/Å³, ASE's sign, Voigt order).
        """
        return [self._label(a) for a in frames]

    def _label(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        i, j, r, vectors = ase_neighbor_list("ijdD", atoms, 1.6 * CUTOFF)
        energy = sum(self._atom[z] for z in atoms.numbers)
        pull = np.zeros((len(i), 3))
        for a in np.unique(atoms.numbers):
            for b in np.unique(atoms.numbers):
                of = (atoms.numbers[i] == a) & (atoms.numbers[j] == b)
                found, slope = self._pair(int(a), int(b), r[of])
                energy += 0.5 * found.sum()
                pull[of] = (slope / r[of])[:, None] * vectors[of]
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull)
        virial = 0.5 * vectors.T @ pull / atoms.cell.volume
        return float(energy), forces, virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
