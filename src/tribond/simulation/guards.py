"""Signs that dynamics has left what a potential can describe. Each stops it with a sentence."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from tribond.errors import ConfigError, TribondError
from tribond.graph.neighbors import neighbor_list

CLOSEST = 0.5  # times the sum of covalent radii: half a bond
HEAT = 10.0  # times the highest temperature asked for
LEAST_BOUND_K = 3000.0
ON_SPREAD = ("stop", "save")


class DynamicsError(TribondError):
    """The dynamics ran into something that is not physics. The folder holds the last good state and the bad one."""


@dataclass(frozen=True)
class Guards:
    """Bounds that a run must keep.

    Attributes:
        max_temperature_K: none of its steps may be hotter.
        closest: shortest distance between two atoms, as a part of the sum of their covalent radii.
        max_volume_change: largest factor by which the volume may grow or shrink.
        max_force_spread_eV_per_A: of ensembles: by how much their members may disagree about the force on an atom (see
            `tribond.Spread`), eV/Å.
        on_spread: what is done beyond: "stop", or "save" the frames to uncertain.extxyz and go on.
    """

    max_temperature_K: float
    closest: float = CLOSEST
    max_volume_change: float = 2.0
    max_force_spread_eV_per_A: float | None = None
    on_spread: str = "stop"

    def __post_init__(self) -> None:
        if not self.max_temperature_K > 0:
            raise ConfigError(f"max_temperature_K must be larger than 0 K, not {self.max_temperature_K}")
        if not 0 <= self.closest < 1:
            raise ConfigError(f"closest is a part of a bond, from 0 to 1, not {self.closest}")
        if not self.max_volume_change > 1:
            raise ConfigError(f"max_volume_change is a factor larger than 1, not {self.max_volume_change}")
        bound = self.max_force_spread_eV_per_A
        if bound is not None and not (bound > 0 and np.isfinite(bound)):
            raise ConfigError(f"max_force_spread_eV_per_A must be larger than 0 eV/Å, not {bound}")
        if self.on_spread not in ON_SPREAD:
            raise ConfigError(f"on_spread must be one of {', '.join(ON_SPREAD)}, not {self.on_spread!r}")

    def check_step(self, atoms: Atoms, temperature_K: float) -> None:
        """What is looked at in every step.

        Raises:
            DynamicsError: for what is not finite, and for too much heat.
        """
        if not np.isfinite(temperature_K) or not np.isfinite(atoms.positions).all():
            bad = np.flatnonzero(~np.isfinite(atoms.positions + atoms.get_momenta()).all(axis=1))
            who = f"atom {bad[0]} ({atoms.symbols[int(bad[0])]})" if len(bad) else "the kinetic energy"
            raise DynamicsError(f"{who} is not a finite number any more; {ADVICE}")
        if temperature_K > self.max_temperature_K:
            fastest = int(np.argmax(np.linalg.norm(atoms.get_velocities(), axis=1)))
            raise DynamicsError(
                f"the temperature is {temperature_K:.0f} K, beyond the bound of {self.max_temperature_K:.0f} K; the "
                f"fastest is atom {fastest} ({atoms.symbols[fastest]}); {ADVICE}, or allow more (max_temperature_K)"
            )

    def check_structure(self, atoms: Atoms, first_volume: float | None) -> None:
        """What takes longer and is looked at in every row of the log.

        Args:
            atoms: now.
            first_volume: at the start, Å³; None without a cell.

        Raises:
            DynamicsError: for atoms too close and a cell that collapses or bursts.
        """
        if first_volume is not None:
            factor = float(atoms.get_volume()) / first_volume
            if not 1 / self.max_volume_change <= factor <= self.max_volume_change:
                word = "collapsed" if factor < 1 else "burst"
                raise DynamicsError(
                    f"the cell has {word}: its volume is {factor:.2f} times that of the start; {ADVICE}, try a longer "
                    "barostat_fs, equilibrate with nvt first, or allow more (max_volume_change)"
                )
        if self.closest:
            self._check_distances(atoms)

    def _check_distances(self, atoms: Atoms) -> None:
        radii = covalent_radii[atoms.numbers]
        reach = 2 * self.closest * float(radii.max())
        centres, neighbours, _, lengths = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, reach)
        short = lengths / (radii[centres] + radii[neighbours])
        if len(short) and short.min() < self.closest:
            worst = int(np.argmin(short))
            i, j = int(centres[worst]), int(neighbours[worst])
            raise DynamicsError(
                f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) are {lengths[worst]:.2f} Å apart, less than "
                f"{self.closest:g} of a bond; {ADVICE}"
            )


ADVICE = "try a shorter time step, relax the structure first, or another potential"


def default_guards(temperatures_K: list[float]) -> Guards:
    """Bounds from the highest temperature that is asked for."""
    return Guards(max_temperature_K=max(HEAT * max(temperatures_K, default=0.0), LEAST_BOUND_K))
