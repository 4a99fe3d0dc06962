r"""Label structures with Nequix-OAM-1 and write them in shards.

Run one process per core; each handles every STRIDE-th shard and skips shards that exist:

    python label.py --data DATASETS --catalogue CRYSTALS --out SHARDS --families special --shards 40

A shard is a function of its number, the seed, the families and, for ``hot``, the potential that moves the atoms.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from descent import Descent
from generate_crystals import RATTLE_WEIGHTS, RATTLES, Generator, Parents, acceptable, bare, read_frames
from generate_special import FAMILIES, PAIRWISE, draw
from nequix_teacher import BATCH_ATOMS, MODEL, Labeller, Labels, Teacher
from rare_gas_pairs import RareGasPairs
from special import Draft, Pool
from tribond.units import EV_PER_A3_TO_GPA as GPA

# The teacher saw few frames beyond these and is not to be trusted there.
MAX_FORCE = 15.0  # eV/Å
MAX_STRESS = 50.0 / GPA  # eV/Å³ (50 GPa)
ENERGY_RANGE = (-20.0, 10.0)  # eV/atom
CONVERGED = (0.03, 0.3 / GPA)  # a descent ends below this force (eV/Å) and stress (eV/Å³)
CRYSTALS = 200  # of a shard of the families below
ORDINARY = {"catalogue": 0, "perturbed": 3, "generated": 3}  # families near equilibrium and their steps of descent


class Sources:
    """The structures of all families."""

    def __init__(self, data: Path, catalogue: Path, excluded: Path | None, potential: Path | None, seed: int) -> None:
        """Read the catalogue.

        Args:
            data: Folder with ``mp_like``, ``properties`` and ``acwf_vasp_eos``.
            catalogue: Crystals near equilibrium, ``*.extxyz.gz``.
            excluded: File with reduced formulas that are never labelled.
            potential: Weights of the tribond potential that moves hot structures; None for the built-in one.
            seed: Seed of the whole data set.
        """
        self.data, self.seed = data, seed
        hidden = set(excluded.read_text().split()) if excluded else set()
        eos = read_frames(data / "acwf_vasp_eos/acwf_vasp_eos.extxyz.gz")
        self.pool = Pool(read_frames(catalogue), eos, hidden, potential)

    @cached_property
    def pairs(self) -> RareGasPairs:
        """What labels rare gases."""
        return RareGasPairs(read_frames(self.data / "prop_matbench_discovery/diatomics_PBE.extxyz.gz"))

    @cached_property
    def parents(self) -> Parents:
        """Parents of generated crystals: the catalogue takes the place of Materials Project frames."""
        parents = Parents(self.data)
        parents.crystals["mptrj"] = [bare(c) for c in self.pool.crystals]
        return parents

    def drafts(self, family: str, shard: int) -> list[Draft]:
        """Draw the drafts of a family.

        Args:
            family: Name of the family.
            shard: Number of the shard.

        Returns:
            Drafts, none of an excluded compound.
        """
        if family in FAMILIES:
            return draw(self.pool, family, self.seed, shard)
        if family == "generated":
            starts = Generator(self.parents, self.seed, shard).draw(CRYSTALS)
            drafts = [Draft(s.atoms, "slab" if s.slab else s.kind, move_cell=not s.slab) for s in starts]
            return [d for d in drafts if self.pool.allowed(d.atoms)]
        crystals = self.pool.crystals
        turn, first = divmod(shard * CRYSTALS, len(crystals))
        order = np.random.default_rng([self.seed, turn]).permutation(len(crystals))
        chosen = [bare(crystals[k]) for k in order[first : first + CRYSTALS]]
        if family == "catalogue":
            return [Draft(c, "as it is") for c in chosen]
        generator = Generator(self.parents, self.seed, shard)
        return [d for c in chosen if (d := _perturbed(generator, c))]


def _perturbed(generator: Generator, crystal: Atoms) -> Draft | None:
    """Strain and rattle a crystal; None if that brings atoms too close."""
    generator.distort(crystal, wide=True)
    sigma = generator.random.choice(RATTLES, p=RATTLE_WEIGHTS)
    crystal.positions += generator.random.normal(0.0, 1.0, crystal.positions.shape) * sigma
    return Draft(crystal, "strained") if acceptable(crystal) else None


def usable(labels: Labels) -> bool:
    """Tell whether labels are finite and within the bounds of this file."""
    energy, forces, stress = labels
    finite = np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()
    if not finite or not ENERGY_RANGE[0] < energy / len(forces) < ENERGY_RANGE[1]:
        return False
    return bool(np.linalg.norm(forces, axis=1).max() <= MAX_FORCE and np.abs(stress).max() <= MAX_STRESS)


def converged(labels: Labels) -> bool:
    """Tell whether a frame is so close to a minimum that further steps would repeat it."""
    _, forces, stress = labels
    return bool(np.abs(forces).max() < CONVERGED[0] and np.abs(stress).max() < CONVERGED[1])


def label(teacher: Labeller, drafts: Sequence[Draft], steps: int) -> tuple[list[Atoms], int]:
    """Label drafts along a few steps of descent.

    Args:
        teacher: Anything that labels frames as ``Teacher`` does.
        drafts: What to label.
        steps: Descent steps after the first label.

    Returns:
        Usable frames with labels and info keys kind, draft and step; and how many were dropped.
    """
    descents = [(k, d, Descent(d.atoms, move_cell=d.move_cell)) for k, d in enumerate(drafts)]
    result: list[tuple[int, int, Atoms]] = []
    dropped = 0
    for step in range(steps + 1):
        if not descents:
            break
        descents.sort(key=lambda d: len(d[2].atoms))
        labels = teacher([d.atoms for _, _, d in descents], BATCH_ATOMS)
        alive = []
        for (k, draft, descent), found in zip(descents, labels, strict=True):
            energy, forces, stress = found
            if usable(found):
                frame = bare(descent.atoms)
                frame.wrap()
                frame.info = {"kind": draft.kind, "draft": k, "step": step}
                frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
                result.append((k, step, frame))
            else:
                dropped += 1
            if step < steps and np.isfinite(forces).all() and np.isfinite(stress).all() and not converged(found):
                descent.step(forces, stress)
                alive.append((k, draft, descent))
        descents = alive
    return [frame for *_, frame in sorted(result, key=lambda r: r[:2])], dropped


def make_shard(sources: Sources, teacher: Labeller, families: Sequence[str], shard: int) -> list[Atoms]:
    """Draw and label the structures of one shard and print what became of them.

    Args:
        sources: Where structures come from.
        teacher: Anything that labels frames as ``Teacher`` does.
        families: Names of the families.
        shard: Number of the shard.

    Returns:
        Labelled frames with info keys source, family, kind, crystal and step.
    """
    result: list[Atoms] = []
    for family in families:
        steps = FAMILIES[family].steps if family in FAMILIES else ORDINARY[family]
        labeller = sources.pairs if family in PAIRWISE else teacher
        frames, dropped = label(labeller, sources.drafts(family, shard), steps)
        for frame in frames:
            crystal = f"{sources.seed}-{shard}-{family}-{frame.info.pop('draft')}"
            source = "pairs of diatomics_PBE" if family in PAIRWISE else MODEL
            frame.info = {"source": source, "family": family, "crystal": crystal, **frame.info}
        result += frames
        print(f"  {shard} {family}: {len(frames)} kept, {dropped} dropped", flush=True)
    return result


def write_shard(path: Path, frames: Sequence[Atoms]) -> None:
    """Write a shard under another name first, so that it is whole once it has its own."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    write(partial, frames, format="extxyz")
    partial.rename(path)


