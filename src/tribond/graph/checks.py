"""What no system of atoms may be, in clear errors, before anything is searched for in it."""

import math
from typing import NoReturn

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

from tribond.errors import StructureError, UnknownElementError
from tribond.graph.bonds import SMALLEST_DISTANCE
from tribond.reading.checks import PLACEHOLDER

# A periodic atom farther out than this, Å, has lost the digits that say where in the cell it is: float64 has sixteen.
FARTHEST = 1e9
LONGEST_VECTOR = 1e5  # Å; the search divides a cell into parts as wide as the cutoff, and there may not be too many
SMALLEST_RELATIVE_VOLUME = 1e-6  # volume over the product of the lattice vectors' lengths
LARGEST_NUMBER = 118


def check_system(
    numbers: NDArray[np.integer], positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> None:
    """Raise StructureError for what is no element, for what is not finite, and for periodic axes without volume.

    Args:
        numbers: (atoms,) atomic numbers.
        positions: (atoms, 3) Å.
        cell: (3, 3) Å, rows are lattice vectors.
        pbc: (3,) periodic along a, b, c.
    """
    _check_finite(numbers, positions, cell)
    check_cell(cell, pbc)
    _check_near(numbers, positions, cell, pbc)


def check_systems(
    numbers: NDArray[np.integer],
    positions: NDArray[np.float64],
    cells: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    starts: NDArray[np.int64],
) -> None:
    """The same for many systems at once; the error says which system, if there are several.

    Args:
        numbers: (atoms,) atomic numbers.
        positions: (atoms, 3) Å.
        cells: (systems, 3, 3) Å, rows are lattice vectors.
        pbc: (systems, 3) periodic along a, b, c.
        starts: (systems + 1,) the first atom of every system, and the number of atoms.
    """
    doubtful = ~_are_ordinary(cells, pbc)
    fine = (numbers >= 1) & (numbers <= LARGEST_NUMBER) & (np.abs(positions) <= FARTHEST).all(axis=1)
    doubtful[np.searchsorted(starts, np.flatnonzero(~fine), side="right") - 1] = True
    for system in np.flatnonzero(doubtful).tolist():
        atoms = slice(starts[system], starts[system + 1])
        try:
            check_system(numbers[atoms], positions[atoms], cells[system], pbc[system])
        except StructureError as error:
            name_system(error, system, len(cells))
            raise


def name_system(error: StructureError, system: int, systems: int) -> None:
    """Put into an error which of several systems it is about."""
    if systems > 1:
        error.args = (f"system {system}: {error}",)


def _check_near(
    numbers: NDArray[np.integer], positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> None:
    """Only along periodic axes: an atom that has flown off along an open one is nobody's neighbour."""
    if not pbc.any() or np.abs(positions).max(initial=0.0) <= FARTHEST:
        return
    periodic = cell[pbc]
    along = np.abs(positions @ (periodic / np.linalg.norm(periodic, axis=1)[:, None]).T).max(axis=1)
    if along.max() > FARTHEST:
        first = int(np.argmax(along))
        msg = (
            f"atom {first} ({chemical_symbols[numbers[first]]}) is at {positions[first].tolist()}: more than {FARTHEST:g} Å "
            "out along a periodic axis, its place in the cell is no longer resolved; move it into the cell (atoms.wrap())"
        )
        raise StructureError(msg)


def _check_finite(numbers: NDArray[np.integer], positions: NDArray[np.float64], cell: NDArray[np.float64]) -> None:
    if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= LARGEST_NUMBER):
        first = int(np.flatnonzero((numbers < 1) | (numbers > LARGEST_NUMBER))[0])
        number = int(numbers[first])
        dummy = " (X, a dummy atom)" if number == 0 else ""
        msg = f"atomic number {number}{dummy} of atom {first} is no element; remove the atom or name its element"
        raise UnknownElementError(msg)
    finite = np.isfinite(positions)
    if not finite.all():
        first = int(np.flatnonzero(~finite.all(axis=1))[0])
        symbol = chemical_symbols[numbers[first]]
        msg = f"the position of atom {first} ({symbol}) is {positions[first].tolist()}; it must be finite"
        raise StructureError(msg)
    if not np.isfinite(cell).all():
        msg = f"the cell {cell.tolist()} must be finite"
        raise StructureError(msg)


def check_cell(cell: np.ndarray, pbc: np.ndarray) -> None:
    """Raise StructureError for periodic axes without volume, a cell that is none, or longer than any; it must be finite."""
    if _is_ordinary(cell, pbc):
        return
    periodic = cell[pbc]
    if len(periodic) == 0:
        return
    if np.abs(periodic).max() > LONGEST_VECTOR:
        longest = float(np.abs(periodic).max())
        msg = f"a periodic lattice vector is {longest:.3g} Å long, more than {LONGEST_VECTOR:g} Å; mend the cell or pbc"
        raise StructureError(msg)
    lengths = np.linalg.norm(periodic, axis=1)
    extent = np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0.0))  # length, area or volume that the vectors span
    if lengths.min() == 0 or extent < SMALLEST_RELATIVE_VOLUME * np.prod(lengths):
        axes = ", ".join(axis for axis, on in zip("abc", pbc, strict=True) if on)
        msg = f"periodic along {axes}, but these lattice vectors span no volume: {periodic.tolist()}; mend cell or pbc"
        raise StructureError(msg)
    if pbc.all() and np.abs(lengths - 1).max() <= PLACEHOLDER - 1:
        msg = "a periodic cell of 1 1 1 Å holds no structure: programs write that around molecules; set pbc = False"
        raise StructureError(msg)
    # The shortest vector between images, which a skewed cell hides; said here, for a search would find millions.
    reduced = minkowski_reduce(cell, pbc)[0][pbc] if extent < np.prod(lengths) / 10 else periodic
    shortest = float(np.linalg.norm(reduced, axis=1).min())
    if shortest < SMALLEST_DISTANCE:
        msg = f"atoms sit {shortest:.3g} Å from their own periodic images; mend the cell {periodic.tolist()}"
        raise StructureError(msg)


