"""ASE's integrators, as dynamics drives them: their targets, and all that they know, so that they can go on exactly."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.nptberendsen import NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.verlet import VelocityVerlet

from tribond.errors import DataError
from tribond.simulation.flexible_cell import FlexibleCell
from tribond.simulation.stages import Stage
from tribond.units import EV_PER_A3_TO_GPA

# What an integrator carries from step to step besides positions, momenta, cell and random numbers. ASE's 3.29 names;
# tests/simulation/test_restart.py fails for what is missing here.
_THERMOSTAT = ("_thermostat._eta", "_thermostat._p_eta", "_thermostat._Q", "_thermostat._kT")
_BAROSTAT = ("_barostat._xi", "_barostat._p_xi", "_barostat._R", "_barostat._W", "_barostat._kT", "_kT")
CARRIED: dict[str, tuple[str, ...]] = {
    "nve": (),
    "nvt-langevin": (),
    "nvt-bussi": ("transferred_energy",),
    "nvt-nose-hoover": _THERMOSTAT,
    "nvt-berendsen": (),
    "npt-isotropic": (*_THERMOSTAT, *_BAROSTAT, "_eps", "_p_eps", "_volume0", "_cell0"),
    "npt-full": (*_THERMOSTAT, "_barostat._W", "_kT", "_p_g", "_cell_energy"),
    "npt-berendsen": (),
}


class _Chains(NoseHooverChainNVT):
    """ASE's Nosé-Hoover chains, which would let forces on fixed atoms heat the thermostat."""

    def _get_forces(self) -> Any:
        self._update_atoms()
        return self.atoms.get_forces()


