"""Structures as the tensors of a batch."""

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from torch import Tensor


def tensors(structures: Sequence[Atoms]) -> dict[str, Tensor]:
    """What `graph_from_tensors` and `VerletBatch` take."""
    return {
        "positions": torch.from_numpy(np.concatenate([atoms.positions for atoms in structures])),
        "cell": torch.from_numpy(np.stack([atoms.cell.array for atoms in structures])),
        "pbc": torch.from_numpy(np.stack([atoms.pbc for atoms in structures])),
        "atomic_numbers": torch.from_numpy(np.concatenate([atoms.numbers for atoms in structures])),
        "system_index": torch.arange(len(structures)).repeat_interleave(torch.tensor([len(a) for a in structures])),
    }
