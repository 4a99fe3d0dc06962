"""MatGL: since version 3 on PyTorch Geometric, before on DGL."""

import logging
import os
import sys
import types
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from ase import Atoms

from benchmarks.speed.codes import BLOCKS, CUTOFF, FEATURES, MAX_L, MAX_N, SEED, THREEBODY_CUTOFF
from benchmarks.speed.labels import Labels

BATCH_SIZES = (8, 16, 32, 64)  # it leaves the choice to its user: the fastest is taken
GPA = 160.21766208  # GPa in an eV/Å³


def load(checkpoint: str | None = None, *, compiled: bool = False) -> Any:
    """The potential of a folder, or one with random weights.

    Args:
        checkpoint: a folder.
        compiled: compile the model with random weights when it first runs.
    """
    if version("matgl").startswith(("0", "1", "2")):
        os.environ["MATGL_BACKEND"] = "DGL"
        _without_data_loader_of_dgl()
    import matgl
    import torch

    logging.getLogger("matgl").setLevel(logging.ERROR)
    if checkpoint is not None:
        return matgl.load_model(checkpoint)
    from matgl.apps.pes import Potential

    torch.manual_seed(SEED)
    return Potential(_network(), compile_model=compiled).eval()


def _network() -> Any:
    from matgl.models import M3GNet

    return M3GNet(
        dim_node_embedding=FEATURES,
        dim_edge_embedding=FEATURES,
        units=FEATURES,
        nblocks=BLOCKS,
        max_n=MAX_N,
        max_l=MAX_L,
        cutoff=CUTOFF,
        threebody_cutoff=THREEBODY_CUTOFF,
        is_intensive=False,
    )


def calculator(potential: Any) -> Any:
    """For ASE."""
    from matgl.ext.ase import PESCalculator

    return PESCalculator(potential, stress_unit="eV/A3", use_voigt=True)


def predict_all(potential: Any, structures: Sequence[Atoms], batch_size: int) -> None:
    """Energy, forces and stress of many structures, in batches as its training has them."""
    import torch
    from matgl.ext.ase import Atoms2Graph
    from torch_geometric.data import Batch

    converter = Atoms2Graph(potential.model.element_types, potential.model.cutoff)
    for first in range(0, len(structures), batch_size):
        parts = [converter.get_graph(atoms) for atoms in structures[first : first + batch_size]]
        graph = Batch.from_data_list([part[0] for part in parts])
        lattices = torch.cat([part[1] for part in parts])
        states = torch.stack([torch.as_tensor(part[2]) for part in parts])
        for result in potential(graph, lattices, states)[:3]:
            result.detach().numpy()


def training_step(potential: Any, structures: Sequence[Atoms], labels: Sequence[Labels]) -> Callable[[], None]:
    """The step of its Lightning module on graphs that were made before; collating, loss, gradient, Adam."""
    import torch
    from matgl.ext.ase import Atoms2Graph
    from matgl.graph.data import collate_fn_pes
    from matgl.utils.training import PotentialLightningModule

    converter = Atoms2Graph(potential.model.element_types, potential.model.cutoff)
    items = []
    for atoms, it in zip(structures, labels, strict=True):
        graph, lattice, state = converter.get_graph(atoms)
        known = {
            "energies": it.energy,
            "forces": torch.tensor(it.forces, dtype=torch.float32),
            "stresses": torch.tensor(GPA * it.stress, dtype=torch.float32),
        }
        items.append((graph, lattice, torch.as_tensor(state), known))
    module = PotentialLightningModule(_network(), stress_weight=0.1, loss="huber_loss")
    (optimizer,), _ = module.configure_optimizers()

    def step() -> None:
        results, _ = module.step(collate_fn_pes(items))
        optimizer.zero_grad(set_to_none=True)
        results["Total_Loss"].backward()
        optimizer.step()

    return step


def _without_data_loader_of_dgl() -> None:
    """DGL's data loader wants an older PyTorch; nothing here needs it."""

    class Empty(types.ModuleType):
        __path__: tuple[str, ...] = ()

        def __getattr__(self, name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for name in ("dgl.graphbolt", "dgl.graphbolt.impl"):
        sys.modules[name] = Empty(name)


def versions() -> dict[str, str]:
    """What the numbers hold for."""
    return {name: version(name) for name in ("matgl", "torch", "numpy", "ase")}
