"""What a run of dynamics does, stage by stage: ensemble, length, temperature, pressure."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from ase import Atoms, units

from tribond.errors import ConfigError

logger = logging.getLogger(__name__)

ENSEMBLES = {
    "nve": "constant energy, to test the potential and the time step, and for vibrations",
    "nvt-langevin": "friction and noise on each atom: equilibrates fast, changes diffusion and vibrations",
    "nvt-bussi": "velocities rescaled at random (Bussi, CSVR): right fluctuations, dynamics almost undisturbed",
    "nvt-nose-hoover": "Nosé-Hoover chains: deterministic, dynamics almost undisturbed",
    "nvt-berendsen": "for equilibration only: fluctuations are wrong",
    "npt-isotropic": "Martyna-Tobias-Klein, the volume changes, the shape does not",
    "npt-full": "Martyna-Tobias-Klein, volume and shape change",
    "npt-berendsen": "for equilibration only: fluctuations are wrong",
}
ALIASES = {"nvt": "nvt-bussi", "npt": "npt-isotropic", "nvt-nhc": "nvt-nose-hoover", "npt-mtk": "npt-isotropic"}

SHORTEST_FS, LONGEST_FS = 0.5, 2.0  # default time steps: with hydrogen, and of everything heavy
MASS_OF_HYDROGEN = 1.008  # u
TOO_LONG = 2.5  # times the default time step
STIFF = 10.0  # eV | bulk modulus times volume of an atom, of stiff crystals such as MgO and tungsten
FASTEST_CELL = 0.5  # radians a time step of the cell's oscillation; fluctuations of the volume are then 6 % too large
DAMPING_FS = {"thermostat_fs": 100.0, "barostat_fs": 1000.0}


@dataclass(frozen=True)
class Stage:
    """One stretch of dynamics with one ensemble.

    Attributes:
        ensemble: a name in ENSEMBLES.
        steps: how many.
        timestep_fs: of each, fs.
        temperature_K: target at the start and at the end, K; of `nve` the temperature of the starting velocities, or None
            to keep those that there are.
        pressure_GPa: target at the start and at the end, compression positive; None but for `npt-...`.
        friction_per_ps: of Langevin's dynamics, 1/ps.
        thermostat_fs: time in which the other thermostats act, fs.
        barostat_fs: time in which barostats act, fs.
        compressibility_per_GPa: that Berendsen's barostat counts on, 1/GPa.
    """

    ensemble: str
    steps: int
    timestep_fs: float
    temperature_K: tuple[float, float] | None = None
    pressure_GPa: tuple[float, float] | None = None
    friction_per_ps: float = 2.0
    thermostat_fs: float = DAMPING_FS["thermostat_fs"]
    barostat_fs: float = DAMPING_FS["barostat_fs"]
    compressibility_per_GPa: float = 0.01

    @property
    def time_fs(self) -> float:
        """Length of the stage, fs."""
        return self.steps * self.timestep_fs

    @property
    def ramped(self) -> bool:
        """Whether temperature or pressure change on purpose."""
        targets = (self.temperature_K, self.pressure_GPa)
        return any(target is not None and target[0] != target[1] for target in targets)

    def targets(self, step: int) -> tuple[float | None, float | None]:
        """Temperature (K) and pressure (GPa) that a step aims at.

        Args:
            step: counted from 1 in this stage.
        """
        part = step / self.steps
        temperature, pressure = (
            None if target is None else target[0] + (target[1] - target[0]) * part
            for target in (self.temperature_K, self.pressure_GPa)
        )
        return temperature, pressure

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without settings that the ensemble does not have."""
        return {key: value for key, value in asdict(self).items() if key in allowed_settings(self.ensemble)}


def allowed_settings(ensemble: str) -> set[str]:
    """Settings that mean something for an ensemble."""
    allowed = {"ensemble", "steps", "timestep_fs", "temperature_K"}
    if ensemble == "nvt-langevin":
        return allowed | {"friction_per_ps"}
    if ensemble != "nve":
        allowed.add("thermostat_fs")
    if ensemble.startswith("npt"):
        allowed |= {"pressure_GPa", "barostat_fs"}
    if ensemble == "npt-berendsen":
        allowed.add("compressibility_per_GPa")
    return allowed


def default_timestep_fs(atoms: Atoms) -> float:
    """A time step that the lightest atom can follow: 0.5 fs √(m / m_H), in quarters, 0.5 with hydrogen, at most 2.

    Args:
        atoms: with their masses, also heavier ones that a user has given to hydrogen.
    """
    lightest = float(atoms.get_masses().min())
    step = np.floor(4 * SHORTEST_FS * np.sqrt(lightest / MASS_OF_HYDROGEN) + 1e-9) / 4
    return float(np.clip(step, SHORTEST_FS, LONGEST_FS))


