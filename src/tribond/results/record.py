"""What a result says about where it comes from: versions, inputs."""

import hashlib
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

PACKAGES = ("ase", "numpy", "scipy", "torch", "spglib", "phonopy")
CHUNK = 1 << 22  # bytes read at once


def package_version() -> str:
    """The version of tribond."""
    import tribond

    return tribond.__version__


def versions() -> dict[str, str]:
    """tribond, Python and the packages that numbers may depend on, as far as they are installed."""
    found = {"tribond": package_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def fingerprint(*structures: "Atoms") -> str:
    """SHA-256 of structures: elements, positions, cell, periodicity, masses, momenta and constraints, to the last bit.

    Two files of the same structure have one fingerprint; labels, comments and results do not count.
    """
    digest = hashlib.sha256()
    for atoms in structures:
        for array in (
            atoms.numbers.astype(np.int64),
            atoms.positions.astype(np.float64),
            atoms.cell.array.astype(np.float64),
            atoms.pbc.astype(np.uint8),
            atoms.get_masses().astype(np.float64),
            atoms.get_momenta().astype(np.float64),
        ):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        with np.printoptions(threshold=sys.maxsize):  # numpy would leave out the middle of long lists of indices
            digest.update(repr([constraint.todict() for constraint in atoms.constraints]).encode())
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
