"""A potential that was made wider or deeper computes what it did, and all of its copies can learn."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.small_models import random_model, small_config
from tests.structures import BONDED, STRUCTURES
from tribond.models.potential import Potential

sys.path.append(str(Path(__file__).parents[2] / "recipes/built_in"))
from widen import widened

SOME = [STRUCTURES[name]() for name in BONDED]


@pytest.mark.parametrize(("times", "blocks"), [(2, 0), (1, 1), (3, 2)])
@pytest.mark.parametrize("preset", ["paper", "matgl_pyg", "mattersim", "m3gnet_pytorch"])
def test_a_larger_model_gives_the_same_energies_and_forces(preset, times, blocks):
    model = random_model(small_config(preset))
    larger = widened(model, times, blocks)
    assert larger.config.node_features == times * model.config.node_features
    assert len(larger.blocks) == len(model.blocks) + blocks
    for old, new in zip(Potential(model).predict(SOME), Potential(larger).predict(SOME), strict=True):
        np.testing.assert_allclose(new.energy, old.energy, atol=1e-9)
        np.testing.assert_allclose(new.forces, old.forces, atol=1e-9)


def test_the_repulsion_of_nuclei_is_kept():
    model = random_model(small_config(repulsion="zbl"))
    model.repulsion.radius.mul_(1.1)
    close = Atoms("Cu2", [(0, 0, 0), (0, 0, 0.9)])
    old, new = (Potential(it).predict(close)[0].energy for it in (model, widened(model, 2)))
    assert new == pytest.approx(old, abs=1e-9)


def test_copies_have_gradients_of_their_own():
    larger = widened(random_model(small_config()), 2)
    graph = Potential(larger).graph(SOME)
    larger.atomic_energies(graph.edge_vectors(), graph).sum().backward()
    gradient = larger.blocks[0].bond_update.phi.core[0].weight.grad
    one, other = gradient.chunk(2)
    assert not torch.allclose(one, other, rtol=1e-3)


def test_a_property_model_is_refused():
    model = random_model(small_config(readout="mean"))
    with pytest.raises(ValueError, match="only potentials"):
        widened(model, 2)
