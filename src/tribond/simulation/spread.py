"""Where the members of an ensemble disagree during dynamics: a bound on the spread of forces that stops the run or saves frames."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tribond.data.labels import without_labels
from tribond.errors import ConfigError
from tribond.simulation.guards import DynamicsError, Guards
from tribond.simulation.trajectories import Mark, TextTrajectory, TrajectoryFile, open_trajectory

COLUMNS = ("energy_std_eV_per_atom", "max_force_spread_eV_per_A")  # of the log
UNCERTAIN = "uncertain.extxyz"
ROUNDING = 1e-9  # of sums of time steps


class SpreadError(DynamicsError):
    """The members of the ensemble disagree about the forces by more than was allowed."""


@dataclass(frozen=True)
class Disagreement:
    """How far the members differ about the present structure; see `tribond.Spread`."""

    energy_std_per_atom: float  # eV/atom
    force_spread: NDArray[np.float64]  # (atoms,) eV/Å

    @property
    def largest(self) -> float:
        """The largest spread of a force, eV/Å."""
        return float(self.force_spread.max(initial=0.0))

    def columns(self) -> dict[str, float]:
        """What the log has of it."""
        return dict(zip(COLUMNS, (self.energy_std_per_atom, self.largest), strict=True))


def gives_spread(calculator: Calculator) -> bool:
    """Whether a calculator knows how uncertain it is: tribond's with an ensemble does."""
    return {"energy_std", "forces_std"} <= set(calculator.implemented_properties)


def disagreement(calculator: Calculator, atoms: Atoms) -> Disagreement:
    """How far the members differ about atoms, which are calculated if they have not been."""
    energy, forces = (calculator.get_property(name, atoms) for name in ("energy_std", "forces_std"))
    return Disagreement(float(energy) / max(len(atoms), 1), np.sqrt((np.asarray(forces) ** 2).sum(axis=1)))


class SpreadWatch:
    """Looks at the spread of forces after every step, and does what was asked for where it is beyond the bound.

    Frames are saved at most once in a while: steps after one another are almost the same structure.

    Args:
        path: of the file that frames are saved to; it appears with the first.
        calculator: that gives spreads.
        guards: with a bound.
        every_fs: shortest time between two frames that are saved, fs.
        state: what `state` gave at the checkpoint; None begins.
    """

    def __init__(
        self, path: Path, calculator: Calculator, guards: Guards, every_fs: float, state: Mapping[str, Any] | None
    ) -> None:
        if guards.max_force_spread_eV_per_A is None:
            raise ConfigError("there is no bound on the spread of forces")
        self._path, self._calculator, self._every = path, calculator, every_fs
        self._bound, self._stops = guards.max_force_spread_eV_per_A, guards.on_spread == "stop"
        self._file: TrajectoryFile | None = None
        known = dict(state or {"mark": None, "last_fs": None, "steps": 0, "frames": 0, "largest": 0.0})
        self._last_fs: float | None = known["last_fs"]
        self.steps, self.frames, self.largest = int(known["steps"]), int(known["frames"]), float(known["largest"])
        if known["mark"] is None:
            path.unlink(missing_ok=True)  # frames after the last checkpoint come again
        else:
            self._file = open_trajectory(path, known["mark"])

    def check(self, now: Disagreement, snapshot: Callable[[], Atoms], time_fs: float) -> None:
        """Look at the present step.

        Args:
            now: of this step.
            snapshot: gives the structure as it is to be saved.
            time_fs: since the start.

        Raises:
            SpreadError: if it is beyond the bound, and the run is to stop.
        """
        self.largest = max(self.largest, now.largest)
        if now.largest <= self._bound:
            return  # what is no number is beyond
        self.steps += 1
        if self._stops:
            worst = int(np.argmax(now.force_spread))
            symbol = snapshot().symbols[worst]
            raise SpreadError(
                f"the members of the ensemble disagree about the force on atom {worst} ({symbol}) by {now.largest:.3g} eV/Å, "
                f"beyond the bound of {self._bound:g}: it was not trained for this; label the structure and train again, or "
                "allow more (max_force_spread_eV_per_A), or save and go on (on_spread save)"
            )
        if self._last_fs is None or time_fs - self._last_fs >= self._every * (1 - ROUNDING):
            if self._file is None:
                self._file = TextTrajectory(self._path, None)
            self._file.write(with_spread(snapshot(), now))
            self._last_fs = time_fs
            self.frames += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold; frames reach the disk first."""
        mark: Mark | None = None if self._file is None else self._file.mark()
        return {
            "mark": mark,
            "last_fs": self._last_fs,
            "steps": self.steps,
            "frames": self.frames,
            "largest": self.largest,
        }

    def summary(self) -> dict[str, Any]:
        """What the summary of the run has of it."""
        return {
            "steps_beyond_max_force_spread": self.steps,
            "frames_in_uncertain_extxyz": self.frames,
            "largest_force_spread_eV_per_A": self.largest,
        }

    def close(self) -> None:
        """Nothing comes any more."""
        if self._file is not None:
            self._file.close()


def with_spread(atoms: Atoms, now: Disagreement) -> Atoms:
    """A copy with the spread, and without energy and forces: in a file to be labelled they would pass for labels."""
    bare = without_labels(atoms)
    bare.info |= now.columns()
    bare.set_array("force_spread", now.force_spread)
    return bare
