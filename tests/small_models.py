"""Small models with random weights: symmetries, limits and derivatives hold for any weights, so these find more."""

from typing import Any

import numpy as np
import torch

from tests.structures import ELEMENTS
from tribond.nn.config import PRESETS, M3GNetConfig, preset
from tribond.nn.m3gnet import M3GNet


def small_config(name: str = "paper", **changes: Any) -> M3GNetConfig:
    """A preset with two blocks and narrow layers, these as deep as they were."""
    full = PRESETS[name]
    narrow = {
        "elements": ELEMENTS,
        "num_blocks": 2,
        "node_features": 16,
        "edge_features": 16,
        "update_hidden": (16,) * len(full.update_hidden),
        "readout_hidden": (16,) * len(full.readout_hidden),
    }
    return preset(name, **(narrow | changes))


def random_model(config: M3GNetConfig, seed: int = 0, dtype: torch.dtype = torch.float64) -> M3GNet:
    """A model with random weights; its energies have a scale and a reference for every element."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = M3GNet(config, dtype)
        # PyTorch's first guess makes gates that hardly let anything through; those with a bias are open enough.
        if not config.edge_gate_bias:
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    if name.endswith("weight") and "embedding" not in name:
                        weight.mul_(2)
    rows = np.arange(len(config.elements))
    model.reference_energy.set(scale=(2.0 + 0.3 * rows).tolist(), reference=(-1.0 - 1.7 * rows).tolist())
    return model
