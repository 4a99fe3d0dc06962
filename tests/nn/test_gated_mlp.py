"""The gated perceptron is the formula of the paper, and its first layer may be given in parts."""

import pytest
import torch

from tests.small_models import small_config
from tribond.nn.block import GraphUpdate
from tribond.nn.gated_mlp import MLP, GatedMLP


def silu(x):
    return x / (1 + torch.exp(-x))


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_two_layers_are_what_the_paper_writes():
    """φ(x) = (g∘L₂∘g∘L₁)(x) ⊙ (σ∘L₂'∘g∘L₁')(x)."""
    phi = GatedMLP([5, 7, 3]).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    (l1, l2), (m1, m2) = phi.core, phi.gate
    torch.testing.assert_close(phi(x), silu(l2(silu(l1(x)))) * sigmoid(m2(silu(m1(x)))))


def test_one_layer_is_equation_3():
    """g(W̃₂ ẽ) ⊙ σ(W̃₁ ẽ), without biases."""
    phi = GatedMLP([9, 4], bias=False).double()
    x = torch.randn(6, 9, dtype=torch.float64)
    torch.testing.assert_close(phi(x), silu(x @ phi.core[0].weight.T) * sigmoid(x @ phi.gate[0].weight.T))
    assert not phi(torch.zeros(1, 9, dtype=torch.float64)).any()  # a bond without angles is not changed


def test_a_readout_ends_without_activation_so_that_energies_may_be_negative():
    phi = GatedMLP([5, 7, 6, 1], activate_last=False).double()
    x = torch.randn(50, 5, dtype=torch.float64) * 5
    (l1, l2, l3), (m1, m2, m3) = phi.core, phi.gate
    with torch.no_grad():
        l3.bias.fill_(-10)
    torch.testing.assert_close(phi(x), l3(silu(l2(silu(l1(x))))) * sigmoid(m3(silu(m2(silu(m1(x)))))))
    assert phi(x).max() < -1  # SiLU never goes below -0.28


@pytest.mark.parametrize("state_width", [0, 3])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 8)])
@pytest.mark.parametrize("activate_gate", [True, False])
def test_the_first_layer_in_parts_is_the_first_layer_of_the_concatenation(state_width, hidden, activate_gate):
    """W (v_i ⊕ v_j ⊕ e_ij ⊕ u) = W₁ v_i + W₂ v_j + W₃ e_ij + W₄ u: exact, and most of it once an atom."""
    config = small_config(update_hidden=hidden, node_features=6, edge_features=5)
    update = GraphUpdate(config, 4, state_width, activate_gate=activate_gate).double()
    random = torch.Generator().manual_seed(1)
    nodes, edges, state, basis = (
        torch.randn(rows, columns, generator=random, dtype=torch.float64)
        for rows, columns in ((3, 6), (7, 5), (3, state_width), (7, config.num_edge_basis))
    )
    edge_index = torch.randint(3, (2, 7), generator=random)
    centre, neighbour = edge_index
    together = torch.cat([nodes[centre], nodes[neighbour], edges, state[centre]], dim=1)
    gate = basis @ update.edge_gate.weight.T
    expected = update.phi(together) * (silu(gate) if activate_gate else gate)
    found = update(nodes, edges, state if state_width else None, basis, edge_index)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activate_last", [True, False])
def test_a_plain_perceptron_alternates_layers_and_activations(activate_last):
    mlp = MLP([4, 6, 2], activate_last=activate_last).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    first, second = mlp.layers
    expected = second(silu(first(x)))
    torch.testing.assert_close(mlp(x), silu(expected) if activate_last else expected)