def families_of(names: Sequence[str]) -> list[str]:
    """Return the families meant by names; ``special`` stands for all of ``generate_special.py``."""
    known = [*ORDINARY, *FAMILIES]
    chosen = [f for name in names for f in (FAMILIES if name == "special" else [name])]
    if unknown := set(chosen) - set(known):
        raise SystemExit(f"unknown families {sorted(unknown)}; there are special, {', '.join(known)}")
    return list(dict.fromkeys(chosen))


def main(make_teacher: Callable[[Path | None], Labeller] = Teacher) -> None:
    """Make shards.

    Args:
        make_teacher: Makes the labelling function from a file of weights.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mp_like, properties, acwf_vasp_eos")
    parser.add_argument("--catalogue", type=Path, required=True, help="crystals near equilibrium, *.extxyz.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder for shard-NNNNN.extxyz")
    parser.add_argument("--families", nargs="+", default=["special"], help="special, or names of families")
    parser.add_argument("--exclude", type=Path, help="file with reduced formulas that are never labelled")
    parser.add_argument("--weights", type=Path, help="weights of the teacher; the package's own by default")
    parser.add_argument("--potential", type=Path, help="tribond weights that move hot structures; the built-in ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="first shard")
    parser.add_argument("--stride", type=int, default=1, help="distance between shards")
    parser.add_argument("--shards", type=int, default=40, help="no shard of this number or a higher one is made")
    args = parser.parse_args()
    families = families_of(args.families)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    args.out.mkdir(parents=True, exist_ok=True)
    sources = Sources(args.data, args.catalogue, args.exclude, args.potential, args.seed)
    teacher = make_teacher(args.weights)
    for shard in range(args.first, args.shards, args.stride):
        path = args.out / f"shard-{shard:05d}.extxyz"
        if path.exists():
            continue
        begin = time.monotonic()
        frames = make_shard(sources, teacher, families, shard)
        write_shard(path, frames)
        seconds, atoms = time.monotonic() - begin, sum(map(len, frames))
        counts = dict(Counter(a.info["family"] for a in frames))
        print(
            f"{path.name} {len(frames)} frames {atoms} atoms {1e3 * seconds / atoms:.1f} ms/atom {counts}", flush=True
        )


if __name__ == "__main__":
    main()
