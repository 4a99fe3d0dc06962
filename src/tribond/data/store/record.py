"""One structure on its way into a store, checked; or what is wrong with it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tribond.data.store.columns import FORCES, PERIODIC, STRESS
from tribond.errors import StructureError
from tribond.graph.checks import check_system, refuse_clash
from tribond.graph.neighbors import bonds_within

SAME = 1e-4  # Å | coordinates are rounded to this before they are compared
# Of it, where rounding changes from one number to the next. Data is written in few digits and computed from fractions:
# at 0 or 1/2, the noise of computing a/4 of a = 5.431 would round it up here and down there.
EDGE = 0.04365


@dataclass(frozen=True, eq=False)
class Record:
    """A structure and its labels, as a reader found it."""

    number: int  # in its file, from 0
    numbers: NDArray[np.int64]  # (atoms,)
    positions: NDArray[np.float64]  # (atoms, 3) Å
    cell: NDArray[np.float64]  # (3, 3) Å
    pbc: NDArray[np.bool_]  # (3,)
    energy: float | None = None  # eV
    forces: NDArray[np.float64] | None = None  # (atoms, 3) eV/Å
    stress: NDArray[np.float64] | None = None  # (3, 3) eV/Å³, ASE's sign
    id: str | None = None
    level: str | None = None  # of theory, if the file says it


@dataclass(frozen=True)
class Bad:
    """A structure that cannot go into a store."""

    number: int  # in its file, from 0
    reason: str
    kind: str = "unusable"  # or "unconverged", "unlabelled", "lost" (the rest of a file), "duplicate"
    id: str | None = None


Found = Record | Bad
Reader = Iterator[Found]


@dataclass(frozen=True, eq=False)
class Row:
    """What a store keeps of one structure."""

    record: bytes
    columns: dict[str, Any]  # see `columns.COLUMNS`; without what needs the rest of the store
    elements: NDArray[np.uint8]
    counts: NDArray[np.int64]


def make_row(record: Record, cutoffs: tuple[float, ...]) -> Row:
    """Check a structure and its labels, and count its bonds.

    Raises:
        StructureError: saying what is wrong.
    """
    atoms = len(record.numbers)
    positions = np.ascontiguousarray(record.positions, dtype=np.float64)
    cell, pbc = np.ascontiguousarray(record.cell, dtype=np.float64), np.ascontiguousarray(record.pbc, dtype=np.bool_)
    _check_labels(record, atoms)
    if positions.shape != (atoms, 3) or cell.shape != (3, 3) or pbc.shape != (3,):
        msg = f"{atoms} atoms have positions of shape {positions.shape} and a cell of shape {cell.shape}"
        raise StructureError(msg)
    check_system(record.numbers, positions, cell, pbc)
    periodic = bool(pbc.all())
    stress = record.stress if periodic else None  # there is no volume to relate it to
    edges, shortest = _bonds(record.numbers, positions, cell, pbc, cutoffs)
    numbers = record.numbers.astype(np.uint8)
    forces = np.full((atoms, 3), np.nan) if record.forces is None else np.asarray(record.forces, dtype=np.float64)
    kept = np.full((3, 3), np.nan) if stress is None else np.asarray(stress, dtype=np.float64)
    elements, counts = np.unique(numbers, return_counts=True)
    flags = sum(bit for bit, on in zip(PERIODIC, pbc.tolist(), strict=True) if on)
    return Row(
        record=b"".join(it.tobytes() for it in (cell, kept, positions, forces, numbers)),
        columns={
            "size": atoms,
            "energy": np.nan if record.energy is None else record.energy,
            "flags": flags | (record.forces is not None) * FORCES | (stress is not None) * STRESS,
            "number": record.number,
            "volume": abs(float(np.linalg.det(cell))) if periodic else np.nan,
            "largest_force": np.nan if record.forces is None else np.abs(forces).max(initial=0.0),
            "largest_stress": np.abs(kept).max(),
            "shortest": shortest,
            "hash": structure_hash(numbers, positions, cell, pbc),
            "elements": len(elements),
            **{f"edges_{cutoff:g}": count for cutoff, count in zip(cutoffs, edges, strict=True)},
        },
        elements=elements,
        counts=counts,
    )


def _check_labels(record: Record, atoms: int) -> None:
    for name, value, shape in (
        ("energy", record.energy, ()),
        ("forces", record.forces, (atoms, 3)),
        ("stress", record.stress, (3, 3)),
    ):
        if value is None:
            continue
        if np.shape(value) != shape:
            msg = f"the {name} has the shape {np.shape(value)}, not {shape}"
            raise StructureError(msg)
        if not np.isfinite(value).all():
            msg = f"the {name} is not finite"
            raise StructureError(msg)


def _bonds(
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    cutoffs: tuple[float, ...],
) -> tuple[list[int], float]:
    """Bonds within every cutoff, and the distance of the two nearest atoms.

    Raises:
        StructureError: for atoms on top of each other.
    """
    tensors = torch.from_numpy(positions), torch.from_numpy(cell), torch.from_numpy(pbc)
    found = {cutoff: bonds_within(*tensors, cutoff, 0.0) for cutoff in cutoffs}
    near = found[min(cutoffs)]
    if near.clash is not None:
        refuse_clash(numbers, *near.clash)
    shortest = np.nan
    if near.edge_index.shape[1]:
        centres, neighbours = near.edge_index.numpy()
        vectors = positions[neighbours] - positions[centres] + near.cell_shifts.numpy() @ cell
        shortest = float(np.sqrt((vectors**2).sum(axis=1).min()))
    return [int(found[cutoff].edge_index.shape[1]) for cutoff in cutoffs], shortest


def structure_hash(
    numbers: NDArray[np.uint8], positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> int:
    """The same for nearly all that is the same structure but for the noise of computing, its atoms in the same order.

    Coordinates that differ by d Å are rounded to different numbers in a share of d / SAME of all cases.
    """
    digest = hashlib.blake2b(numbers.tobytes(), digest_size=8)
    for values in (positions, np.where(pbc[:, None], cell, 0.0)):
        digest.update(np.floor(values / SAME + EDGE).astype(np.int64).tobytes())
    digest.update(pbc.tobytes())
    return int.from_bytes(digest.digest(), "little")
