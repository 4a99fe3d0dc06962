import os

import pytest
import torch
from ase.calculators.emt import EMT
from typer.testing import CliRunner

from tribond.checkpoints.native import save_model
from tribond.cli import relax
from tribond.cli.main import app
from tribond.nn.config import M3GNetConfig
from tribond.nn.m3gnet import M3GNet


@pytest.fixture
def tribond(monkeypatch):
    """Run `tribond ARGUMENTS`; the result has exit_code, stdout and output (stdout and stderr as they came)."""
    monkeypatch.delenv("TRIBOND_DEBUG", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # --debug sets a variable
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def emt(monkeypatch):
    """Let `tribond relax` use a potential with real minima that needs no training."""
    monkeypatch.setattr(relax, "_load", lambda *_: (EMT(), {"name": "EMT", "cutoff_A": 5.0}))


@pytest.fixture
def model_file(tmp_path):
    """A small untrained model of H, O, Al and Cu."""
    torch.manual_seed(0)
    config = M3GNetConfig(elements=("H", "O", "Al", "Cu"), node_features=8, edge_features=8, num_blocks=1)
    model = M3GNet(config, torch.float32)
    model.reference_energy.set(reference=[-1.0, -2.0, -3.0, -4.0])
    path = tmp_path / "small.safetensors"
    metadata = {
        "name": "small",
        "licence": "BSD-3-Clause",
        "level_of_theory": "none",
        "training_data": ["nothing at all"],
        "errors": {"energy MAE": "huge"},
        "seed": 0,
    }
    save_model(path, model, metadata)
    return path
