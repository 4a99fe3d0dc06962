"""What is done with each structure of many: relaxed, or predicted as it is. Runs in the processes of a pool."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from tribond.models.force_field import Prediction

ATOMIC_ENERGIES = "atomic_energies_eV"
# Of ensembles; the energy's is an array of one number.
ENERGY_STD, FORCES_STD, STRESS_STD = "energy_std_eV", "forces_std_eV_per_A", "stress_std_eV_per_A3"


@dataclass(frozen=True)
class Computed:
    """What came of one structure.

    Attributes:
        row: columns of `results.schema` but for identity.
        atoms: with energy, forces and stress.
        arrays: of numbers that are neither, by name.
    """

    row: dict[str, Any]
    atoms: Atoms
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)


class Work(Protocol):
    """Computes structures; it is pickled, and loads what it needs once in each process."""

    @property
    def batch_atoms(self) -> int:
        """Structures come together up to so many atoms; 0: each alone."""

    def prepare(self) -> object:
        """Load what is needed; the clock of time limits runs only afterwards."""

    def __call__(self, structures: tuple[Atoms, ...]) -> list[Computed]:
        """Compute all, or raise: then each one is tried alone."""


@dataclass(frozen=True)
class Model:
    """A potential as the processes load it.

    Attributes:
        name: of a model that `tribond.load` knows, or path of a file.
        dtype: float32 or float64.
        device: such as cpu.
    """

    name: str
    dtype: str = "float64"
    device: str = "cpu"


@lru_cache(maxsize=1)
def _potential(model: Model) -> Any:
    from tribond.checkpoints.registry import load_force_field

    return load_force_field(model.name, device=model.device, dtype=model.dtype)


@lru_cache(maxsize=1)
def calculator(model: Model) -> Any:
    """ASE's calculator of a potential, loaded once in each process."""
    from tribond.integrations.ase import Calculator

    return Calculator(_potential(model))


@dataclass(frozen=True)
class Relax:
    """Relaxations by `tribond.properties.relax`.

    Attributes:
        model: the potential.
        settings: arguments of `relax` by name.
    """

    model: Model
    settings: tuple[tuple[str, Any], ...]
    batch_atoms: int = 0

    def prepare(self) -> object:
        """Load the potential."""
        return calculator(self.model)

    def __call__(self, structures: tuple[Atoms, ...]) -> list[Computed]:
        """Relax each.

        Raises:
            TribondError: as `relax` does.
        """
        return [self._relaxed(atoms) for atoms in structures]

    def _relaxed(self, atoms: Atoms) -> Computed:
        from tribond.properties.relax import relax

        start = time.perf_counter()
        relaxation = relax(atoms, calculator(self.model), **dict(self.settings))
        summary = relaxation.summary()
        before, after = summary["before"], summary["after"]
        row = {
            "status": "converged" if relaxation.converged else "not converged",
            **_state(
                after["energy_eV"], len(atoms), after["volume_A3"], after["stress_eV_per_A3"], relaxation.pressure_GPa
            ),
            "max_force_eV_per_A": after["max_force_eV_per_A"],
            "enthalpy_eV": after["enthalpy_eV"],
            **_cell(after, full=bool(atoms.pbc.all())),
            "steps": relaxation.steps,
            "fmax_eV_per_A": after["fmax_eV_per_A"],
            "initial_energy_eV_per_atom": before["energy_eV_per_atom"],
            "initial_volume_A3": before["volume_A3"],
            "initial_space_group": before["space_group"],
            "seconds": time.perf_counter() - start,
        }
        return Computed(row, relaxation.final)


@dataclass(frozen=True)
class Predict:
    """Energy, forces and stress of structures as they are.

    Attributes:
        model: the potential.
        state: its state input, if it has one.
    """

    model: Model
    state: Any = None
    batch_atoms: int = 512

    def prepare(self) -> object:
        """Load the potential."""
        return _potential(self.model)

    def __call__(self, structures: tuple[Atoms, ...]) -> list[Computed]:
        """Predict all in one batch.

        Raises:
            TribondError: as `Potential.predict` does.
            StructureError: if the potential gives something else than numbers.
        """
        start = time.perf_counter()
        predictions = _potential(self.model).predict(list(structures), state=self.state)
        seconds = (time.perf_counter() - start) / len(structures)
        return [
            self._computed(atoms, prediction, seconds)
            for atoms, prediction in zip(structures, predictions, strict=True)
        ]

    def _computed(self, atoms: Atoms, prediction: "Prediction", seconds: float) -> Computed:
        if not np.isfinite(prediction.energy) or not np.isfinite(prediction.forces).all():
            raise StructureError("the potential gives no finite energy or forces for it")
        volume = float(atoms.get_volume()) if atoms.pbc.all() else None
        row = {
            "status": "ok",
            **_state(prediction.energy, len(atoms), volume, prediction.stress, 0.0),
            "max_force_eV_per_A": float(np.linalg.norm(prediction.forces, axis=1).max()),
            "seconds": seconds,
        }
        arrays = {ATOMIC_ENERGIES: prediction.atomic_energies}
        if (spread := prediction.spread) is not None:
            row["energy_std_eV_per_atom"] = spread.energy_std_per_atom
            row["max_force_spread_eV_per_A"] = spread.max_force_spread
            arrays |= {ENERGY_STD: np.array([spread.energy_std]), FORCES_STD: spread.forces_std}
            if spread.stress_std is not None:
                arrays[STRESS_STD] = spread.stress_std
        stress = {} if prediction.stress is None else {"stress": full_3x3_to_voigt_6_stress(prediction.stress)}
        copy = atoms.copy()
        copy.calc = SinglePointCalculator(copy, energy=prediction.energy, forces=prediction.forces, **stress)
        return Computed(row, copy, arrays)


def _state(energy: float, atoms: int, volume: float | None, stress: Any, pressure_GPa: float) -> dict[str, Any]:
    left = None if stress is None else np.asarray(stress) * EV_PER_A3_TO_GPA + pressure_GPa * np.eye(3)
    return {
        "energy_eV": float(energy),
        "energy_eV_per_atom": float(energy) / atoms,
        "max_stress_GPa": None if left is None else float(np.abs(left).max()),
        "volume_A3": volume,
    }


def _cell(after: Mapping[str, Any], *, full: bool) -> dict[str, Any]:
    if not full:
        return {}
    lengths = zip(("a_A", "b_A", "c_A"), after["lengths_A"], strict=True)
    angles = zip(("alpha_degree", "beta_degree", "gamma_degree"), after["angles_degree"], strict=True)
    return {**dict(lengths), **dict(angles), "space_group": after["space_group"]}
