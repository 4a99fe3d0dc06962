"""How many systems torch-sim may put into one batch: memory goes with the number of bonds."""

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch_sim.typing import MemoryScaling

from tribond.speed.crystals import crystal_of, repeated
from tribond.speed.measure import SAFE, GpuMemory
from tribond.speed.memory import PeakMemory

if TYPE_CHECKING:
    from tribond.integrations.torchsim import TorchSimModel

Metric = Literal["n_edges", "n_atoms_x_density", "n_atoms"]

# torch-sim 0.6 counts bonds; 0.3 knows atoms times their density, which is the same for a homogeneous crystal.
METRIC: Metric = "n_edges" if "n_edges" in get_args(MemoryScaling) else "n_atoms_x_density"
DENSITY = 0.1  # atoms/Å³ | of water, and of ordinary crystals, where only atoms are counted
CPU_BONDS = 100_000  # larger batches are no faster on a CPU, and take memory
MEASURED_BONDS = 100_000


def most_bonds(model: "TorchSimModel") -> int:
    """Bonds of a batch that fits: on a GPU as memory holds with a margin, on a CPU as many as make it fast."""
    if model.device.type != "cuda":
        return CPU_BONDS
    needed = model.bytes_per_bond()
    return int(SAFE * GpuMemory(model.device).available() / needed)


def bytes_per_bond(model: "TorchSimModel") -> float:
    """What an evaluation of a crystal takes at its peak above what was held before, over its bonds.

    On a CPU it is that of the whole process, and nothing where memory of an earlier, larger evaluation was kept.
    """
    cell = crystal_of(model.potential.elements)
    state = model.initial_state(cell)
    bonds = model.graph(state).num_edges
    model(state)  # what is made once, at the first evaluation, belongs to no bond
    larger = model.initial_state(repeated(cell, max(1, math.ceil((MEASURED_BONDS / max(bonds, 1)) ** (1 / 3)))))
    memory = GpuMemory(model.device) if model.device.type == "cuda" else PeakMemory()
    memory.restart()
    bonds = model.graph(larger).num_edges
    model(larger)
    return memory.peak() / max(bonds, 1)


def batcher_settings(model: "TorchSimModel", max_bonds: int, settings: dict[str, Any]) -> dict[str, Any]:
    """What an autobatcher of torch-sim takes for batches of so many bonds.

    Args:
        model: its cutoff says how far bonds reach.
        max_bonds: of a batch.
        settings: others, which win; `memory_scales_with` may be another metric.
    """
    metric: Metric = settings.get("memory_scales_with") or METRIC
    most: dict[str, Any] = {
        "memory_scales_with": metric,
        "max_memory_scaler": scaler(max_bonds, metric, model.potential.cutoff),
    }
    if METRIC == "n_edges":
        most["cutoff"] = model.potential.cutoff
    return most | settings


def scaler(max_bonds: int, metric: Metric, cutoff: float) -> float:
    """So many bonds in the units of a metric of torch-sim: bonds, atoms, or atoms times atoms/nm³."""
    within = 4 / 3 * math.pi * cutoff**3  # Å³
    if metric == "n_edges":
        return max_bonds
    if metric == "n_atoms":
        return max_bonds / (within * DENSITY)
    return 1000 * max_bonds / within
