"""tribond.h gives what Python gives: every dialect, precision and structure, by the library's own search and by a graph."""

import ctypes
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from tests.backends.reference import VARIANTS, by_autograd
from tests.native import binding
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES, rattled
from tribond import Potential, compiled
from tribond.backends import chunked
from tribond.checkpoints.native import save_model
from tribond.graph.build import atom_graph

pytestmark = pytest.mark.skipif(not binding.PATH.exists(), reason="tribond was installed without a C++ compiler")


@pytest.fixture(scope="module")
def potentials() -> dict[str, Potential]:
    made = {}
    for variant, (name, changes) in VARIANTS.items():
        model = random_model(small_config(name, **changes))
        model.reference_energy.offset.fill_(0.25)
        made[variant] = Potential(model, {"name": f"random {variant}", "level of theory": "näherungsweise"})
    return made


@pytest.fixture
def load(potentials, tmp_path):
    def from_file(variant, precision=0):
        save_model(tmp_path / "model.safetensors", potentials[variant].model, potentials[variant].metadata)
        return binding.Model(tmp_path / "model.safetensors", precision)

    return from_file


@pytest.mark.parametrize("variant", VARIANTS)
def test_structures_of_all_kinds_as_in_python(potentials, load, variant):
    potential, model = potentials[variant], load(variant)
    assert model.precision == 8
    for name, build in STRUCTURES.items():
        atoms = build()
        (expected,) = potential.predict(atoms)
        result = model.structure(atoms)
        np.testing.assert_allclose(result["energy"], expected.energy, rtol=1e-12, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(result["atomic_energies"], expected.atomic_energies, rtol=1e-12, atol=1e-12)
        scale = max(1.0, np.abs(expected.forces).max(initial=0.0))
        np.testing.assert_allclose(result["forces"], expected.forces, rtol=0, atol=1e-12 * scale)
        virial = potential.evaluate(potential.graph(atoms)).virial[0].numpy()
        np.testing.assert_allclose(result["virial"], virial, rtol=0, atol=1e-11 * scale)
        of_atoms = result["atomic_virials"].sum(0)
        np.testing.assert_allclose((of_atoms + of_atoms.T) / 2, virial, rtol=0, atol=1e-11 * scale)
        if expected.stress is None:
            assert np.isnan(result["stress"]).all()
        else:
            np.testing.assert_allclose(result["stress"], expected.stress, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("variant", ["paper", "matgl_dgl", "m3gnet_pytorch"])
def test_float32_stays_close(potentials, load, variant):
    model = load(variant, 4)
    assert model.precision == 4
    atoms = STRUCTURES["skewed_crystal"]()
    (expected,) = potentials[variant].predict(atoms)
    result = model.structure(atoms)
    np.testing.assert_allclose(result["energy"], expected.energy, rtol=0, atol=1e-6 * len(atoms))
    np.testing.assert_allclose(result["forces"], expected.forces, rtol=0, atol=1e-6)


def test_what_is_to_be_known_about_a_model(potentials, load):
    model, config = load("paper"), potentials["paper"].config
    assert model.name.decode() == "random paper"
    assert "n\\u00e4herungsweise" in model.metadata.decode()
    assert (model.cutoff, model.threebody_cutoff, model.energy_offset) == (5.0, 4.0, 0.25)
    assert (model.length_unit, model.energy_unit) == (b"Angstrom", b"eV")
    assert model.num_elements == len(config.elements)
    assert tuple(model.atomic_numbers[: model.num_elements]) == config.atomic_numbers
    symbol = model.functions.tribond_symbol
    known = [symbol(model.handle, index) for index in range(-1, model.num_elements + 1)]
    assert known == [None, *[name.encode() for name in config.elements], None]
    for name, number in zip(config.elements, config.atomic_numbers, strict=True):
        assert model.functions.tribond_find_element(model.handle, name.encode()) == number
    assert model.functions.tribond_find_element(model.handle, b"Xx") == 0
    assert model.threads >= 1
    assert (model.num_forward, model.num_reverse) == (config.num_blocks - 1, config.num_blocks - 1)
    assert model.exchange_width >= config.node_features
    functions = model.functions
    assert functions.tribond_version().decode() == re.search(
        r'^version = "(.*)"', (binding.PATH.parents[3] / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    ).group(1)
    assert functions.tribond_instructions() in {b"avx512", b"avx2", b"plain"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to processors")
def test_a_process_bound_to_a_processor_has_one_thread(load, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    allowed = os.sched_getaffinity(0)
    assert load("paper").threads == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert load("paper").threads == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_the_library_stays_in_memory_when_a_program_closes_it():
    """Its threads wait in it."""
    flags = subprocess.run(["readelf", "-d", binding.PATH], capture_output=True, text=True, check=True).stdout
    assert "NODELETE" in flags


def test_null_handles_are_harmless():
    functions = binding.library()
    functions.tribond_free(None)
    for name in "name metadata length_unit energy_unit".split():
        assert getattr(functions, f"tribond_{name}")(None) == b""
    for name in "cutoff threebody_cutoff precision threads num_elements energy_offset exchange_width".split():
        assert getattr(functions, f"tribond_{name}")(None) == 0
    assert not functions.tribond_atomic_numbers(None)
    assert functions.tribond_symbol(None, 0) is None
    assert functions.tribond_find_element(None, b"Si") == 0
    assert functions.tribond_set_threads(None, 1) == binding.BAD_ARGUMENT
    assert b"NULL" in functions.tribond_last_error()


def test_any_number_of_threads_and_any_memory_give_the_same_bit_by_bit(load):
    model = load("paper")
    atoms = rattled(bulk("Si", cubic=True).repeat(2), 0.1)
    expected = model.structure(atoms)
    for threads, kept in ((1, 380_000_000), (3, 380_000_000), (2, 0), (1, 2_000_000)):
        model.set_threads(threads)
        model.check(model.functions.tribond_set_kept_bytes(model.handle, kept))
        result = model.structure(atoms)
        assert result["energy"] == expected["energy"]
        assert (result["forces"] == expected["forces"]).all()


def arguments(pass_, model, graph):
    return (model, graph) if pass_ is by_autograd else (model, graph.edge_vectors(), graph)


@pytest.mark.parametrize("variant", VARIANTS)
def test_edges_beyond_the_cutoff_count_nothing(potentials, load, variant):
    """Also where a bias in the e⁰ gates would give them a message; in the library and in Python."""
    potential, model = potentials[variant], load(variant)
    atoms = STRUCTURES["skewed_crystal"]()
    graph, wide = atom_graph(atoms, 5.0, 4.0), atom_graph(atoms, 6.5, 4.5)
    assert wide.num_edges > graph.num_edges
    expected = potential.evaluate(graph)
    result = model.graph(atoms.numbers, len(atoms), wide.edge_index.numpy(), wide.edge_vectors().numpy())
    np.testing.assert_allclose(result["energy"] + 0.25, expected.energy.item(), rtol=1e-13)
    np.testing.assert_allclose(result["forces"], expected.forces.numpy(), rtol=0, atol=1e-13)
    beyond = np.linalg.norm(wide.edge_vectors().numpy(), axis=1) >= 5.0
    assert (result["edge_gradients"][beyond] == 0).all()
    same = model.graph(atoms.numbers, len(atoms), graph.edge_index.numpy(), graph.edge_vectors().numpy())
    assert same["energy"] == result["energy"]
    assert (result["edge_gradients"][~beyond] == same["edge_gradients"]).all()
    for pass_ in (by_autograd, chunked.energy_and_gradient):
        energies, gradient = pass_(*arguments(pass_, potential.model, wide))
        torch.testing.assert_close(energies.sum() + 0.25, expected.energy[0], rtol=1e-13, atol=0)
        np.testing.assert_allclose(gradient.numpy(), result["edge_gradients"], rtol=0, atol=1e-13)
    in_python = potential.evaluate(wide)
    torch.testing.assert_close(in_python.energy, expected.energy, rtol=1e-13, atol=0)
    torch.testing.assert_close(in_python.forces, expected.forces, rtol=0, atol=1e-13)


def test_no_atoms_no_edges_and_all_beyond_the_cutoff(potentials, load):
    model = load("m3gnet_pytorch")
    assert model.structure(Atoms())["energy"] == 0.25
    empty, vectors = np.zeros((2, 0), int), np.zeros((0, 3))
    assert model.graph(np.zeros(0), 0, empty, vectors)["energy"] == 0
    (alone,) = potentials["m3gnet_pytorch"].predict(Atoms("Si"))
    np.testing.assert_allclose(model.graph(np.array([14]), 1, empty, vectors)["energy"] + 0.25, alone.energy)
    far = model.graph(np.array([14, 14]), 2, np.array([[0, 1], [1, 0]]), np.array([[9.0, 0, 0], [-9.0, 0, 0]]))
    np.testing.assert_allclose(far["energy"], 2 * (alone.energy - 0.25))
    assert (far["forces"] == 0).all()


def test_arrays_that_are_not_wanted_may_be_left_out(load):
    model = load("paper")
    atoms = STRUCTURES["skewed_crystal"]()
    graph = atom_graph(atoms, 5.0, 4.0)
    expected = model.graph(atoms.numbers, len(atoms), graph.edge_index.numpy(), graph.edge_vectors().numpy())
    numbers = np.ascontiguousarray(atoms.numbers, np.int32)
    ends, vectors = graph.edge_index.numpy(), graph.edge_vectors().numpy()
    given = binding.Graph(
        *(ctypes.sizeof(binding.Graph), len(atoms), len(atoms), numbers.ctypes.data, graph.num_edges),
        *(ends[0].ctypes.data, ends[1].ctypes.data, vectors.ctypes.data),
    )
    results = binding.Results(ctypes.sizeof(binding.Results))
    model.check(model.functions.tribond_evaluate(model.handle, ctypes.byref(given), ctypes.byref(results)))
    assert results.energy == expected["energy"]
    assert np.array_equal(np.array(results.virial).reshape(3, 3), expected["virial"])


def test_python_takes_the_code_from_the_same_library():
    assert compiled.library() is not None
