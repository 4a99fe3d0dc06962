"""Time and memory of a potential for one structure."""

import statistics
import time
from dataclasses import dataclass

import torch
from ase import Atoms

from tribond.backends.choose import describe
from tribond.models.potential import Potential
from tribond.speed.limit import flops_per_bond
from tribond.speed.memory import PeakMemory

SAFE = 0.8  # of the memory that is free; the rest is for what the prediction does not see
FEWEST, MOST = 3, 50  # steps that are timed
LONG_ENOUGH, TOO_LONG = 2.0, 20.0  # seconds


@dataclass(frozen=True)
class Measurement:
    """What one step costs: the neighbour list, energy, forces and stress."""

    atoms: int
    bonds: int
    seconds: tuple[float, ...]  # of every step
    peak_bytes: int  # above what the process, or the GPU, held before the first measurement
    backend: str

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def seconds_per_atom(self) -> float:
        """Of the median step."""
        return self.median / self.atoms


class Stopwatch:
    """Measures one potential on structures of growing size.

    Args:
        potential: what is measured; on its device and in its precision.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.memory = GpuMemory(potential.device) if potential.device.type == "cuda" else PeakMemory()

    def measure(self, atoms: Atoms) -> Measurement:
        """Steps of which each moves all atoms a little and searches for neighbours anew.

        Raises:
            TribondError: for a structure that the potential cannot compute.
        """
        self.memory.restart()
        graph = self.potential.graph(atoms)
        bonds, backend = graph.num_edges, describe(self.potential.model, graph.num_edges)
        del graph  # no part of the peak
        moving = atoms.copy()
        self._step(moving, 0)
        seconds: list[float] = []
        while len(seconds) < MOST and (len(seconds) < FEWEST or sum(seconds) < LONG_ENOUGH):
            seconds.append(self._step(moving, len(seconds) + 1))
            if sum(seconds) > TOO_LONG:
                break
        return Measurement(len(atoms), bonds, tuple(seconds), self.memory.peak(), backend)

    def _step(self, atoms: Atoms, number: int) -> float:
        atoms.rattle(0.001, seed=number)
        start = time.perf_counter()
        self.potential.predict(atoms)  # ends on the CPU: nothing of it is still under way on a GPU
        return time.perf_counter() - start

    def shortage(self, last: Measurement, atoms: int) -> tuple[int, int] | None:
        """Whether so many atoms may not fit into memory, which is proportional to their number.

        Args:
            last: the largest structure so far.
            atoms: in the next one.

        Returns:
            Bytes that it would need and bytes that there are, if that is too close; None if all is well.
        """
        return too_much(last, atoms, self.memory.available())


class GpuMemory:
    """The same as `PeakMemory` for a GPU: what PyTorch has allocated on it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start = torch.cuda.memory_allocated(device)

    def restart(self) -> None:
        """Forget the peak so far."""
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int:
        """Bytes above the start."""
        return max(0, torch.cuda.max_memory_allocated(self.device) - self.start)

    def available(self) -> int:
        """Free bytes, those among them that PyTorch holds in reserve."""
        free, _ = torch.cuda.mem_get_info(self.device)
        return free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)


def too_much(last: Measurement, atoms: int, free: int | None) -> tuple[int, int] | None:
    """Bytes that so many atoms would need and bytes that are free, if the former are not well below the latter."""
    need = round(last.peak_bytes * atoms / last.atoms)
    return None if free is None or need <= SAFE * free else (need, free)


def limit_seconds(potential: Potential, bonds: int, rate: float) -> float:
    """The least time for a step with so many bonds, at a rate of so many operations a second (see `limit`)."""
    return bonds * flops_per_bond(potential.config) / rate
