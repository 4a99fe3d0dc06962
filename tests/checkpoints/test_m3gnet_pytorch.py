"""Files of M3GNet-Pytorch, written here from models of ours: both of its forms, and both sets of weights.

That the names are those of the home code is tested with its published lithium potential in tests/parity.
"""

from pathlib import Path

import pytest
import torch

import tribond
from tests.small_models import random_model
from tribond.checkpoints.one_hot import CONSTANTS
from tribond.errors import CheckpointError
from tribond.nn.config import preset

WIDTH = 8
CONFIG = preset(
    "m3gnet_pytorch",
    elements=["H", "He", "Li", "Be"],
    max_n=3,
    max_l=3,
    num_blocks=2,
    node_features=WIDTH,
    edge_features=WIDTH,
    update_hidden=(WIDTH,),
    readout_hidden=(WIDTH, WIDTH),
)
SETTINGS = {
    "num_layers": 2,
    "hidden_dim": WIDTH,
    "max_l": 3,
    "max_n": 3,
    "cutoff": 5.0,
    "threebody_cutoff": 4.0,
    "max_z": 4,
}


def model(seed: int):
    return random_model(CONFIG, seed, torch.float32)


def names() -> dict[str, str]:
    """Theirs to ours, but for the tables of elements."""
    pairs = {"edge_encoder.mlp.0.linear": "bond_embedding.layers.0"}
    for block in range(2):
        theirs, ours = f"main_blocks.{block}", f"blocks.{block}"
        pairs[f"{theirs}.manybody2bond.node_mlp.linear"] = f"{ours}.three_body.atom_gate"
        pairs |= gated(f"{theirs}.manybody2bond.edge_gate_mlp", f"{ours}.three_body.bond_update", 1)
        pairs[f"{theirs}.edge02node_layer.linear"] = f"{ours}.atom_update.edge_gate"
        pairs |= gated(f"{theirs}.node_gate_mlp", f"{ours}.atom_update.phi", 2)
        pairs[f"{theirs}.edge02edge_layer.linear"] = f"{ours}.bond_update.edge_gate"
        pairs |= gated(f"{theirs}.edge_gate_mlp", f"{ours}.bond_update.phi", 2)
    return pairs | gated("final", "readout.phi", 3)


def gated(theirs: str, ours: str, depth: int) -> dict[str, str]:
    branches = (("g", "core"), ("sigma", "gate"))
    return {f"{theirs}.{a}.{n}.linear": f"{ours}.{b}.{n}" for a, b in branches for n in range(depth)}


def state_dict(seed: int) -> dict[str, torch.Tensor]:
    ours = model(seed).state_dict()
    theirs = {
        f"{a}.{kind}": ours[f"{b}.{kind}"]
        for a, b in names().items()
        for kind in ("weight", "bias")
        if f"{b}.{kind}" in ours
    }
    none = torch.full((1, WIDTH), 9.0)  # the row of an atomic number of zero, which is never used
    theirs["atom_embedding.mlp.0.linear.weight"] = torch.cat([none, ours["atom_embedding.weight"]]).T
    m = torch.arange(3.0)
    e = m**2 * (m + 2) ** 2 / (4 * (m + 1) ** 4 + 1)
    d = torch.tensor([1.0, 1 - 9 / 65, 1 - (64 / 325) / (1 - 9 / 65)])
    root = torch.sqrt(2 * m**2 + 6 * m + 5)
    return theirs | {
        "rbf.dn": d,
        "rbf.en": e[None],
        "rbf.fnr_weights": ((-1) ** m * 2**0.5 * torch.pi / 5**1.5 * (m + 1) * (m + 2) / root)[None],
        "rbf.n_1_pi_cutoff": ((m + 1) * torch.pi / 5)[None],
        "rbf.n_2_pi_cutoff": ((m + 2) * torch.pi / 5)[None],
        "rbf.r_max": torch.tensor(5.0),
        "sbf.factor": torch.tensor((2 / 125) ** 0.5),
        "normalizer.scale": torch.cat([torch.ones(1), ours["reference_energy.scale"].float()]),
        "normalizer.shift": torch.cat([torch.zeros(1), ours["reference_energy.reference"].float()]),
    }


def trained(state: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [tensor for name, tensor in state.items() if not name.startswith(CONSTANTS)]


@pytest.fixture
def potential_file(tmp_path) -> Path:
    """As a potential is saved: the weights of seed 1, the average of seed 2."""
    average = {"decay": 0.99, "num_updates": 3, "shadow_params": trained(state_dict(2)), "collected_params": None}
    content = {"model_name": "M3GNet", "model_params": SETTINGS, "state_dict": state_dict(1), "ema": average}
    torch.save(content, tmp_path / "potential.pth")
    return tmp_path / "potential.pth"


def assert_is(potential: tribond.Potential, seed: int) -> None:
    for name, tensor in model(seed).state_dict().items():
        torch.testing.assert_close(potential.model.state_dict()[name], tensor, rtol=1e-7, atol=0, msg=name)


def test_the_weights_are_those_that_the_home_code_loads(potential_file):
    potential = tribond.load(potential_file, device="cpu")
    assert potential.config == CONFIG
    assert_is(potential, 1)


def test_or_their_moving_average(potential_file):
    potential = tribond.load(potential_file, device="cpu", weights="ema")
    for name, tensor in model(2).named_parameters():
        assert torch.equal(potential.model.state_dict()[name], tensor), name


def test_a_bare_network_is_the_same_without_an_average(tmp_path):
    path = tmp_path / "network.pth"
    torch.save(SETTINGS | {"state_dict": state_dict(1)}, path)
    assert_is(tribond.load(path, device="cpu"), 1)
    with pytest.raises(CheckpointError, match="no moving average"):
        tribond.load(path, weights="ema")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_name": "M3GNet2"}, "M3GNet2"),
        ({"model_params": SETTINGS | {"spin": 1}}, "does not know: spin"),
        ({"model_params": SETTINGS | {"num_layers": 3}}, r"lacks the tensor 'main_blocks\.2"),
        ({"model_params": SETTINGS | {"max_z": 5}}, "must be"),
    ],
    ids=["name", "setting", "blocks", "elements"],
)
def test_what_does_not_fit_is_named(tmp_path, changes, named):
    path = tmp_path / "potential.pth"
    torch.save({"model_name": "M3GNet", "model_params": SETTINGS, "state_dict": state_dict(1)} | changes, path)
    with pytest.raises(CheckpointError, match=named):
        tribond.load(path)
