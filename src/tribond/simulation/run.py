"""The loop of dynamics: steps, log, trajectory, guards and checkpoints, all at the same steps however often it stops."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

from tribond.data.labels import without_labels
from tribond.errors import StructureError
from tribond.interrupt import StopRequest
from tribond.results.job import Job
from tribond.simulation import thermo
from tribond.simulation.checkpoints import load_checkpoint, save_checkpoint
from tribond.simulation.guards import DynamicsError, Guards
from tribond.simulation.integrators import Integrator
from tribond.simulation.spread import COLUMNS as SPREAD_COLUMNS
from tribond.simulation.spread import UNCERTAIN, SpreadError, SpreadWatch, disagreement, gives_spread, with_spread
from tribond.simulation.stages import Stage
from tribond.simulation.start import degrees_of_freedom, draw_velocities, prepare, stop_drift, temperature_of
from tribond.simulation.trajectories import open_trajectory

CHECKPOINT, THERMO, FAILED = "checkpoint.npz", "thermo.csv", "failed.extxyz"


@dataclass(frozen=True)
class Moment:
    """How a run of dynamics is doing.

    Attributes:
        step: steps so far, of all stages.
        steps: of the whole run.
        stage: number of the stage, from 0.
        values: the latest row of the log.
        ns_per_day: speed since this process began.
    """

    step: int
    steps: int
    stage: int
    values: dict[str, Any]
    ns_per_day: float


@dataclass(frozen=True)
class Plan:
    """Everything that a run's results depend on, besides structure and potential."""

    stages: tuple[Stage, ...]
    seed: int
    new_velocities: bool
    trajectory: str
    trajectory_interval_fs: float
    log_interval_fs: float
    guards: Guards