class Integrator:
    """One of ASE's integrators.

    Args:
        stage: what it does.
        atoms: that it moves, prepared by `start.prepare`, with calculator and momenta.
        dof: degrees of freedom that share the kinetic energy.
        generator: random numbers of stochastic thermostats.
    """

    def __init__(self, stage: Stage, atoms: Atoms, dof: int, generator: np.random.Generator) -> None:
        self.stage = stage
        self.atoms = atoms
        self._dof = dof
        self._targets = stage.targets(0)
        self._dynamics = _build(stage, atoms, dof, generator)

    def step(self, number: int) -> None:
        """One time step.

        Args:
            number: counted from 1 in this stage: ramps depend on it.
        """
        if self.stage.ramped:
            self._aim(*self.stage.targets(number))
        self._dynamics.step()

    def conserved(self) -> float | None:
        """The quantity, in eV, that the equations of motion conserve, or None where there is none."""
        kind = self.stage.ensemble
        if self.stage.ramped or kind == "nvt-langevin" or kind.endswith("berendsen"):
            return None
        if kind in {"nve", "nvt-bussi"}:
            transferred = self._dynamics.transferred_energy if kind == "nvt-bussi" else 0.0
            return float(self.atoms.get_potential_energy() + self.atoms.get_kinetic_energy() - transferred)
        return float(self._dynamics.get_conserved_energy())

    def state(self) -> dict[str, Any]:
        """All that it carries, as arrays and numbers."""
        return {name: np.array(_get(self._dynamics, name)) for name in CARRIED[self.stage.ensemble]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave.

        Raises:
            DataError: if something is missing.
        """
        missing = [name for name in CARRIED[self.stage.ensemble] if name not in state]
        if missing:
            raise DataError(
                f"the checkpoint is of another version of tribond: {self.stage.ensemble} needs {', '.join(missing)}; begin "
                "anew with --restart"
            )
        for name in CARRIED[self.stage.ensemble]:
            value = np.array(state[name])
            _set(self._dynamics, name, float(value) if value.ndim == 0 else value)

    def _aim(self, temperature_K: float | None, pressure_GPa: float | None) -> None:
        dynamics, kind = self._dynamics, self.stage.ensemble
        if temperature_K is not None:
            kT = units.kB * temperature_K
            if kind == "nvt-langevin":
                dynamics.set_temperature(temperature_K=temperature_K)
            elif kind == "nvt-bussi":
                dynamics.temp, dynamics.target_kinetic_energy = kT, 0.5 * kT * self._dof
            elif kind.endswith("berendsen"):
                dynamics.set_temperature(temperature_K=temperature_K)
            elif kind != "nve":
                _scale_chains(dynamics, kT)
        if pressure_GPa is not None:
            pressure = pressure_GPa / EV_PER_A3_TO_GPA
            if kind == "npt-berendsen":
                dynamics.pressure = pressure  # set_pressure of ASE 3.29 fails
            else:
                dynamics._pressure_au = pressure  # noqa: SLF001, ASE has no other way


def _build(stage: Stage, atoms: Atoms, dof: int, generator: np.random.Generator) -> Any:
    temperature, pressure = stage.targets(0)
    timestep = stage.timestep_fs * units.fs
    damping, barostat = stage.thermostat_fs * units.fs, stage.barostat_fs * units.fs
    common: dict[str, Any] = {"timestep": timestep}
    if temperature is not None and stage.ensemble != "nve":
        common["temperature_K"] = temperature
    if pressure is not None:
        common["pressure_au"] = pressure / EV_PER_A3_TO_GPA
    dynamics: Any
    match stage.ensemble:
        case "nve":
            dynamics = VelocityVerlet(atoms, **common)
        case "nvt-langevin":
            friction = stage.friction_per_ps / (1000 * units.fs)
            dynamics = Langevin(atoms, friction=friction, fixcm=False, rng=generator, **common)
        case "nvt-bussi":
            dynamics = Bussi(atoms, taut=damping, rng=generator, **common)
            dynamics.ndof, dynamics.target_kinetic_energy = dof, 0.5 * dynamics.temp * dof
        case "nvt-berendsen":
            dynamics = NVTBerendsen(atoms, taut=damping, fixcm=False, **common)
        case "npt-berendsen":
            more = {"taup": barostat, "compressibility_au": stage.compressibility_per_GPa * EV_PER_A3_TO_GPA}
            dynamics = NPTBerendsen(atoms, taut=damping, fixcm=False, **more, **common)
        case "nvt-nose-hoover":
            dynamics = _count_motions(_Chains(atoms, tdamp=damping, **common), dof)
        case "npt-isotropic":
            dynamics = _count_motions(IsotropicMTKNPT(atoms, tdamp=damping, pdamp=barostat, **common), dof)
        case _:
            dynamics = _count_motions(FlexibleCell(atoms, generator, tdamp=damping, pdamp=barostat, **common), dof)
    return dynamics


def _count_motions(dynamics: Any, dof: int) -> Any:
    """Let chains count the motions that there are.

    ASE counts 3N, too many where the momentum stays zero or atoms are fixed. Temperature and volume would fluctuate
    around the wrong means.
    """
    atoms = dof / 3  # that would have as many motions
    thermostat = dynamics._thermostat  # noqa: SLF001, ASE has no other way
    thermostat._Q[0] *= atoms / thermostat._num_atoms_global  # noqa: SLF001
    thermostat._num_atoms_global = atoms  # noqa: SLF001
    barostat = getattr(dynamics, "_barostat", None)
    if barostat is not None:
        barostat._W *= (atoms + 1) / (barostat._num_atoms_global + 1)  # noqa: SLF001
        barostat._num_atoms_global = dynamics._num_atoms_global = atoms  # noqa: SLF001
    return dynamics


def _scale_chains(dynamics: Any, kT: float) -> None:
    """Another temperature: masses of chains are proportional to it, and their velocities stay."""
    thermostat, barostat = dynamics._thermostat, getattr(dynamics, "_barostat", None)  # noqa: SLF001
    factor = kT / thermostat._kT  # noqa: SLF001
    thermostat._kT = kT  # noqa: SLF001
    thermostat._Q *= factor  # noqa: SLF001
    thermostat._p_eta *= factor  # noqa: SLF001
    if barostat is None:
        return
    barostat._kT = dynamics._kT = kT  # noqa: SLF001
    for name in ("_W", "_R", "_p_xi"):
        setattr(barostat, name, getattr(barostat, name) * factor)
    for name in ("_p_eps", "_p_g"):
        if hasattr(dynamics, name):
            setattr(dynamics, name, getattr(dynamics, name) * factor)


def _get(holder: Any, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), holder)


def _set(holder: Any, name: str, value: Any) -> None:
    *path, last = name.split(".")
    setattr(functools.reduce(getattr, path, holder), last, value)
