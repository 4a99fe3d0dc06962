"""Products of two angular sums: what they add, and that nothing changes where they are not asked for."""

import json

import pytest
import torch

from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond.checkpoints.native import load_model, read_header, save_model
from tribond.errors import ConfigError
from tribond.models.potential import Potential
from tribond.nn.config import M3GNetConfig
from tribond.nn.four_body import FourBodyProducts
from tribond.nn.m3gnet import M3GNet


def test_products_stand_behind_the_sums():
    layer = FourBodyProducts(small_config(max_l=1, max_n=2))
    with torch.no_grad():
        layer.first.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        layer.second.weight.copy_(torch.tensor([[3.0, 0.0], [1.0, -1.0]]))
    sums = torch.tensor([[2.0, 5.0], [0.0, 0.0]])
    # (2 + 2 · 5) (3 · 2) and 5 (2 - 5)
    torch.testing.assert_close(layer(sums), torch.tensor([[2.0, 5.0, 72.0, -15.0], [0.0] * 4]))


def test_they_count_where_an_atom_has_angles_and_nowhere_else():
    model = random_model(small_config(bodies=4))
    without = random_model(small_config(bodies=4))
    for block in without.blocks:
        torch.nn.init.zeros_(block.three_body.products.first.weight)
    for name in ("crystal", "methanol", "isolated_atom"):
        atoms = STRUCTURES[name]()
        a, b = (Potential(it).predict(atoms)[0] for it in (model, without))
        if name == "isolated_atom":
            assert a.energy == b.energy
        else:
            assert abs(a.forces - b.forces).max() > 1e-5


def test_a_file_of_four_bodies_is_read_back(tmp_path):
    model = random_model(small_config(bodies=4))
    save_model(tmp_path / "model.safetensors", model, {})
    loaded, _ = load_model(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    atoms = STRUCTURES["methanol"]()
    assert Potential(loaded).predict(atoms)[0].energy == Potential(model).predict(atoms)[0].energy


def test_a_file_of_three_bodies_says_nothing_of_it(tmp_path):
    """Versions of tribond from before can read it, and its hash is the old one."""
    save_model(tmp_path / "model.safetensors", random_model(small_config()), {})
    assert "bodies" not in read_header(tmp_path / "model.safetensors")["config"]
    assert M3GNetConfig.from_dict(json.loads(json.dumps(small_config(bodies=4).to_dict()))).bodies == 4


def test_the_paper_has_as_many_weights_as_before():
    shapes = {name: tensor.shape for name, tensor in M3GNet(small_config()).state_dict().items()}
    assert not [name for name in shapes if "products" in name]


@pytest.mark.parametrize("wrong", [2, 5, 3.0, True, "4"])
def test_other_numbers_of_bodies_are_refused(wrong):
    with pytest.raises(ConfigError, match="bodies = .* must be one of 3, 4"):
        small_config(bodies=wrong)
