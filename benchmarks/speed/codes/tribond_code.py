"""tribond as it is in this checkout."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from ase import Atoms

import tribond
from benchmarks.speed.codes import BLOCKS, CUTOFF, FEATURES, MAX_L, MAX_N, SEED, THREEBODY_CUTOFF
from benchmarks.speed.labels import Labels
from tribond.nn.config import M3GNetConfig, preset

BATCH_SIZES = (0,)  # `predict` cuts its batches itself


def config() -> M3GNetConfig:
    """The paper's model."""
    return preset(
        "paper",
        num_blocks=BLOCKS,
        node_features=FEATURES,
        edge_features=FEATURES,
        max_n=MAX_N,
        max_l=MAX_L,
        cutoff=CUTOFF,
        threebody_cutoff=THREEBODY_CUTOFF,
    )


def load(checkpoint: str | None = None) -> Any:
    """The potential of a file, as `tribond.load` takes it, or one with random weights."""
    if checkpoint is not None:
        return tribond.load(checkpoint, device="cpu", dtype="float32")
    torch.manual_seed(SEED)
    return tribond.Potential(tribond.M3GNet(config(), torch.float32))


def calculator(potential: Any) -> Any:
    """For ASE."""
    return tribond.Calculator(potential)


def searching_calculator(potential: Any) -> Any:
    """For ASE, with a search for neighbours at every step, as the others have it."""
    return tribond.Calculator(potential, skin=0)


def predict_all(potential: Any, structures: Sequence[Atoms], _batch_size: int) -> None:
    """Energy, forces and stress of many structures."""
    potential.predict(list(structures))


def training_step(
    potential: Any, structures: Sequence[Atoms], labels: Sequence[Labels], device: str = "cpu"
) -> Callable[[], None]:
    """One step of `tribond train`: graphs, energy, forces, stress, loss, gradient, Adam."""
    from tribond.backends.choose import Evaluator
    from tribond.data.dataset import FrameDataset, LabeledGraph
    from tribond.data.frames import Frame
    from tribond.models.potential import evaluate
    from tribond.training.config import OptimizerConfig
    from tribond.training.loss import Loss

    frames = [
        Frame(atoms, it.energy, it.forces, it.stress, "benchmark") for atoms, it in zip(structures, labels, strict=True)
    ]
    model = potential.model.requires_grad_(requires_grad=True).train()
    dataset = FrameDataset(frames, potential.config, np.zeros((1, len(potential.elements))))
    settings = OptimizerConfig()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    loss = Loss()
    evaluator = Evaluator()

    def step() -> None:
        batch = LabeledGraph.batch([dataset[index] for index in range(len(dataset))]).to(device)
        optimizer.zero_grad()
        loss(evaluate(model, batch.graph, create_graph=True, evaluator=evaluator), batch).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        optimizer.step()

    return step


def versions() -> dict[str, str]:
    """What the numbers hold for."""
    return {"tribond": tribond.__version__} | {name: version(name) for name in ("torch", "numpy", "ase", "vesin")}
