"""Relaxations from several starts: one minimum is the nearest, another may be lower."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tribond.errors import ConfigError, StructureError
from tribond.properties.relax import relax
from tribond.properties.relaxation import Relaxation, RelaxationError, RelaxationStep

DEFAULT_RATTLE = 0.1  # Å
SAME_ENERGY = 1e-3  # eV/atom | minima closer than this count as one


@dataclass(frozen=True)
class Start:
    """What became of one start."""

    number: int  # from 0, which is the structure as given
    relaxation: Relaxation | None  # None if it ran away
    problem: str = ""  # why

    @property
    def enthalpy(self) -> float:
        """At the end, eV; infinite if it ran away."""
        if self.relaxation is None:
            return np.inf
        return self.relaxation.enthalpy(self.relaxation.history[-1])

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = self.relaxation
        return {
            "start": self.number,
            "converged": found is not None and found.converged,
            "steps": None if found is None else found.steps,
            "enthalpy_eV": None if found is None else self.enthalpy,
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Starts:
    """All starts, and the one that ended lowest."""

    starts: tuple[Start, ...]
    rattle_A: float
    seed: int

    @property
    def best(self) -> Start:
        """The lowest of those that converged; of all, if none did."""
        converged = [it for it in self.starts if it.relaxation is not None and it.relaxation.converged]
        return min(converged or self.starts, key=lambda it: it.enthalpy)

    @property
    def same(self) -> int:
        """How many converged to the energy of the best, itself included."""
        atoms = 1 if self.best.relaxation is None else len(self.best.relaxation.final)
        return sum(
            it.relaxation is not None
            and it.relaxation.converged
            and abs(it.enthalpy - self.best.enthalpy) < SAME_ENERGY * atoms
            for it in self.starts
        )

    def summary(self) -> dict[str, Any]:
        """Settings and outcome of all starts."""
        return {
            "rattle_A": self.rattle_A,
            "seed": self.seed,
            "chosen": self.best.number,
            "ended_there": self.same,
            "all": [it.summary() for it in self.starts],
        }


def relax_from_several(
    atoms: Atoms,
    calculator: Calculator,
    starts: int,
    *,
    rattle_A: float = DEFAULT_RATTLE,
    seed: int = 0,
    on_step: Callable[[int, RelaxationStep, Atoms], object] | None = None,
    **settings: Any,
) -> Starts:
    """Relax the structure as given, and copies whose atoms were moved at random.

    Args:
        atoms: the start; not changed. Atoms that constraints hold stay where they are.
        calculator: any ASE calculator.
        starts: how many, the structure as given included.
        rattle_A: standard deviation of each coordinate of the copies.
        seed: of the random numbers; copies of one number are always the same.
        on_step: called with the number of the start, each of its steps and a copy of the structure.
        **settings: of `relax`.

    Raises:
        ConfigError: for settings that make no sense.
        StructureError: if the calculator cannot describe the structure as given.
        RelaxationError: if all starts run away.
    """
    if starts < 1:
        raise ConfigError(f"there must be at least one start, not {starts}")
    if not (np.isfinite(rattle_A) and rattle_A > 0):
        raise ConfigError(f"rattle_A must be a length in Å larger than 0, not {rattle_A}")
    if starts > 1 and settings.get("fix_symmetry"):
        raise ConfigError("several starts have random positions and no symmetry to keep; leave fix_symmetry out")
    found = []
    for number in range(starts):
        start = atoms.copy()
        if number:
            start.rattle(rattle_A, rng=np.random.default_rng([seed, number]))

        def tell(step: RelaxationStep, now: Atoms, number: int = number) -> None:
            if on_step is not None:
                on_step(number, step, now)

        try:
            found.append(Start(number, relax(start, calculator, on_step=tell, **settings)))
        except (RelaxationError, StructureError) as error:
            if number == 0 and not isinstance(error, RelaxationError):
                raise
            found.append(Start(number, None, str(error)))
    if all(it.relaxation is None for it in found):
        raise RelaxationError(f"all {starts} starts ran away, the first one because {found[0].problem}")
    return Starts(tuple(found), rattle_A, seed)
