"""Trajectories that are written frame by frame and can be cut back to a checkpoint, in three formats.

`.traj` (ASE's, all digits), `.extxyz` (text, nine digits), `.nc` (AMBER's NetCDF, single precision, for long runs). A mark
says where a file ends; after a crash `cut` makes it end there again.
"""

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz
from ase.io.trajectory import TrajectoryWriter

from tribond.errors import ConfigError, DataError

Mark = dict[str, int]
FORMATS = ("traj", "extxyz", "nc")


class TrajectoryFile(Protocol):
    """A trajectory that grows."""

    def write(self, atoms: Atoms) -> None:
        """Append a frame with what its calculator holds."""

    def mark(self) -> Mark:
        """Bring everything to the disk, and say where the file ends."""

    def close(self) -> None:
        """Nothing comes any more."""


def open_trajectory(path: Path, mark: Mapping[str, int] | None = None) -> TrajectoryFile:
    """A trajectory to append to, new or cut back to a mark.

    Args:
        path: its ending says the format.
        mark: where it ended at the checkpoint; None begins it.

    Raises:
        ConfigError: for another ending.
        DataError: if the file is missing or shorter than the mark says.
    """
    kinds: dict[str, type[Any]] = {".traj": AseTrajectory, ".extxyz": TextTrajectory, ".nc": NetCdfTrajectory}
    if path.suffix not in kinds:
        raise ConfigError(f"trajectories are written as {', '.join(kinds)}, not as {path.name}")
    if mark is not None:
        size = path.stat().st_size if path.is_file() else -1
        if size < mark["size"]:
            raise DataError(f"{path} is shorter than at the last checkpoint; begin anew with --restart")
    return kinds[path.suffix](path, mark)


def cut(path: Path, size: int, patches: Mapping[int, bytes] | None = None) -> None:
    """Shorten a file, and put bytes back that have changed since."""
    with path.open("r+b") as file:
        for place, content in (patches or {}).items():
            file.seek(place)
            file.write(content)
        file.truncate(size)


class TextTrajectory:
    """Extended XYZ."""

    def __init__(self, path: Path, mark: Mapping[str, int] | None) -> None:
        if mark is not None:
            cut(path, mark["size"])
        self._file = path.open("w" if mark is None else "a", encoding="utf-8")

    def write(self, atoms: Atoms) -> None:
        """Append a frame."""
        write_extxyz(self._file, [atoms])

    def mark(self) -> Mark:
        """Bring everything to the disk, and say where the file ends."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"size": self._file.tell()}

    def close(self) -> None:
        """Nothing comes any more."""
        self._file.close()


class AseTrajectory:
    """ASE's own format. Its table of frames lies at `pos0` and moves when it is full; both stand in the header."""

    HEADER = struct.Struct("<qq")  # number of frames at byte 32, place of their table at byte 40

    def __init__(self, path: Path, mark: Mapping[str, int] | None) -> None:
        if mark is not None:
            cut(path, mark["size"], {32: self.HEADER.pack(mark["frames"], mark["table"])})
        self._writer = TrajectoryWriter(path, "w" if mark is None else "a")

    def write(self, atoms: Atoms) -> None:
        """Append a frame."""
        self._writer.write(atoms)

    def mark(self) -> Mark:
        """Bring everything to the disk, and say where the file ends."""
        backend = self._writer.backend
        backend.fd.flush()
        os.fsync(backend.fd.fileno())
        backend.fd.seek(0, 2)
        return {"size": backend.fd.tell(), "frames": int(backend.nitems), "table": int(backend.pos0)}

    def close(self) -> None:
        """Nothing comes any more."""
        self._writer.close()


class NetCdfTrajectory:
    """AMBER's convention 1.0: positions in single precision, times and cells in double; no velocities.

    The convention knows lengths and angles of the cell only, so frames are turned: a along x, b in the plane of x and y.
    Velocities are left out: programs that read the convention do not agree on their unit.
    https://ambermd.org/netcdf/nctraj.xhtml
    """

    def __init__(self, path: Path, mark: Mapping[str, int] | None) -> None:
        from netCDF4 import Dataset

        self._path = path
        if mark is not None:
            cut(path, mark["size"], {4: struct.pack(">i", mark["frames"])})  # number of frames at byte 4
        # Records of one size one after the other: a file of a run that was killed is whole up to its last sync.
        self._file = Dataset(path, "w" if mark is None else "a", format="NETCDF3_64BIT_OFFSET")
        self._frames = 0 if mark is None else mark["frames"]
        self._standing = mark is not None

    def write(self, atoms: Atoms) -> None:
        """Append a frame."""
        if not self._standing:
            self._begin(atoms)
        variables, i = self._file.variables, self._frames
        turned, turn = _standard(atoms)
        variables["time"][i] = float(atoms.info.get("time_fs", i)) / 1000
        variables["coordinates"][i] = (atoms.positions @ turn).astype(np.float32)
        if "cell_lengths" in variables:
            lengths_angles = np.array(turned.cellpar())
            variables["cell_lengths"][i] = lengths_angles[:3] * atoms.pbc
            variables["cell_angles"][i] = lengths_angles[3:]
        self._frames += 1

    def mark(self) -> Mark:
        """Bring everything to the disk, and say where the file ends."""
        self._file.sync()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        return {"size": self._path.stat().st_size, "frames": self._frames}

    def close(self) -> None:
        """Nothing comes any more."""
        self._file.close()

    def _begin(self, atoms: Atoms) -> None:
        file = self._file
        file.setncatts(
            {"Conventions": "AMBER", "ConventionVersion": "1.0", "program": "tribond", "programVersion": "1"}
        )
        for name, size in (("frame", None), ("spatial", 3), ("atom", len(atoms))):
            file.createDimension(name, size)
        for name in ("cell_spatial", "cell_angular"):
            file.createDimension(name, 3)
        file.createDimension("label", 5)
        file.createVariable("spatial", "S1", ("spatial",))[:] = list("xyz")
        file.createVariable("cell_spatial", "S1", ("cell_spatial",))[:] = list("abc")
        labels = file.createVariable("cell_angular", "S1", ("cell_angular", "label"))
        for i, label in enumerate(("alpha", "beta ", "gamma")):
            labels[i] = list(label)
        file.createVariable("atom_types", "i4", ("atom",))[:] = atoms.numbers
        for name, kind, dimensions, unit in (
            ("time", "f8", ("frame",), "picosecond"),
            ("cell_lengths", "f8", ("frame", "cell_spatial"), "angstrom"),
            ("cell_angles", "f8", ("frame", "cell_angular"), "degree"),
            ("coordinates", "f4", ("frame", "atom", "spatial"), "angstrom"),
        ):
            if name.startswith("cell") and not atoms.pbc.any():
                continue
            file.createVariable(name, kind, dimensions).units = unit
        self._standing = True


def _standard(atoms: Atoms) -> tuple[Any, np.ndarray]:
    """The cell with a along x and b in the plane of x and y, and the turn from the right that makes it so."""
    if not atoms.pbc.any():
        return atoms.cell, np.eye(3)
    cell, turn = atoms.cell.complete().standard_form()
    return cell, turn.T
