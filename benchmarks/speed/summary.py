"""From single times to medians, ratios, and which goals hold."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.speed.cases import CASES, DENSE, LARGE, MEMORY, REFERENCE, Case
from benchmarks.speed.codes import CODES, PEERS
from benchmarks.speed.crystals import named
from benchmarks.speed.log import Log

MOST_MEMORY = ("Si 4096", 0.6e9)  # bytes above import that tribond shall need for this at most
FLAT = 1.25  # from REFERENCE atoms on, the slowest size needs at most so many times the time an atom
OURS = "tribond"


@dataclass(frozen=True)
class Comparison:
    """One case, all codes."""

    case: Case
    seconds: dict[str, float]  # medians by code
    errors: dict[str, str]
    fastest_peer: str | None
    times_faster: float | None  # than the fastest peer: the median of the ratios of each turn
    times_limit: float | None  # how many times the limit we need, the median of each turn's; None where there is none
    turns: int


@dataclass(frozen=True)
class Single:
    """One code and one structure in a process of its own."""

    code: str
    structure: str
    atoms: int
    bonds: int
    seconds: float | None  # None if it failed
    rate: float | None  # of matrix multiplication, operations a second, right afterwards; of tribond alone
    times_reference: float | None  # the time of an atom over that of one among REFERENCE; of tribond alone
    peak_bytes: int | None
    error: str | None

    @property
    def dense(self) -> bool:
        """Whether the crystal was compressed."""
        return self.structure.endswith("dense")


@dataclass(frozen=True)
class Goal:
    """What was aimed at."""

    text: str
    holds: bool
    found: str


def comparisons(log: Log, codes: Sequence[str], flops_per_bond: int) -> list[Comparison]:
    """Every case that was measured with these codes."""
    found = []
    for case in CASES:
        took_part = [code for code in codes if case.takes_part(code)]
        turns = log.turns(case.name, took_part)[: case.turns]
        if not turns:
            continue
        errors = {code: error for turn in turns for code, error in turn["errors"].items()}
        times = {
            code: [turn["seconds"][code] for turn in turns]
            for code in took_part
            if all(code in turn["seconds"] for turn in turns)
        }
        medians = {code: statistics.median(values) for code, values in times.items()}
        peer = min((code for code in PEERS if code in medians), key=lambda code: medians[code], default=None)
        if OURS in medians:
            ratio = None
            if peer is not None:
                ratio = statistics.median(a / b for a, b in zip(times[peer], times[OURS], strict=True))
            found.append(
                Comparison(case, medians, errors, peer, ratio, _times_limit(case, turns, flops_per_bond), len(turns))
            )
    return found


def _times_limit(case: Case, turns: Sequence[dict[str, Any]], flops_per_bond: int) -> float | None:
    pairs = [(turn["seconds"][OURS], turn["rate"]) for turn in turns if turn["rate"]]
    if case.structure is None or not pairs:
        return None
    operations = count_bonds(case.structure) * flops_per_bond
    return statistics.median(seconds * rate / operations for seconds, rate in pairs)


def singles(log: Log) -> list[Single]:
    """What was measured of one code alone."""
    found = []
    for record in log.records:
        if "alone" not in record:
            continue
        structure = record["structure"]
        failed = "error" in record
        found.append(
            Single(
                code=record["alone"],
                structure=structure,
                atoms=int(structure.split()[1]),
                bonds=count_bonds(structure),
                seconds=None if failed else statistics.median(record["seconds"]),
                rate=record.get("rate"),
                times_reference=None if failed else _times_reference(record),
                peak_bytes=None if failed else record["peak_bytes"],
                error=record.get("error"),
            )
        )
    return found


def _times_reference(record: dict[str, Any]) -> float | None:
    atoms = int(record["structure"].split()[1])
    if record["alone"] != OURS or atoms < REFERENCE:
        return None
    if not record["reference_seconds"]:
        return 1.0
    return statistics.median(record["seconds"]) / atoms / (statistics.median(record["reference_seconds"]) / REFERENCE)


def overall_rate(log: Log) -> float | None:
    """The median rate of matrix multiplication in the run, operations a second."""
    rates = [record["rate"] for record in log.records if record.get("rate")]
    return statistics.median(rates) if rates else None


@cache
def count_bonds(structure: str) -> int:
    """Directed bonds of a structure."""
    from benchmarks.speed.codes import CUTOFF
    from tribond.graph.neighbors import neighbor_list

    atoms = named(structure)
    return len(neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)[0])


def goals(compared: Sequence[Comparison], alone: Sequence[Single]) -> list[Goal]:
    """Those that these measurements can tell."""
    found = []
    for it in compared:
        case = it.case
        if case.goal and it.times_faster is not None:
            text = f"{case.name}: at least {case.goal:g} times as fast as the fastest peer"
            peer = CODES[str(it.fastest_peer)].label
            found.append(Goal(text, it.times_faster >= case.goal, f"{it.times_faster:.1f} times {peer}"))
        if case.near_limit and it.times_limit is not None:
            text = f"{case.name}: at most {case.near_limit:g} times the limit"
            found.append(Goal(text, it.times_limit <= case.near_limit, f"{it.times_limit:.1f} times"))
    structure, most = MOST_MEMORY
    for it in alone:
        if it.code == OURS and it.structure == structure and it.peak_bytes is not None:
            text = f"{structure}: less than {most / 1e9:g} GB above import"
            found.append(Goal(text, it.peak_bytes < most, f"{it.peak_bytes / 1e9:.2f} GB"))
    found += _flat(alone)
    return found


def _flat(alone: Sequence[Single]) -> list[Goal]:
    """Whether the time of an atom depends on how many there are, at both densities."""
    found = []
    wanted = {False: {f"Si {size}" for size in (*MEMORY, *LARGE) if size >= REFERENCE}}
    wanted[True] = {f"Si {size} dense" for size in DENSE}
    for dense, structures in wanted.items():
        measured = [it for it in alone if it.code == OURS and it.structure in structures and it.times_reference]
        if {it.structure for it in measured} != structures:
            continue
        times = [it.times_reference for it in measured if it.times_reference]
        largest = max(it.atoms for it in measured)
        density = ", three times the density" if dense else ""
        text = f"time of an atom the same from {REFERENCE} to {largest:,} atoms{density} (within {FLAT:g} times)"
        found.append(Goal(text, max(times) <= FLAT * min(times), f"{max(times) / min(times):.2f} times"))
    return found
