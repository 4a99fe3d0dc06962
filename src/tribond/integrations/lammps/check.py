"""Compares the pair style with tribond's ASE calculator, on one process and on several."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from tribond.checkpoints.native import save_model
from tribond.errors import ConfigError
from tribond.integrations.lammps.deck import evaluation, in_lammps_frame, read_result, write_data
from tribond.integrations.lammps.find import LammpsError, run_lammps
from tribond.models.potential import Potential

# Largest differences that are rounding: eV/atom, eV/Å, eV/Å³. In float32 both sides round, each in its own order.
LIMITS = {"double": (1e-9, 1e-9, 1e-10), "single": (2e-5, 1e-3, 1e-5)}


@dataclass(frozen=True)
class Comparison:
    """Largest differences between LAMMPS and the ASE calculator."""

    ranks: int
    precision: str  # single or double
    energy: float  # eV/atom
    force: float  # eV/Å
    stress: float  # eV/Å³

    @property
    def is_well(self) -> bool:
        """Whether the differences are rounding."""
        return all(
            found <= limit
            for found, limit in zip((self.energy, self.force, self.stress), LIMITS[self.precision], strict=True)
        )


def crystal_for(potential: Potential) -> Atoms:
    """NaCl, or LiF, SiC, ... as the potential has the elements, in 64 atoms that have moved a little."""
    known = set(potential.config.elements)
    pairs = [("Na", "Cl", 5.6), ("Li", "F", 4.0), ("Mg", "O", 4.2), ("Si", "C", 5.0)]
    first, second, a = next(
        (pair for pair in pairs if known.issuperset(pair[:2])), (*(potential.config.elements * 2)[:2], 5.0)
    )
    atoms = bulk("NaCl", "rocksalt", a=a, cubic=True) * (2, 2, 2)
    atoms.symbols = [{"Na": first, "Cl": second}[symbol] for symbol in atoms.symbols]
    strain = np.array([[0.01, 0.02, 0.0], [0.0, -0.01, 0.01], [0.0, 0.0, 0.02]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return in_lammps_frame(atoms)


def compare(potential: Potential, plugin: Path, ranks: Sequence[int]) -> Iterator[Comparison]:
    """Evaluate one crystal in LAMMPS and by the ASE calculator's own means.

    Args:
        potential: on the CPU.
        plugin: the file, from `build_plugin`.
        ranks: numbers of MPI processes.

    Yields:
        One comparison for each number of processes and each precision.

    Raises:
        ConfigError: for a potential with a state input, which LAMMPS cannot give, or with terms.
        LammpsError: when LAMMPS ends with an error.
    """
    if potential.config.state != "none":
        msg = "a potential with a state input cannot be used in LAMMPS"
        raise ConfigError(msg)
    if potential.terms:
        msg = (
            f"the pair style computes the network alone, and this potential adds {potential.terms[0].name}; "
            "docs/lammps.md says how to overlay LAMMPS's own"
        )
        raise ConfigError(msg)
    atoms = crystal_for(potential)
    elements = sorted(set(atoms.symbols))
    with tempfile.TemporaryDirectory(prefix="tribond-lammps-") as scratch:
        folder = Path(scratch)
        save_model(folder / "model.safetensors", potential.model, potential.metadata)
        write_data(folder / "crystal.data", atoms, elements)
        for precision, dtype in (("double", torch.float64), ("single", torch.float32)):
            expected = Potential(potential.model, potential.metadata).to(dtype=dtype).predict(atoms)[0]
            commands = evaluation("crystal", atoms, elements, "model.safetensors", f"precision {precision}")
            (folder / "in.check").write_text(f"plugin load {plugin.resolve()}\n{commands}")
            for number in ranks:
                printed = _run(folder / "in.check", number, plugin)
                found = read_result("crystal", printed, folder, atoms.get_volume())
                assert expected.stress is not None  # noqa: S101 - a crystal
                yield Comparison(
                    number,
                    precision,
                    abs(found.energy - expected.energy) / len(atoms),
                    float(np.abs(found.forces - expected.forces).max()),
                    float(np.abs(found.stress - expected.stress).max()),
                )


def _run(script: Path, ranks: int, plugin: Path) -> str:
    try:
        return run_lammps(script, ranks)
    except LammpsError as error:
        if "Unrecognized pair style 'tribond'" not in str(error):
            raise
        msg = f"{plugin} is no plugin for this LAMMPS; `tribond lammps build` makes one"
        raise LammpsError(msg) from error