class Run:
    """One run in the folder of its job.

    Args:
        job: whose folder has the files.
        atoms: the start; not changed.
        calculator: any of ASE's.
        plan: what is done.
        checkpoint_interval_s: seconds between checkpoints.
    """

    def __init__(
        self, job: Job, atoms: Atoms, calculator: Calculator, plan: Plan, checkpoint_interval_s: float
    ) -> None:
        # Labels of the start, under whatever name, are of no other positions: no frame carries them.
        self._start = without_labels(atoms)
        self._job, self._calculator, self._plan = job, calculator, plan
        self._interval = checkpoint_interval_s
        self._generator = np.random.default_rng(plan.seed)
        self._step = self._stage = self._in_stage = 0
        self._time_fs = 0.0
        self._first_volume = float(atoms.get_volume()) if atoms.pbc.all() else None
        saved = load_checkpoint(job.file(CHECKPOINT))
        if saved is None:
            self._moving = self._begin()
            marks: dict[str, Any] = {"thermo": None, "trajectory": None}
        else:
            self._moving = self._continue(*saved)
            marks = saved[0]["marks"]
        self._with_spread = gives_spread(calculator)
        self._log = thermo.ThermoLog(job.file(THERMO), marks["thermo"], SPREAD_COLUMNS if self._with_spread else ())
        self._trajectory = open_trajectory(job.file(f"trajectory.{plan.trajectory}"), marks["trajectory"])
        self._watch = None
        if plan.guards.max_force_spread_eV_per_A is not None:
            self._watch = SpreadWatch(
                job.file(UNCERTAIN), calculator, plan.guards, plan.trajectory_interval_fs, marks.get("spread")
            )
        self._fresh = saved is None

    @property
    def time_fs(self) -> float:
        """How far it is, fs."""
        return self._time_fs

    @property
    def spread_summary(self) -> dict[str, Any]:
        """How often the members of an ensemble disagreed beyond the bound; nothing without one."""
        return {} if self._watch is None else self._watch.summary()

    def _begin(self) -> Atoms:
        stage = self._plan.stages[0]
        atoms = prepare(self._start, stage.ensemble)
        if self._plan.new_velocities:
            if stage.temperature_K is None:
                atoms.set_momenta(np.zeros((len(atoms), 3)))
            else:
                draw_velocities(atoms, stage.temperature_K[0], stage.ensemble, self._generator)
        self._enter(atoms)
        return atoms

    def _enter(self, atoms: Atoms) -> None:
        """Make the integrator of the present stage."""
        stage = self._plan.stages[self._stage]
        atoms.calc = self._calculator
        self._dof = degrees_of_freedom(self._start, stage.ensemble)
        if self._in_stage == 0:
            stop_drift(atoms, stage.ensemble)
        self._masses = atoms.get_masses()[:, None]
        self._integrator = Integrator(stage, atoms, self._dof, self._generator)
        self._log_every = max(1, round(self._plan.log_interval_fs / stage.timestep_fs))
        self._write_every = max(1, round(self._plan.trajectory_interval_fs / stage.timestep_fs))

    def _continue(self, numbers: dict[str, Any], arrays: dict[str, Any]) -> Atoms:
        self._step, self._stage, self._in_stage = (numbers[name] for name in ("step", "stage", "in_stage"))
        self._time_fs = numbers["time_fs"]
        self._generator.bit_generator.state = numbers["generator"]
        atoms = prepare(self._start, self._plan.stages[self._stage].ensemble)
        # Arrays as they are: constraints have been applied already.
        atoms.arrays["positions"][:] = arrays["positions"]
        atoms.set_array("momenta", arrays["momenta"], float, (3,))
        atoms.cell[:] = arrays["cell"]
        self._enter(atoms)
        self._integrator.restore({name[2:]: value for name, value in arrays.items() if name.startswith("i.")})
        return atoms

    def save(self) -> None:
        """Write a checkpoint; log and trajectory reach the disk first, as far as it counts on them."""
        marks: dict[str, Any] = {"thermo": self._log.mark(), "trajectory": self._trajectory.mark()}
        if self._watch is not None:
            marks["spread"] = self._watch.state()
        atoms = self._moving
        numbers = {
            "step": self._step,
            "stage": self._stage,
            "in_stage": self._in_stage,
            "time_fs": self._time_fs,
            "generator": self._generator.bit_generator.state,
            "marks": marks,
        }
        arrays = {"positions": atoms.positions, "momenta": atoms.get_momenta(), "cell": atoms.cell.array}
        arrays |= {f"i.{name}": value for name, value in self._integrator.state().items()}
        save_checkpoint(self._job.file(CHECKPOINT), numbers, arrays)

    def run(self, stop: StopRequest, on_step: Callable[[Moment], object] | None) -> Atoms:
        """Go to the end.

        Returns:
            The last state, with its results, momenta and the constraints of the start.

        Raises:
            DynamicsError: if a guard stops it.
        """
        try:
            if self._fresh:
                self._look_at_start()
                self._observe(self._temperature(), write=True)
                self.save()
            self._go(stop, on_step)
            return self._snapshot()
        finally:
            self._log.close()
            self._trajectory.close()
            if self._watch is not None:
                self._watch.close()

    def _look_at_start(self) -> None:
        try:
            self._check_spread()
        except DynamicsError as error:
            raise self._failed(error) from error

    def _check_spread(self) -> None:
        if self._watch is not None:
            now = disagreement(self._calculator, self._moving)
            self._watch.check(now, self._snapshot, self._time_fs)

    def _go(self, stop: StopRequest, on_step: Callable[[Moment], object] | None) -> None:
        plan, total = self._plan, sum(stage.steps for stage in self._plan.stages)
        began, first_fs = time.monotonic(), self._time_fs
        saved = began
        for number in range(self._stage, len(plan.stages)):
            stage = plan.stages[number]
            if number != self._stage:
                self._stage, self._in_stage = number, 0
                self._moving = self._changed(stage)
            while self._in_stage < stage.steps:
                values = self._one_step(last=self._step + 1 == total)
                now = time.monotonic()
                if values is not None and on_step is not None:
                    speed = (self._time_fs - first_fs) / 1e6 * 86400 / max(now - began, 1e-9)
                    on_step(Moment(self._step, total, number, values, speed))
                if stop.requested or now - saved >= self._interval or self._step == total:
                    self.save()
                    stop.obey()
                    saved = now

    def _changed(self, stage: Stage) -> Atoms:
        """The atoms as they are, for another ensemble."""
        atoms = prepare(self._start, stage.ensemble)
        atoms.arrays["positions"][:] = self._moving.positions
        atoms.cell[:] = self._moving.cell.array
        atoms.set_array("momenta", self._moving.get_momenta(), float, (3,))
        self._enter(atoms)
        return atoms

    def _one_step(self, *, last: bool) -> dict[str, Any] | None:
        """A step and what is looked at after it; the row of the log, if one is due."""
        stage = self._plan.stages[self._stage]
        try:
            self._integrator.step(self._in_stage + 1)
            self._step += 1
            self._in_stage += 1
            self._time_fs += stage.timestep_fs
            temperature = self._temperature()
            self._plan.guards.check_step(self._moving, temperature)
            self._check_spread()
            log = self._in_stage % self._log_every == 0 or last
            write = self._in_stage % self._write_every == 0
            if log:
                self._plan.guards.check_structure(self._moving, self._first_volume)
            return self._observe(temperature, write=write) if log or write else None
        except (StructureError, DynamicsError) as error:
            raise self._failed(error) from error

    def _temperature(self) -> float:
        return temperature_of(self._moving.get_momenta(), self._masses, self._dof)

    def _observe(self, temperature: float, *, write: bool) -> dict[str, Any]:
        stage = self._plan.stages[self._stage]
        target_temperature, target_pressure = stage.targets(self._in_stage)
        values = thermo.row(self._moving, temperature) | {
            "step": self._step,
            "stage": self._stage,
            "time_fs": self._time_fs,
            "target_temperature_K": None if stage.ensemble == "nve" else target_temperature,
            "target_pressure_GPa": target_pressure,
            "conserved_eV": self._integrator.conserved(),
        }
        if self._with_spread:
            values |= disagreement(self._calculator, self._moving).columns()
        self._log.write(values)
        if write:
            self._trajectory.write(self._snapshot())
        return values

    def _snapshot(self) -> Atoms:
        """A copy with results, momenta and the constraints that the user gave."""
        moving = self._moving
        atoms = self._start.copy()
        atoms.positions[:] = moving.positions
        atoms.cell[:] = moving.cell.array
        atoms.set_array("momenta", moving.get_momenta(), float, (3,))
        atoms.info |= {"time_fs": self._time_fs, "step": self._step, "stage": self._stage}
        results = {"energy": float(moving.get_potential_energy(apply_constraint=False))}
        results["forces"] = moving.get_forces(apply_constraint=False)
        if moving.pbc.all() and "stress" in self._calculator.results:
            results["stress"] = self._calculator.results["stress"]
        atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms

    def _failed(self, error: StructureError | DynamicsError) -> DynamicsError:
        """Keep the bad state to look at; the checkpoint holds the last good one that was saved."""
        from ase.io import write

        bad = self._start.copy()
        bad.positions[:] = self._moving.positions
        bad.cell[:] = self._moving.cell.array
        if isinstance(error, SpreadError):
            bad = with_spread(self._snapshot(), disagreement(self._calculator, self._moving))
        path = self._job.file(FAILED)
        with np.errstate(all="ignore"):
            write(path, bad, format="extxyz")
        self._log.mark()
        self._trajectory.mark()
        kind = type(error) if isinstance(error, DynamicsError) else DynamicsError
        return kind(
            f"stopped after step {self._step} ({self._time_fs / 1000:g} ps): {error}. The bad state is in {path}, the "
            f"trajectory and the log end before it"
        )