def _is_ordinary(cell: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether a cell is periodic along all axes, not very oblique, and not very small: soon said, as of most cells."""
    a, b, c = cell.tolist()
    volume = abs(
        a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    lengths = [math.hypot(*vector) for vector in (a, b, c)]
    # A little stricter than `check_cell`, to leave it what lies at the edge, and what is too large to be multiplied.
    upright = volume > 0.11 * lengths[0] * lengths[1] * lengths[2]
    sized = min(lengths) > 2 * SMALLEST_DISTANCE and PLACEHOLDER < max(lengths) <= LONGEST_VECTOR
    return upright and sized and bool(pbc.all())


def _are_ordinary(cells: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same of many cells at once; not so of what is not finite.  (systems,)."""
    a, b, c = np.swapaxes(cells, 0, 1)
    with np.errstate(over="ignore", invalid="ignore"):  # too large to be multiplied: left to `check_cell`
        volume = np.abs((a * np.cross(b, c)).sum(axis=1))
        lengths = np.sqrt((cells**2).sum(axis=2))
        upright = volume > 0.11 * lengths.prod(axis=1)
    shortest, longest = lengths.min(axis=1), lengths.max(axis=1)
    sized = (shortest > 2 * SMALLEST_DISTANCE) & (longest > PLACEHOLDER) & (longest <= LONGEST_VECTOR)
    return upright & sized & pbc.all(axis=1)


def refuse_clash(numbers: NDArray[np.integer], i: int, j: int, distance: float) -> NoReturn:
    """Raise StructureError for two atoms on top of each other.

    Args:
        numbers: (atoms,) atomic numbers.
        i: one atom.
        j: the other, or the same if it is too close to an image of itself.
        distance: Å.
    """
    symbol_i, symbol_j = (chemical_symbols[numbers[k]] for k in (i, j))
    image = " and a periodic image of itself" if i == j else f" and atom {j} ({symbol_j})"
    msg = f"atom {i} ({symbol_i}){image} are {distance:.3g} Å apart; remove the duplicate or mend the cell"
    raise StructureError(msg)
