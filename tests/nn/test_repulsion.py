"""The repulsion of close nuclei: the published function, smooth ends, the same in every backend, nothing at rest."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import covalent_radii
from safetensors.torch import load, save

from tests.native import binding
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES
from tribond import compiled
from tribond.backends import chunked, native
from tribond.checkpoints.native import load_model, save_model
from tribond.checkpoints.transfer import with_elements
from tribond.errors import CheckpointError, ConfigError
from tribond.graph.build import atom_graph
from tribond.models.potential import Potential
from tribond.nn import repulsion
from tribond.nn.m3gnet import with_repulsion


def zbl(first, second, r):
    """Ziegler, Biersack, Littmark 1985, with e²/4πε₀ and the screening length in eV and Å."""
    x = r * (first**0.23 + second**0.23) / 0.46850
    phi = sum(
        c * np.exp(-d * x) for c, d in ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
    )
    return 14.399645 * first * second / r * phi


def energy_of(potential, symbols, r):
    return potential.predict(Atoms(symbols, [(0, 0, 0), (0, 0, r)]))[0].energy


@pytest.fixture(scope="module")
def pair():
    """A potential without, and the same one with it."""
    model = random_model(small_config())
    return Potential(model), Potential(with_repulsion(model))


@pytest.mark.parametrize("symbols", ["Cu2", "OSi", "HCu"])
def test_what_is_added_is_the_published_function_fading_out(pair, symbols):
    a, b = Atoms(symbols).numbers
    reach = covalent_radii[a] + covalent_radii[b]
    for fraction in (0.1, 0.19, 0.3, 0.45, 0.51, 0.8):
        r = fraction * reach
        t = min(max((fraction - 0.2) / 0.3, 0), 1)
        expected = zbl(a, b, r) * (1 - 10 * t**3 + 15 * t**4 - 6 * t**5)
        added = energy_of(pair[1], symbols, r) - energy_of(pair[0], symbols, r)
        assert added == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_forces_and_their_derivatives_are_continuous_at_both_ends(pair):
    reach = 2 * covalent_radii[29]
    for end in (0.2, 0.5):
        steps = end * reach + np.arange(-3, 4) * 1e-4
        curves = [[energy_of(potential, "Cu2", r) for r in steps] for potential in pair]
        added = np.array(curves[1]) - curves[0]
        third = np.diff(added, 3) / 1e-12  # of the order of 1e8 if the second derivative jumped by some thousand eV/Å²
        assert np.abs(third).max() < 2e6


def squeezed(seed=0):
    """Atoms at random: some pairs are much closer than their radii allow."""
    places = np.random.default_rng(seed).uniform(0, 3.6, (10, 3))
    return Atoms("H2C2O2Si2Cu2", places, cell=[4.0, 4.1, 4.2], pbc=True)


def test_every_backend_adds_the_same():
    model = random_model(small_config(repulsion="zbl", repulsion_inner=0.3, repulsion_outer=0.7))
    graph = atom_graph(squeezed(), 5.0, 4.0)
    vectors = graph.edge_vectors().detach().requires_grad_()
    energies = model.atomic_energies(vectors, graph)
    (gradient,) = torch.autograd.grad(energies.sum(), vectors)
    bare = random_model(small_config()).atomic_energies(vectors, graph)
    assert (energies - bare).abs().max() > 10
    found = [chunked.energy_and_gradient(model, vectors.detach(), graph)]
    if (library := compiled.library()) is not None:
        found.append(native.Engine(model, library).energy_and_gradient(vectors.detach(), graph))
    for result in found:
        torch.testing.assert_close(result[0], energies.detach(), rtol=1e-12, atol=1e-10)
        torch.testing.assert_close(result[1], gradient, rtol=1e-12, atol=1e-9)


def test_parts_of_the_bonds_give_what_all_give(monkeypatch):
    model = random_model(small_config(repulsion="zbl"))
    graph = atom_graph(squeezed(), 5.0, 4.0)
    given = graph.edge_vectors().detach(), graph.edge_index, model.row_of_element[graph.atomic_numbers]
    whole = model.repulsion.energy_and_gradient(*given)
    assert whole[1].abs().max() > 10
    monkeypatch.setattr(repulsion, "PART_BONDS", 37)
    for part, expected in zip(model.repulsion.energy_and_gradient(*given), whole, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-13, atol=1e-12)


def test_in_float32_it_stays_in_double_precision():
    config = small_config(repulsion="zbl")
    model = random_model(config, dtype=torch.float32)
    assert model.repulsion.radius.dtype == torch.float64
    truth = random_model(config)
    truth.load_state_dict(model.state_dict())
    one, other = (Potential(it).predict(squeezed())[0] for it in (model, truth))
    assert one.energy == pytest.approx(other.energy, abs=1e-3)
    np.testing.assert_allclose(one.forces, other.forces, atol=1e-6 * np.abs(other.forces).max() + 1e-3)


def test_forces_stress_and_hessian_are_derivatives(pair):
    atoms = squeezed(2)
    found = pair[1].predict(atoms, with_hessian=True)[0]
    moved = []
    for step in (1e-4, -1e-4):
        other = atoms.copy()
        other.positions[3, 1] += step
        moved.append(pair[1].predict(other)[0])
    assert found.forces[3, 1] == pytest.approx((moved[1].energy - moved[0].energy) / 2e-4, rel=1e-5)
    row = (moved[1].forces - moved[0].forces) / 2e-4
    np.testing.assert_allclose(found.hessian[3, 1], row, rtol=1e-4, atol=1e-4 * np.abs(row).max())
    strained = []
    for step in (1e-5, -1e-5):
        other = atoms.copy()
        other.set_cell(atoms.cell * (1 + step), scale_atoms=True)
        strained.append(pair[1].predict(other)[0].energy)
    slope = (strained[0] - strained[1]) / 2e-5
    assert np.trace(found.stress) * atoms.get_volume() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("structure", ["methanol", "slab"])
def test_structures_at_rest_keep_every_bit(pair, structure):
    one, other = (it.predict(STRUCTURES[structure]())[0] for it in pair)
    assert one.energy == other.energy
    assert (one.forces == other.forces).all()


def test_it_is_part_of_the_file(tmp_path, pair):
    save_model(tmp_path / "a.safetensors", pair[1].model, {})
    model, _ = load_model(tmp_path / "a.safetensors", torch.float64)
    assert model.config.repulsion == "zbl"
    assert energy_of(Potential(model.eval()), "Cu2", 0.7) == energy_of(pair[1], "Cu2", 0.7)


@pytest.mark.parametrize("radius", [float("nan"), 0.0, -0.5, 5.1])
def test_files_with_radii_that_make_no_sense_are_refused(tmp_path, pair, radius):
    save_model(tmp_path / "a.safetensors", pair[1].model, {})
    content = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["tribond"])
    del header["checksum"]
    tensors = load(content)
    tensors["repulsion.radius"][1] = radius
    (tmp_path / "b.safetensors").write_bytes(save(tensors, metadata={"tribond": json.dumps(header)}))
    with pytest.raises(CheckpointError, match=r"repulsion\.radius"):
        load_model(tmp_path / "b.safetensors")
    if binding.PATH.exists():  # by the library as well
        with pytest.raises(binding.LibraryError, match=r"not finite|repulsion\.radius"):
            binding.Model(tmp_path / "b.safetensors")


def test_some_elements_keep_their_radii(pair):
    model = with_repulsion(pair[0].model)
    model.repulsion.radius.copy_(torch.linspace(0.4, 1.2, 5))
    few = with_elements(model, ["Cu", "O"])
    assert energy_of(Potential(few), "CuO", 0.5) == pytest.approx(energy_of(Potential(model), "CuO", 0.5), rel=1e-12)


def test_what_has_it_gets_no_other_one(pair):
    with pytest.raises(ConfigError, match="has the repulsion of nuclei already"):
        with_repulsion(pair[1].model, 0.1, 0.4)


def test_impossible_settings_are_named():
    config = small_config()
    for changes, message in (
        ({"repulsion_inner": 0.6}, "repulsion_inner = 0.6 must be less than repulsion_outer, 0.5"),
        ({"repulsion_outer": 1.5}, "repulsion_outer = 1.5 must be a fraction"),
        ({"repulsion": "wall"}, "repulsion = 'wall' must be one of 'none', 'zbl'"),
        ({"repulsion": "zbl", "readout": "mean"}, "must be 'none' for a model of a property"),
        ({"repulsion": "zbl", "cutoff": 1.2, "threebody_cutoff": 1.0}, r"it reaches to 1.32 Å, the cutoff is 1.2 Å"),
    ):
        with pytest.raises(ConfigError, match=message):
            replace(config, **changes)
