"""Molecular dynamics as one function: `tribond md`, for notebooks too.

    from tribond.simulation.md import run_md
    summary = run_md(atoms, tribond.Calculator(tribond.load()), "run", [
        {"ensemble": "npt", "temperature_K": "300:1200", "time_ps": 20},
        {"ensemble": "nvt", "temperature_K": 1200, "time_ps": 50},
    ])

Everything is in the folder afterwards; the same call goes on where it stopped.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import write

from tribond.errors import ConfigError
from tribond.files import atomic_path
from tribond.integrations.describe import describe_calculator
from tribond.interrupt import stop_requests
from tribond.results.job import Job, open_job
from tribond.results.record import fingerprint
from tribond.simulation.guards import Guards, default_guards
from tribond.simulation.md_report import plot, summarize
from tribond.simulation.run import Moment, Plan, Run
from tribond.simulation.spread import gives_spread
from tribond.simulation.stages import Stage, make_stage
from tribond.simulation.start import (
    check_constraints,
    check_structure,
    degrees_of_freedom,
    stop_drift,
    supercell,
    temperature_of,
)
from tribond.simulation.trajectories import FORMATS

logger = logging.getLogger(__name__)

VELOCITIES = ("auto", "new", "keep")
FINAL = "final.extxyz"


def run_md(
    atoms: Atoms,
    calculator: Calculator,
    folder: str | Path,
    stages: Sequence[Mapping[str, Any] | Stage],
    *,
    repeat: Sequence[int] | None = None,
    min_length_A: float | None = None,
    seed: int = 0,
    velocities: str = "auto",
    trajectory: str = "traj",
    trajectory_interval_fs: float = 50.0,
    log_interval_fs: float = 10.0,
    guards: Guards | None = None,
    restart: bool = False,
    checkpoint_interval_s: float = 60.0,
    on_step: Callable[[Moment], object] | None = None,
    name: str = "structure",
) -> dict[str, Any]:
    """Run molecular dynamics in a folder, or go on with the run that is there.

    A run that was stopped, killed or crashed goes on from its last checkpoint and gives the same log, trajectory and end,
    bit for bit, as one that never stopped (on the same kind of machine).

    Args:
        atoms: the start; not changed. Constraints are kept.
        calculator: any ASE calculator.
        folder: for all results: thermo.csv, trajectory.*, final.extxyz, summary.json, md.png and md.svg.
        stages: one after the other; see `stages.Stage` and `stages.make_stage`.
        repeat: how often along a, b and c.
        min_length_A: or as often as needed for the cell to be this wide, Å.
        seed: of velocities and thermostats; another one gives an independent run.
        velocities: "new" draws them at the temperature of the first stage, "keep" takes the input's, "auto" keeps the
            input's if it has some.
        trajectory: "traj", "extxyz" or "nc".
        trajectory_interval_fs: time between frames, fs.
        log_interval_fs: time between rows of the log, fs.
        guards: bounds that stop the run; from the temperatures if left out. With a bound on the spread of an ensemble's
            forces, frames beyond may be saved to uncertain.extxyz instead, at most one a trajectory interval.
        restart: begin anew.
        checkpoint_interval_s: real time between checkpoints, s.
        on_step: called with a `Moment` whenever a row of the log is written.
        name: of the input, for the summary.

    Returns:
        The summary, as in summary.json.

    Raises:
        ConfigError: for settings that make no sense, or a folder that holds another run.
        StructureError: for a structure that cannot be moved so.
        DynamicsError: if a guard stops the run.
        Interrupted: on Ctrl-C or SIGTERM, after saving.
    """
    check_structure(atoms, "nve")
    start = supercell(atoms, repeat, min_length_A)
    made = [
        given if isinstance(given, Stage) else make_stage(given, start, f"stage {i}" if len(stages) > 1 else "")
        for i, given in enumerate(stages, start=1)
    ]
    if not made:
        raise ConfigError("there is nothing to do: give at least one stage")
    for stage in made:
        check_structure(start, stage.ensemble)
        check_constraints(start, stage.ensemble)
        degrees_of_freedom(start, stage.ensemble)
    plan = Plan(
        stages=tuple(made),
        seed=seed,
        new_velocities=_new_velocities(start, made[0], velocities),
        trajectory=trajectory,
        trajectory_interval_fs=_interval("trajectory_interval_fs", trajectory_interval_fs),
        log_interval_fs=_interval("log_interval_fs", log_interval_fs),
        guards=guards or default_guards([t for stage in made for t in stage.temperature_K or ()]),
    )
    if trajectory not in FORMATS:
        raise ConfigError(f"unknown trajectory format {trajectory!r}; choose one of {', '.join(FORMATS)}")
    if trajectory == "nc":
        import netCDF4  # noqa: F401, missing is better told before the first step
    if plan.guards.max_force_spread_eV_per_A is not None and not gives_spread(calculator):
        raise ConfigError(
            "a bound on the spread of forces (max_force_spread_eV_per_A) is for ensembles; this is one model"
        )
    settings = {
        **asdict(plan),
        "guards": _told(plan.guards),
        "stages": [stage.to_dict() for stage in made],
        "repeat": None if repeat is None else list(repeat),
        "min_length_A": min_length_A,
    }
    inputs = {name: fingerprint(atoms)}
    model = describe_calculator(calculator)
    with open_job(Path(folder), "md", settings, inputs, model=model, restart=restart) as job:
        if job.finished:
            logger.info("%s is finished already; --restart would begin anew", folder)
            return job.summary()
        with stop_requests() as stop:
            run = Run(job, start, calculator, plan, checkpoint_interval_s)
            if run.time_fs > 0:
                logger.info("%s goes on from %g ps", folder, run.time_fs / 1000)
            elif not plan.new_velocities:
                _tell_kept_velocities(start, made[0], copies=len(start) // len(atoms))
            final = run.run(stop, on_step)
        return _finish(job, final, plan, name, run.spread_summary)


def _told(guards: Guards) -> dict[str, Any]:
    """As settings of the run; a bound that there is not is left out, and so is what it would do."""
    of_spread = {"max_force_spread_eV_per_A", "on_spread"} if guards.max_force_spread_eV_per_A is None else set()
    return {key: value for key, value in asdict(guards).items() if key not in of_spread}


def _finish(job: Job, final: Atoms, plan: Plan, name: str, spread: Mapping[str, Any]) -> dict[str, Any]:
    with atomic_path(job.file(FINAL)) as temporary:
        write(temporary, final, format="extxyz")
    results = summarize(job.file("thermo.csv"), plan.stages, final) | dict(spread)
    plot(
        job.file("thermo.csv"),
        results,
        f"{name}, {final.get_chemical_formula()}",
        job.file("md.png"),
        job.file("md.svg"),
    )
    return job.finish(results)


def _new_velocities(atoms: Atoms, stage: Stage, wanted: str) -> bool:
    if wanted not in VELOCITIES:
        raise ConfigError(f"velocities must be one of {', '.join(VELOCITIES)}, not {wanted!r}")
    moving = bool(np.abs(atoms.get_momenta()).max(initial=0.0) > 0)
    if wanted == "keep" and not moving:
        raise ConfigError("the input has no velocities to keep; let new ones be drawn (velocities new)")
    new = wanted == "new" or not moving
    if new and stage.temperature_K is None:
        raise ConfigError("there are no velocities, and no temperature to draw them at: give temperature_K")
    return new


def _tell_kept_velocities(atoms: Atoms, stage: Stage, copies: int) -> None:
    moving = atoms.copy()
    stop_drift(moving, stage.ensemble)
    now = temperature_of(moving.get_momenta(), moving.get_masses()[:, None], degrees_of_freedom(moving, stage.ensemble))
    logger.info("the velocities of the input are kept: %.0f K (velocities new draws others)", now)
    if copies > 1:
        logger.warning(
            "the %d copies of the repeated cell have the same velocities and move alike, as the small cell does; draw new "
            "ones (velocities new)",
            copies,
        )


def _interval(name: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be a time in fs larger than 0, not {value}")
    return float(value)
