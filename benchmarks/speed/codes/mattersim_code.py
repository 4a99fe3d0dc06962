"""MatterSim."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from ase import Atoms

from benchmarks.speed.codes import BLOCKS, CUTOFF, FEATURES, MAX_L, MAX_N, SEED, THREEBODY_CUTOFF
from benchmarks.speed.labels import Labels

BATCH_SIZES = (8, 16, 32, 64)  # it leaves the choice to its user: the fastest is taken
GPA = 160.21766208  # GPa in an eV/Å³


def load(checkpoint: str | None = None) -> Any:
    """The potential of a file, or one with random weights."""
    import torch
    from mattersim.forcefield import Potential
    from mattersim.forcefield.m3gnet.m3gnet import M3Gnet

    if checkpoint is not None:
        return Potential.from_checkpoint(checkpoint, device="cpu")
    torch.manual_seed(SEED)
    model = M3Gnet(
        num_blocks=BLOCKS,
        units=FEATURES,
        max_l=MAX_L,
        max_n=MAX_N,
        cutoff=CUTOFF,
        threebody_cutoff=THREEBODY_CUTOFF,
        device="cpu",
    )
    return Potential(model.eval(), device="cpu")


def calculator(potential: Any) -> Any:
    """For ASE."""
    from mattersim.forcefield import MatterSimCalculator

    return MatterSimCalculator(potential=potential, device="cpu")


def predict_all(potential: Any, structures: Sequence[Atoms], batch_size: int) -> None:
    """Energy, forces and stress of many structures."""
    from mattersim.datasets.utils.build import build_dataloader

    loader = build_dataloader(list(structures), batch_size=batch_size, only_inference=True, **_cutoffs(potential))
    potential.predict_properties(loader, include_forces=True, include_stresses=True)


def training_step(potential: Any, structures: Sequence[Atoms], labels: Sequence[Labels]) -> Callable[[], None]:
    """An epoch of one batch, on graphs that were made before."""
    import torch
    from mattersim.datasets.utils.build import build_dataloader

    loader = build_dataloader(
        list(structures),
        energies=[it.energy for it in labels],
        forces=[it.forces for it in labels],
        stresses=[GPA * it.stress for it in labels],
        batch_size=len(structures),
        **_cutoffs(potential),
    )
    loss = torch.nn.HuberLoss(delta=0.01)

    def step() -> None:
        potential.train_one_epoch(loader, 0, loss, True, True, True, 1.0, 0.1, None, mode="train", log=False)

    return step


def _cutoffs(potential: Any) -> dict[str, float]:
    known = potential.model.model_args
    return {"cutoff": known["cutoff"], "threebody_cutoff": known["threebody_cutoff"]}


def versions() -> dict[str, str]:
    """What the numbers hold for."""
    return {name: version(name) for name in ("mattersim", "torch", "numpy", "ase")}
