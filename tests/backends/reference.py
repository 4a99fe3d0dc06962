"""What all backends are compared with, and the models and libraries that they are tried with."""

import torch

from tribond import compiled
from tribond.nn.config import PRESETS

VARIANTS = {name: (name, {}) for name in PRESETS} | {
    "matgl with use_smooth": ("matgl_dgl", {"edge_basis": "smooth", "angle_radial_basis": "smooth"}),
    "atoms first, with silu": ("m3gnet_pytorch", {"atom_gate_activation": "silu", "message_target": "neighbour"}),
    "all widths different": ("matgl_pyg", {"node_features": 12, "edge_features": 10, "update_hidden": (9, 9, 9)}),
    "one block, l = 0 alone": ("paper", {"num_blocks": 1, "max_l": 1, "max_n": 2}),
    "nuclei repel each other": ("paper", {"repulsion": "zbl", "repulsion_inner": 0.5, "repulsion_outer": 0.98}),
}

# Every compiled library that runs here, by its instruction set.
LIBRARIES = {library.instruction_set: library for library in compiled.libraries()}


def by_autograd(model, graph, vectors=None):
    vectors = (graph.edge_vectors() if vectors is None else vectors).detach().requires_grad_()
    energies = model.atomic_energies(vectors, graph)
    (gradient,) = torch.autograd.grad(energies.sum(), vectors, materialize_grads=True)
    return energies.detach(), gradient
