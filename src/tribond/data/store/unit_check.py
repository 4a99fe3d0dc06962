"""Energies, forces and stresses against each other: what the energy of near structures says of the other two.

Between two structures of the same atoms, of which one is the other a little strained and moved,

    E2 - E1 = -(F1 + F2)/2 · Δr + (V1 σ1 + V2 σ2)/2 : ε

up to the third order (Δr at constant strain, ε measured in the middle). Where one of the two terms is nearly the whole, the
ratio of E2 - E1 to it is 1 if units and sign are right, and 1/160.2, -1, ... if they are not. Nothing is said unless most
pairs agree: basis sets that change with the volume, and other k-points, make differences of energies wrong as well.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.data.frames import Frame
from tribond.data.labels import STRESS_FACTORS
from tribond.data.store.store import Store

MOST_PAIRS = 4000  # of a file that are looked at
FEWEST = 8  # pairs that may say something
AGREE = 0.8  # of the pairs within NEAR of their median
NEAR = 0.3  # relative
LARGEST_STRAIN = 0.04
LARGEST_MOVE = 0.15  # Å
SMALLEST_CHANGE = 5e-4  # eV an atom: less may be noise
STILL, RIGID = 1e-5, 1e-6  # Å and strain | atoms that do not move, cells that stay the same
OTHER_TERM = 0.1  # of the change of energy that the other term may be
FORCE_FACTORS = {
    -1.0: "gradients, of the other sign",
    51.42: "hartree/bohr",
    25.71: "rydberg/bohr",
    0.04336: "kcal/mol/Å",
}


@dataclass(frozen=True)
class Verdict:
    """What the pairs of one source say of one label."""

    where: str
    label: str  # "stress" or "forces"
    pairs: int
    ratio: float | None  # of what the label must be, to what it is; None: it cannot be told
    wrong: bool
    text: str

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def check_units(store: Store, units: Mapping[str, str], sources: Mapping[str, int]) -> list[Verdict]:
    """Check the labels of every source against its energies.

    Args:
        store: whose structures stand in the order of their files.
        units: of stresses, by file.
        sources: what files belong together, by file.

    Returns:
        For each source, and for each file that has enough pairs of its own, what stresses and forces look like.
    """
    files = store.texts("files")
    ratios: dict[tuple[int, str], list[float]] = defaultdict(list)
    for first, second in _near_rows(store).tolist():
        found = pair_ratios(store[first], store[second])
        for label, ratio in found.items():
            ratios[int(store.column("file")[second]), label].append(ratio)
    verdicts = []
    pooled: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    names: dict[int, list[str]] = defaultdict(list)
    for number, file in enumerate(files):
        names[sources[file]].append(file)
        for label in ("stress", "forces"):
            own = ratios.get((number, label), [])
            if len(own) >= FEWEST and len(files) > 1:
                verdict = _verdict(file, label, own, units[file])
                verdicts += [verdict] if verdict.wrong else []
            pooled[sources[file], label, units[file]] += own
    for (source, label, unit), together in sorted(pooled.items()):
        of = names[source]
        verdict = _verdict(of[0] if len(of) == 1 else f"{of[0]} and {len(of) - 1} more files", label, together, unit)
        verdicts.append(verdict)
    return verdicts


def _near_rows(store: Store) -> NDArray[np.int64]:
    """(pairs, 2) structures of one file and level with the same formula and number of atoms that follow each other."""
    columns = [store.column(name).astype(np.int64) for name in ("file", "level", "formula", "size")]
    order = np.lexsort((np.arange(len(store)), *reversed(columns)))
    same = np.all([column[order[1:]] == column[order[:-1]] for column in columns], axis=0)
    labelled = store.has("energy") & (store.has("stress") | store.has("forces"))
    same &= labelled[order[1:]] & labelled[order[:-1]]
    pairs = np.stack([order[:-1][same], order[1:][same]], axis=1)
    chosen = []
    file = store.column("file")[pairs[:, 0]]
    for number in np.unique(file).tolist():
        mine = np.flatnonzero(file == number)
        chosen.append(mine[:: max(1, len(mine) // MOST_PAIRS)][:MOST_PAIRS])
    return pairs[np.sort(np.concatenate(chosen))] if chosen else pairs


def pair_ratios(one: Frame, other: Frame) -> dict[str, float]:
    """By label, what it would have to be multiplied by for the difference of energies to come out; empty if it does not tell."""
    steps = _small_steps(one, other)
    if steps is None or one.energy is None or other.energy is None:
        return {}
    gradient, moved = steps
    change = other.energy - one.energy
    still, rigid = np.abs(moved).max(initial=0.0) < STILL, np.abs(gradient).max() < RIGID
    forced = one.forces is not None and other.forces is not None
    stressed = one.stress is not None and other.stress is not None
    if abs(change) < SMALLEST_CHANGE * len(moved) or not (forced or still) or not (stressed or rigid):
        return {}
    work = strain_work = 0.0
    if one.forces is not None and other.forces is not None:
        work = -float(((one.forces + other.forces) / 2 * moved).sum())
    if one.stress is not None and other.stress is not None:
        mean = (one.stress * one.atoms.get_volume() + other.stress * other.atoms.get_volume()) / 2
        strain_work = float((mean * (gradient + gradient.T) / 2).sum())
    found = {}
    if abs(work) < OTHER_TERM * abs(change) and strain_work:
        found["stress"] = change / strain_work
    # A stress in a wrong unit may look like anything, so only a cell that stays the same tells of forces.
    if rigid and work:
        found["forces"] = change / work
    return found


def _small_steps(one: Frame, other: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """By how much the second structure is strained (3, 3), and how far its atoms moved besides (atoms, 3) Å; None: too far."""
    if not np.array_equal(one.atoms.numbers, other.atoms.numbers):
        return None
    if not one.atoms.pbc.all() or not other.atoms.pbc.all():
        return None
    cells = one.atoms.cell.array, other.atoms.cell.array
    middle = (cells[0] + cells[1]) / 2
    if abs(np.linalg.det(middle)) < 0.5 * min(abs(np.linalg.det(cell)) for cell in cells):
        return None  # of another orientation
    gradient = np.linalg.solve(middle, cells[1] - cells[0])
    inside = [frame.atoms.positions @ np.linalg.inv(cell) for frame, cell in zip((one, other), cells, strict=True)]
    moved = inside[1] - inside[0]
    moved = (moved - np.round(moved)) @ middle
    if np.abs(gradient).max() > LARGEST_STRAIN or np.abs(moved).max(initial=0.0) > LARGEST_MOVE:
        return None
    return gradient, moved


def _verdict(where: str, label: str, ratios: list[float], unit: str) -> Verdict:
    values = np.array(ratios)
    median = float(np.median(values)) if len(values) else 0.0
    agree = float((np.abs(values / median - 1) < NEAR).mean()) if median else 0.0
    told = f"{label} of {where}"
    if len(values) < FEWEST or agree < AGREE:
        return Verdict(
            where,
            label,
            len(values),
            None,
            wrong=False,
            text=f"{told}: {len(values)} pairs of near structures, which is not enough or not clear enough to tell",
        )
    share = f"{round(agree * len(values))} of {len(values)} pairs of near structures"
    if abs(median - 1) < NEAR:
        return Verdict(
            where,
            label,
            len(values),
            median,
            wrong=False,
            text=f"{told} agree with the energies ({share}, ratio {median:.3f})",
        )
    meant, advice = _meant(label, median, unit)
    text = f"{told} contradict the energies: they would have to be {median:.4g} times what they are ({share})"
    return Verdict(where, label, len(values), median, wrong=True, text=f"{text}; {meant}{advice}")


def _meant(label: str, ratio: float, unit: str) -> tuple[str, str]:
    if label == "forces":
        known = {name: factor for factor, name in FORCE_FACTORS.items()}
    else:
        known = {}
        for other, factor in STRESS_FACTORS.items():
            known[other] = factor / STRESS_FACTORS[unit]
            known[f"{other} of the other sign"] = -factor / STRESS_FACTORS[unit]
    for name, factor in known.items():
        if abs(ratio / factor - 1) < NEAR:
            advice = (
                f": --stress-unit {name} reads them so"
                if label == "stress" and name in STRESS_FACTORS
                else ": convert them first"
            )
            return f"they look like {name}, and were read as {unit if label == 'stress' else 'eV/Å'}", advice
    return "no usual unit explains it", ""
