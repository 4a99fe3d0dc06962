"""Import of MatterSim v1 (PyTorch; repository microsoft/mattersim): one .pth file with settings, weights and averages."""

from pathlib import Path
from typing import Any

import torch

from tribond.checkpoints import one_hot
from tribond.checkpoints.choices import Weights
from tribond.checkpoints.transfer import check_settings, nonsense_refused
from tribond.errors import CheckpointError
from tribond.nn.m3gnet import M3GNet

SETTINGS = {"num_blocks", "units", "max_l", "max_n", "cutoff", "max_z", "threebody_cutoff"}
IRRELEVANT = {"gradient_checkpointing", "device"}  # how it is computed, not what
NAMES = one_hot.Names(
    code="MatterSim",
    preset="mattersim",
    num_blocks="num_blocks",
    width="units",
    blocks="graph_conv",
    atom_gate="three_body.atom_mlp",
    three_body_update="three_body.edge_gate_mlp",
    bond_update="gated_mlp_edge",
    bond_edge_gate="edge_layer_edge",
    atom_update="gated_mlp_atom",
    atom_edge_gate="edge_layer_atom",
)


def recognise(content: Any) -> bool:
    """Whether what `read_torch_file` gave is a checkpoint of this code."""
    return isinstance(content, dict) and {"model_args", "model"} <= content.keys()


def load(path: Path, content: dict[str, Any], dtype: torch.dtype | None = None, weights: Weights = "raw") -> M3GNet:
    """The potential in a file.

    Args:
        path: the file, for messages.
        content: what it holds.
        dtype: precision; None takes that of the weights, float32.
        weights: "raw", those that MatterSim itself computes with, or "ema", their moving average.

    Raises:
        CheckpointError: if it is not whole, or holds what tribond does not compute.
    """
    with nonsense_refused(path, NAMES.code):
        name = str(content.get("model_name", "")).lower()
        if name != "m3gnet":
            msg = f"{path} holds a {name[:50] or 'nameless model'}; of MatterSim's models tribond reads the M3GNets"
            raise CheckpointError(msg)
        settings, state = content["model_args"], dict(content["model"].items())
        check_settings(path, settings, SETTINGS, IRRELEVANT)
    return one_hot.load(one_hot.Contents(path, settings, state, content.get("ema")), NAMES, dtype, weights)
