"""Import of M3GNet-Pytorch (L. Kong; repository Lingyu-Kong/M3GNet-Pytorch): one .pth file.

It comes in two forms: of a potential, with a moving average of the weights; and of the bare network, without.
"""

from pathlib import Path
from typing import Any

import torch

from tribond.checkpoints import one_hot
from tribond.checkpoints.choices import Weights
from tribond.checkpoints.transfer import check_settings, nonsense_refused
from tribond.errors import CheckpointError
from tribond.nn.m3gnet import M3GNet

SETTINGS = {"num_layers", "hidden_dim", "max_l", "max_n", "cutoff", "threebody_cutoff", "max_z"}
NAMES = one_hot.Names(
    code="M3GNet-Pytorch",
    preset="m3gnet_pytorch",
    num_blocks="num_layers",
    width="hidden_dim",
    blocks="main_blocks",
    atom_gate="manybody2bond.node_mlp",
    three_body_update="manybody2bond.edge_gate_mlp",
    bond_update="edge_gate_mlp",
    bond_edge_gate="edge02edge_layer",
    atom_update="node_gate_mlp",
    atom_edge_gate="edge02node_layer",
)


def recognise(content: Any) -> bool:
    """Whether what `read_torch_file` gave is a checkpoint of this code."""
    if not isinstance(content, dict) or "state_dict" not in content:
        return False
    return "model_params" in content or content.keys() >= SETTINGS


def load(path: Path, content: dict[str, Any], dtype: torch.dtype | None = None, weights: Weights = "raw") -> M3GNet:
    """The potential in a file.

    Args:
        path: the file, for messages.
        content: what it holds.
        dtype: precision; None takes that of the weights, float32.
        weights: "raw", those that M3GNet-Pytorch itself loads, or "ema", their moving average.

    Raises:
        CheckpointError: if it is not whole, or holds what tribond does not compute.
    """
    with nonsense_refused(path, NAMES.code):
        if content.get("model_name", "M3GNet") != "M3GNet":
            msg = f"{path} holds a model named {content['model_name']!s:.50}; tribond reads the one named M3GNet"
            raise CheckpointError(msg)
        bare = {name: value for name, value in content.items() if name != "state_dict"}
        settings, state = content.get("model_params", bare), dict(content["state_dict"].items())
        check_settings(path, settings, SETTINGS)
    return one_hot.load(one_hot.Contents(path, settings, state, content.get("ema")), NAMES, dtype, weights)