def make_stage(settings: Mapping[str, Any], atoms: Atoms, where: str = "") -> Stage:
    """A stage from what a user says, checked, with defaults that fit the structure.

    Args:
        settings: names as of `Stage`, and `time_ps` in place of `steps`; targets are numbers, pairs or "300:1200".
        atoms: that will move.
        where: how messages call the stage.

    Raises:
        ConfigError: for settings that are unknown, missing, out of range or without effect.
    """
    prefix = f"{where}: " if where else ""
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        return _make_stage(given, atoms)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from None


def _make_stage(given: dict[str, Any], atoms: Atoms) -> Stage:
    names = {field.name for field in fields(Stage)} | {"time_ps"}
    unknown = sorted(given.keys() - names)
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(names))}")
    ensemble = str(given.get("ensemble", "nvt-bussi")).lower().replace("_", "-")
    ensemble = ALIASES.get(ensemble, ensemble)
    if ensemble not in ENSEMBLES:
        raise ConfigError(f"unknown ensemble {ensemble!r}; choose one of {', '.join(ENSEMBLES)}")
    useless = sorted(given.keys() - allowed_settings(ensemble) - {"time_ps"})
    if useless:
        raise ConfigError(f"{', '.join(useless)} has no effect on {ensemble}; leave it out or choose another ensemble")
    timestep = _positive("timestep_fs", given.get("timestep_fs", default_timestep_fs(atoms)))
    longest = TOO_LONG * default_timestep_fs(atoms)
    if timestep > longest:
        lightest = atoms.symbols[int(np.argmin(atoms.get_masses()))]
        raise ConfigError(
            f"a time step of {timestep:g} fs is too long for {lightest}, whose vibrations it cannot follow; take "
            f"{default_timestep_fs(atoms):g} fs, at most {longest:g}, or give {lightest} a larger mass in the input"
        )
    stage = Stage(
        ensemble=ensemble,
        steps=_steps(given, timestep),
        timestep_fs=timestep,
        temperature_K=_temperature(given, ensemble),
        pressure_GPa=_pressure(given, ensemble),
        **{
            name: _positive(name, given[name])
            for name in ("friction_per_ps", "thermostat_fs", "barostat_fs", "compressibility_per_GPa")
            if name in given
        },
    )
    if ensemble in {"npt-isotropic", "npt-full"} and stage.temperature_K is not None:
        _note_fast_cell(stage, min(stage.temperature_K))
    return stage


def _note_fast_cell(stage: Stage, coldest_K: float) -> None:
    """Tell where the time step may not follow the cell, which oscillates at √(3 B V / N kT) / barostat_fs."""
    slowest = float(np.sqrt(3 * STIFF / (units.kB * coldest_K)) * stage.timestep_fs / FASTEST_CELL)
    if stage.barostat_fs < slowest:
        logger.warning(
            "the cell of a stiff crystal at %g K moves too fast for steps of %g fs, and its volume fluctuates too much; "
            "take a barostat_fs of %d or more, or shorter steps",
            coldest_K,
            stage.timestep_fs,
            int(np.ceil(slowest / 100) * 100),
        )


def _temperature(given: Mapping[str, Any], ensemble: str) -> tuple[float, float] | None:
    if "temperature_K" not in given:
        if ensemble == "nve":
            return None
        raise ConfigError(f"{ensemble} needs a temperature: temperature_K, such as 300 or 300:1200")
    start, end = pair("temperature_K", given["temperature_K"])
    if ensemble == "nve" and start != end:
        raise ConfigError("nve has no thermostat that could follow a ramp of temperature; choose an nvt ensemble")
    if start <= 0 or end <= 0:
        raise ConfigError(f"temperatures must be larger than 0 K, not {start:g}:{end:g}")
    return start, end


def _pressure(given: Mapping[str, Any], ensemble: str) -> tuple[float, float] | None:
    return pair("pressure_GPa", given.get("pressure_GPa", 0.0)) if ensemble.startswith("npt") else None


def _steps(given: Mapping[str, Any], timestep: float) -> int:
    if ("steps" in given) == ("time_ps" in given):
        raise ConfigError("say how long it is: either time_ps or steps")
    if "time_ps" in given:
        steps = round(_positive("time_ps", given["time_ps"]) * 1000 / timestep)
        if steps < 1:
            raise ConfigError(f"{given['time_ps']} ps are less than one time step of {timestep:g} fs")
        return steps
    steps = given["steps"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ConfigError(f"steps must be a whole number, 1 or more, not {steps!r}")
    return steps


def pair(name: str, value: Any) -> tuple[float, float]:
    """Start and end of a target: 300, "300", "300:1200" or (300, 1200).

    Raises:
        ConfigError: for anything else.
    """
    parts: Sequence[Any] = value if isinstance(value, list | tuple) else str(value).split(":")
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in {1, 2} or len(numbers) != len(parts) or not np.isfinite(numbers).all():
        raise ConfigError(f"{name} must be a number or a ramp such as 300:1200, not {value!r}")
    return numbers[0], numbers[-1]


def _positive(name: str, value: Any) -> float:
    try:
        number = np.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not (np.isfinite(number) and number > 0):
        raise ConfigError(f"{name} must be a number larger than 0, not {value!r}")
    return number
