r"""Label generated crystals with SevenNet-0 and write them in shards.

Run one process per core; each handles every STRIDE-th shard and skips shards that exist:

    MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 \
        python label.py --data DATASETS --out SHARDS --first 0 --stride 2 --minutes 40

The two variables keep the allocator from returning memory to the system: a quarter faster.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sevenn
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from sevenn import _keys as keys
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import load_checkpoint
from torch_geometric.data import Batch

from descent import Descent
from generate_crystals import Generator, Parents
from tribond.units import EV_PER_A3_TO_GPA as GPA

CHECKPOINT = "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"
MAX_FORCE = 30.0  # eV/Å
MAX_STRESS = 100.0 / GPA  # eV/Å³ (100 GPa)
ENERGY_RANGE = (-20.0, 10.0)  # eV/atom
CONVERGED = (0.05, 0.5 / GPA)  # a descent ends below this force (eV/Å) and stress (eV/Å³)
BATCH_ATOMS = 48

Labels = tuple[float, np.ndarray, np.ndarray]


class Teacher:
    """Batched evaluation of SevenNet-0 in single precision."""

    def __init__(self, device: str = "cpu") -> None:
        """Load the weights that come with sevenn.

        Args:
            device: Torch device.
        """
        path = Path(sevenn.__file__).parent / CHECKPOINT
        self.device = device
        self.model = load_checkpoint(str(path)).build_model().to(device).eval()
        self.model.set_is_batch_data(True)
        self.model.requires_grad_(False)

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

    def _batch(self, frames: Sequence[Atoms]) -> list[Labels]:
        graphs = [AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(a, self.model.cutoff)) for a in frames]
        output = self.model(Batch.from_data_list(graphs).to(self.device))
        energies = output[keys.PRED_TOTAL_ENERGY].detach().cpu().double().numpy().reshape(-1)
        stresses = -output[keys.PRED_STRESS].detach().cpu().double().numpy()[:, [0, 1, 2, 4, 5, 3]]
        forces = output[keys.PRED_FORCE].detach().cpu().double().numpy()
        pieces = np.split(forces, np.cumsum([len(a) for a in frames])[:-1])
        return [(float(e), f, s) for e, f, s in zip(energies, pieces, stresses, strict=True)]


def usable(labels: Labels) -> bool:
    """Tell whether labels are finite and within the bounds of this file."""
    energy, forces, stress = labels
    per_atom = energy / len(forces)
    finite = np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()
    if not finite or not ENERGY_RANGE[0] < per_atom < ENERGY_RANGE[1]:
        return False
    return bool(np.linalg.norm(forces, axis=1).max() < MAX_FORCE and np.abs(stress).max() < MAX_STRESS)


def converged(labels: Labels) -> bool:
    """Tell whether a frame is so close to a minimum that further steps would repeat it."""
    _, forces, stress = labels
    return bool(np.abs(forces).max() < CONVERGED[0] and np.abs(stress).max() < CONVERGED[1])


def make_shard(parents: Parents, teacher: Teacher, seed: int, shard: int, crystals: int, steps: int) -> list[Atoms]:
    """Generate, label and relax crystals for a few steps.

    Args:
        parents: Parent crystals.
        teacher: The labelling potential.
        seed: Seed of the whole data set.
        shard: Number of the shard.
        crystals: Crystals per shard.
        steps: Descent steps per crystal.

    Returns:
        All usable frames with labels and info keys source, kind, crystal and step.
    """
    starts = Generator(parents, seed, shard).draw(crystals)
    descents = [(k, s, Descent(s.atoms, move_cell=not s.slab)) for k, s in enumerate(starts)]
    result: list[Atoms] = []
    for step in range(steps + 1):
        if not descents:
            break
        labels = teacher([d.atoms for _, _, d in descents])
        alive = []
        for (k, start, descent), label in zip(descents, labels, strict=True):
            energy, forces, stress = label
            if usable(label):
                frame = descent.atoms.copy()
                frame.wrap()
                kind = "slab" if start.slab else start.kind
                frame.info = {
                    "source": "sevennet-0",
                    "kind": kind,
                    "crystal": f"{seed}-{shard}-{k}",
                    "step": step,
                }
                frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
                result.append(frame)
            if np.isfinite(forces).all() and np.isfinite(stress).all() and not converged(label):
                descent.step(forces, stress)
                alive.append((k, start, descent))
        descents = alive
    return result


def main() -> None:
    """Make shards until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mp_like, properties, acwf_vasp_eos")
    parser.add_argument("--out", type=Path, required=True, help="folder for shard-NNNNN.extxyz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="first shard")
    parser.add_argument("--stride", type=int, default=1, help="distance between shards")
    parser.add_argument("--crystals", type=int, default=125, help="crystals per shard")
    parser.add_argument("--steps", type=int, default=4, help="descent steps per crystal")
    parser.add_argument("--minutes", type=float, default=30.0, help="no new shard is begun after this time")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60.0 * args.minutes
    parents, teacher = Parents(args.data), Teacher()
    shard = args.first
    while time.monotonic() < end:
        path = args.out / f"shard-{shard:05d}.extxyz"
        if not path.exists():
            begin = time.monotonic()
            frames = make_shard(parents, teacher, args.seed, shard, args.crystals, args.steps)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            write(partial, frames, format="extxyz")
            partial.rename(path)
            seconds, atoms = time.monotonic() - begin, sum(map(len, frames))
            print(
                f"{path.name} {len(frames)} frames {atoms} atoms {1e3 * seconds / atoms:.1f} ms/atom",
                flush=True,
            )
        shard += args.stride


if __name__ == "__main__":
    main()
