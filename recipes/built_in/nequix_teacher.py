"""The teacher: Nequix-OAM-1 through the public package ``nequix``, an ordinary dependency of this recipe alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from nequix.calculator import from_pretrained
from nequix.data import preprocess_graph

MODEL = "nequix-oam-1"
BATCH_ATOMS = 160

Labels = tuple[float, np.ndarray, np.ndarray]
Labeller = Callable[[Sequence[Atoms], int], list[Labels]]


class Teacher:
    """Batched evaluation of Nequix-OAM-1 in single precision on one CPU."""

    def __init__(self, weights: Path | None = None) -> None:
        """Load the weights.

        Args:
            weights: File of weights; None for the package's own, which it downloads once.
        """
        self.model, self.config = from_pretrained(MODEL, weights, backend="torch", use_kernel=False)
        self.model.eval().requires_grad_(False)
        self._index = {z: k for k, z in enumerate(sorted(self.config["atomic_numbers"]))}

    def __call__(self, frames: Sequence[Atoms], batch_atoms: int = BATCH_ATOMS) -> list[Labels]:
        """Label frames.

        Args:
            frames: Periodic structures.
            batch_atoms: A batch is closed once it holds this many atoms.

        Returns:
            For every frame energy (eV), forces (eV/Å) and stress (eV/Å³, ASE's sign, Voigt order).
        """
        result: list[Labels] = []
        pending: list[Atoms] = []
        for k, frame in enumerate(frames):
            pending.append(frame)
            if sum(map(len, pending)) >= batch_atoms or k == len(frames) - 1:
                result += self._batch(pending)
                pending = []
        return result

    def _batch(self, frames: list[Atoms]) -> list[Labels]:
        graphs = [preprocess_graph(a, self._index, self.config["cutoff"], False) for a in frames]
        sizes = [len(a) for a in frames]
        starts = np.cumsum([0, *sizes[:-1]])

        def joined(key: str) -> torch.Tensor:
            return torch.from_numpy(np.concatenate([g[key] for g in graphs]))

        senders, receivers = (
            torch.from_numpy(np.concatenate([g[key] + n for g, n in zip(graphs, starts, strict=True)])).long()
            for key in ("senders", "receivers")
        )
        owner = torch.from_numpy(np.repeat(np.arange(len(frames)), sizes))
        cells = torch.from_numpy(np.stack([a.cell.array for a in frames])).float()
        atomic, forces, stress = self.model(
            joined("species").long(),
            joined("positions").float(),
            joined("shifts").float(),
            torch.stack([senders, receivers]),
            cells,
            None,
            None,
            owner,
        )
        energies = torch.zeros(len(frames), dtype=torch.float64).index_add_(
            0, owner, atomic.detach().double().flatten()
        )
        pieces = np.split(forces.detach().double().numpy(), starts[1:])
        voigt = stress.detach().double().numpy()[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return [(float(e), f, s) for e, f, s in zip(energies, pieces, voigt, strict=True)]
