"""Trajectories as arrays: what analyses take, from our own files and any that ASE reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.cell import Cell
from numpy.typing import NDArray

from tribond.errors import ConfigError, DataError
from tribond.reading.names import parse_index, split_index

if TYPE_CHECKING:
    from tribond.reading.content import Options

logger = logging.getLogger(__name__)

UNEVEN = 1e-6  # relative; farther apart, times are not equally spaced
OTHER_INTERVAL = 1e-3  # relative; farther apart, what the user says is not what the trajectory says
LONGEST_JUMP = 0.4  # of a cell from one frame to the next: beyond that nobody knows which way an atom went


@dataclass(frozen=True, eq=False)
class Motion:
    """Atoms over time.

    Attributes:
        atoms: the first frame.
        positions: (frames, atoms, 3) Å, unwrapped: atoms that leave the cell are followed.
        cells: (frames, 3, 3) Å.
        velocities: (frames, atoms, 3) Å/fs, or None.
        times_fs: (frames,) fs from the first frame, or None where nobody said.
    """

    atoms: Atoms
    positions: NDArray[np.float64]
    cells: NDArray[np.float64]
    velocities: NDArray[np.float64] | None
    times_fs: NDArray[np.float64] | None

    @property
    def interval_fs(self) -> float:
        """Time between frames, fs.

        Raises:
            DataError: if it is unknown or varies.
        """
        if self.times_fs is None:
            raise DataError("the trajectory does not say its times; give the time between frames (--frame-interval-fs)")
        steps = np.diff(self.times_fs)
        if not (steps > 0).all() or np.ptp(steps) > UNEVEN * steps.max() + 1e-6:
            raise DataError(
                f"frames are not equally spaced: between {steps.min():g} and {steps.max():g} fs apart; take those of one "
                "stage, as in run.traj@100:"
            )
        return float(steps.mean())


def read_motion(
    names: Sequence[str], interval_fs: float | None = None, options: "Options | None" = None, skip_fs: float = 0.0
) -> Motion:
    """Read a trajectory, or several files of one after the other.

    Args:
        names: paths; path@INDEX takes frames, such as run.traj@100:.
        interval_fs: time between the frames that are taken, fs, where the files do not say.
        options: what the user says about the files.
        skip_fs: time at the beginning that is left out, fs.

    Raises:
        DataError: if there is only one frame, or frames are of different atoms.
    """
    return motion_of([frame for name in names for frame in _frames(name, options)], interval_fs, skip_fs)


def _frames(name: str, options: "Options | None") -> list[Atoms]:
    from tribond.reading.read import read_file

    path, index = split_index(name)
    wanted = parse_index(index or ":")
    chosen = wanted if isinstance(wanted, slice) else slice(wanted, (wanted or 0) + 1 or None)
    if path.suffix == ".nc":
        return _read_netcdf(path)[chosen]
    return list(read_file(path, slice(None), options).images)[chosen]


def _read_netcdf(path: Path) -> list[Atoms]:
    """ASE reads the frames, but not what their times mean: picoseconds."""
    from ase.io import read

    frames = read(path, ":", format="netcdftrajectory")
    for frame in frames:
        if "time" in frame.info:
            frame.info["time_fs"] = float(frame.info.pop("time")) * 1000
    return list(frames)


def motion_of(frames: Sequence[Atoms], interval_fs: float | None = None, skip_fs: float = 0.0) -> Motion:
    """Frames as arrays.

    Args:
        frames: of the same atoms in the same order; momenta and `info["time_fs"]` are used if all have them.
        interval_fs: time between frames, fs; goes before what the frames say.
        skip_fs: time at the beginning that is left out, fs.

    Raises:
        DataError: as `read_motion`.
        ConfigError: for times that make no sense.
    """
    if interval_fs is not None and not (np.isfinite(interval_fs) and interval_fs > 0):
        raise ConfigError(f"the time between frames must be larger than 0 fs, not {interval_fs}")
    if len(frames) < 2:
        raise DataError(f"a trajectory needs at least two frames, and this has {len(frames)}")
    first = frames[0]
    for number, frame in enumerate(frames):
        if len(frame) != len(first) or (frame.numbers != first.numbers).any() or (frame.pbc != first.pbc).any():
            raise DataError(
                f"frame {number} has other atoms than the first one ({frame.get_chemical_formula()}, "
                f"{first.get_chemical_formula()}), or another order of them: this is no trajectory"
            )
    times: NDArray[Any] | None = None
    if all("time_fs" in frame.info for frame in frames):
        times = np.array([float(frame.info["time_fs"]) for frame in frames])
    if interval_fs is not None:
        told = None if times is None else float(np.diff(times).mean())
        if told is not None and abs(told - interval_fs) > OTHER_INTERVAL * interval_fs:
            logger.warning(
                "frames are taken as %g fs apart, as asked; the trajectory itself says %g fs", interval_fs, told
            )
        times = interval_fs * np.arange(len(frames))
    start = 0
    if skip_fs:
        if times is None:
            raise DataError("the trajectory does not say its times; give --frame-interval-fs, or skip by @INDEX")
        start = int(np.searchsorted(times, times[0] + skip_fs - 1e-9))
        if len(frames) - start < 2:
            raise DataError(f"nothing is left of a trajectory of {times[-1] - times[0]:g} fs after {skip_fs:g} fs")
    kept = frames[start:]
    cells = np.array([frame.cell.array for frame in kept])
    positions = np.array([frame.positions for frame in kept])
    moving = all(frame.has("momenta") for frame in kept)
    return Motion(
        atoms=kept[0].copy(),
        positions=unwrap(positions, cells, first.pbc),
        cells=cells,
        velocities=np.array([frame.get_velocities() for frame in kept]) * units.fs if moving else None,
        times_fs=None if times is None else times[start:] - times[start],
    )


def unwrap(positions: NDArray[np.float64], cells: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Follow atoms across periodic boundaries.

    An atom is taken to the image that is nearest to where it was a frame before, in fractional coordinates, so that a cell
    that changes makes no jumps. Atoms that were never wrapped stay as they are: their jumps are short.

    Args:
        positions: (frames, atoms, 3) Å.
        cells: (frames, 3, 3) Å.
        pbc: (3,).

    Raises:
        DataError: if atoms move so far between frames that nobody can tell where they went.
    """
    if not pbc.any():
        return positions.copy()
    full = np.array([Cell(cell).complete().array for cell in cells])
    fractional = np.einsum("fax,fxy->fay", positions, np.linalg.inv(full))
    steps = np.diff(fractional, axis=0)
    steps -= np.where(pbc, np.round(steps), 0.0)
    if steps.size and np.abs(np.where(pbc, steps, 0.0)).max() > LONGEST_JUMP:
        frame, atom, _ = np.unravel_index(np.argmax(np.abs(np.where(pbc, steps, 0.0))), steps.shape)
        raise DataError(
            f"atom {atom} moves across almost half of the cell from frame {frame} to {frame + 1}: nobody can tell which way; "
            "write frames more often, or take a larger cell"
        )
    followed = fractional[:1] + np.concatenate([np.zeros_like(fractional[:1]), np.cumsum(steps, axis=0)])
    return np.einsum("fax,fxy->fay", followed, full)


def select(atoms: Atoms, symbols: str | None) -> dict[str, NDArray[np.int64]]:
    """Indices of the atoms of each element.

    Args:
        atoms: any.
        symbols: elements with commas in between; None is all that there are.

    Raises:
        ConfigError: for an element that is not there.
    """
    present = list(dict.fromkeys(atoms.get_chemical_symbols()))
    wanted = present if symbols is None else [word for word in symbols.replace(",", " ").split() if word]
    missing = [word for word in wanted if word not in present]
    if missing or not wanted:
        raise ConfigError(
            f"there is no {', '.join(missing) or 'element'} to select; the structure holds {', '.join(present)}"
        )
    names = np.array(atoms.get_chemical_symbols())
    return {word: np.flatnonzero(names == word) for word in wanted}
