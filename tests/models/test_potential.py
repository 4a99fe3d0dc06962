"""What a potential promises its users: it answers in numpy, touches nothing, and says clearly what it cannot do."""

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.constraints import FixAtoms

import tribond
from tests.small_models import random_model, small_config
from tests.structures import ELEMENTS
from tribond.errors import ConfigError, StructureError, UnknownElementError
from tribond.models.potential import hessian
from tribond.models.trained_model import resolve_device, resolve_dtype


def assert_same(a, b, tolerance: float = 0) -> None:
    for name in ("energy", "atomic_energies", "forces", "stress"):
        one, other = getattr(a, name), getattr(b, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance, err_msg=name)


# What comes out


def test_a_prediction_is_plain_numpy_of_known_shapes(potential, every_structure):
    (prediction,) = potential.predict(every_structure)
    atoms = len(every_structure)
    assert type(prediction.energy) is float
    assert prediction.atomic_energies.shape == (atoms,)
    assert prediction.forces.shape == (atoms, 3)
    assert prediction.hessian is None
    arrays = [prediction.atomic_energies, prediction.forces]
    if every_structure.pbc.all():
        assert prediction.stress.shape == (3, 3)
        arrays.append(prediction.stress)
    else:
        assert prediction.stress is None
    for array in arrays:
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float64
        assert np.isfinite(array).all()


def test_a_prediction_cannot_be_changed(potential, structures):
    with pytest.raises(dataclasses.FrozenInstanceError):
        potential.predict(structures["crystal"])[0].energy = 0.0


def test_predictions_do_not_share_memory(potential, structures):
    first, second = potential.predict([structures["crystal"]] * 2)
    for name in ("atomic_energies", "forces", "stress"):
        assert not np.shares_memory(getattr(first, name), getattr(second, name))
    assert first.forces.base is None  # keeps no batch alive


def test_predictions_repeat_bit_by_bit(potential, structures):
    assert_same(*potential.predict([structures["skewed_crystal"]]), *potential.predict([structures["skewed_crystal"]]))


def test_a_potential_says_what_it_is(potential):
    assert potential.elements == ELEMENTS
    assert potential.config.cutoff == 5.0
    assert potential.dtype == torch.float64
    assert potential.device == torch.device("cpu")
    assert potential.num_parameters == sum(p.numel() for p in potential.model.parameters())
    assert repr(potential) == f"Potential('random paper', {potential.num_parameters:,} parameters, torch.float64, cpu)"


# What is left alone


def test_structures_are_only_read(potential, every_structure):
    every_structure.info["remark"] = "mine"
    every_structure.set_constraint(FixAtoms([0]) if len(every_structure) else None)
    before = every_structure.copy()
    potential.predict(every_structure)
    assert every_structure == before
    assert every_structure.arrays.keys() == before.arrays.keys()
    assert every_structure.info == before.info
    assert every_structure.calc is None


def test_weights_are_only_read(potential, structures):
    before = {name: tensor.clone() for name, tensor in potential.model.state_dict().items()}
    potential.predict(structures.values())
    for name, tensor in potential.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None and not p.requires_grad for p in potential.model.parameters())


def test_graphs_are_only_read(potential, structures):
    graph = potential.graph(structures.values())
    before = {field.name: getattr(graph, field.name) for field in dataclasses.fields(graph)}
    copies = {name: value.clone() for name, value in before.items() if value is not None}
    potential.evaluate(graph)
    for name, copy in copies.items():
        assert getattr(graph, name) is before[name]
        assert torch.equal(before[name], copy)
    assert not graph.positions.requires_grad


def test_constraints_do_not_hide_forces(potential, structures):
    """Constraints are the business of relaxations: the potential tells the force on every atom."""
    free = structures["slab"]
    fixed = free.copy()
    fixed.set_constraint(FixAtoms(range(len(fixed))))
    assert_same(*potential.predict([free, fixed]))


def test_gradients_switched_off_outside_do_not_matter(potential, structures):
    atoms = structures["crystal"]
    expected = potential.predict(atoms, with_hessian=True)[0]
    for context in (torch.no_grad(), torch.inference_mode(mode=False)):
        with context:
            found = potential.predict(atoms, with_hessian=True)[0]
        assert_same(found, expected)
        np.testing.assert_array_equal(found.hessian, expected.hessian)


def test_nothing_global_is_changed(potential, structures):
    """Asked for in mace#249: the precision is an argument, never a global default."""
    threads, default = torch.get_num_threads(), torch.get_default_dtype()
    potential.predict(structures.values())
    potential.to(dtype="float32").predict(structures["crystal"])
    assert torch.get_default_dtype() == default == torch.float32
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_a_global_default_of_others_does_not_matter(potential, structures):
    expected = potential.predict(structures["crystal"])[0]
    try:
        torch.set_default_dtype(torch.float64)
        single, double = potential.to(dtype="float32"), potential.to()
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        assert_same(double.predict(structures["crystal"])[0], expected)
        assert_same(single.predict(structures["crystal"])[0], expected, tolerance=1e-5)
    finally:
        torch.set_default_dtype(torch.float32)


# Another precision, another device


def test_a_copy_in_another_precision_leaves_the_original_alone(potential, structures):
    atoms = structures["crystal"]
    before = potential.predict(atoms)[0]
    single = potential.to(dtype="float32")
    assert single.dtype == torch.float32
    assert potential.dtype == torch.float64
    assert single.metadata == potential.metadata
    assert_same(potential.predict(atoms)[0], before)
    assert_same(single.predict(atoms)[0], before, tolerance=1e-5)
    for parameter in single.model.parameters():
        parameter.data.zero_()
    assert_same(potential.predict(atoms)[0], before)


def test_a_copy_in_the_same_precision_is_exact_and_independent(potential, structures):
    copy = potential.to()
    assert copy is not potential
    assert_same(copy.predict(structures["crystal"])[0], potential.predict(structures["crystal"])[0])
    copy.model.atom_embedding.weight.data.zero_()
    assert potential.model.atom_embedding.weight.any()


def test_from_float32_to_float64_only_the_weights_stay_rounded(make_potential, structures):
    """The constants of the basis are worked out anew, not widened."""
    single = make_potential("matgl_pyg", dtype=torch.float32)
    double = single.to(dtype=torch.float64)
    fresh = random_model(small_config("matgl_pyg"))
    fresh.load_state_dict(single.model.state_dict())
    assert_same(
        double.predict(structures["crystal"])[0], tribond.Potential(fresh).predict(structures["crystal"])[0], 1e-14
    )


@pytest.mark.parametrize("dtype", ["float16", "double", torch.bfloat16, torch.int64])
def test_other_precisions_are_refused_with_the_two_there_are(potential, dtype):
    with pytest.raises(ConfigError, match="'float32' or 'float64', not"):
        potential.to(dtype=dtype)


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("float64", torch.float64)])
def test_precisions_go_by_name_or_by_torch(name, dtype):
    assert resolve_dtype(name) == resolve_dtype(dtype) == dtype


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "cpu:banana"])
def test_a_device_that_is_not_there_is_refused_by_its_name(device):
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here") as error:
        resolve_device(device)
    assert "\n" not in str(error.value)


def test_the_refusal_reaches_those_who_ask_for_it(potential):
    with pytest.raises(ConfigError, match="'cuda:99'"):
        potential.to(device="cuda:99")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-5)])
def test_a_gpu_gives_the_same_predictions(potential, structures, dtype, tolerance):
    there = potential.to(device="cuda", dtype=dtype)
    assert there.device.type == "cuda"
    assert potential.device.type == "cpu"
    for a, b in zip(there.predict(structures.values()), potential.predict(structures.values()), strict=True):
        assert_same(a, b, tolerance)


# What is refused


def test_an_unknown_element_is_named_with_the_known_ones(potential):
    gold = Atoms("HAuFe", positions=np.eye(3) * 3)
    with pytest.raises(UnknownElementError, match="does not know Fe, Au; it knows H C O Si Cu"):
        potential.predict(gold)


def test_a_dummy_atom_is_an_unknown_element(potential):
    with pytest.raises(UnknownElementError, match="atomic number 0 .X, a dummy atom. of atom 1"):
        potential.predict(Atoms("HX", positions=[[0, 0, 0], [0, 0, 2]]))


def test_a_bad_structure_in_a_list_is_named_by_its_place(potential, structures):
    bad = structures["crystal"].copy()
    bad.positions[1, 0] = np.nan
    with pytest.raises(StructureError, match=r"^structure 2: the position of atom 1 \(C\)"):
        potential.predict([structures["slab"], structures["methanol"], bad])
    with pytest.raises(UnknownElementError, match="^structure 1: this model does not know Au"):
        potential.predict([structures["slab"], Atoms("Au")])


def test_a_bad_structure_alone_is_not_numbered(potential):
    with pytest.raises(UnknownElementError, match="^this model does not know Au"):
        potential.predict(Atoms("Au"))


@pytest.mark.parametrize("thing", ["POSCAR", 7, None])
def test_what_is_no_structure_is_refused_as_such(potential, thing):
    with pytest.raises(StructureError, match="ase.Atoms or a pymatgen"):
        potential.predict(thing)


def test_a_model_of_properties_is_no_potential():
    with pytest.raises(ConfigError, match="extensive readout; this model has 'mean'"):
        tribond.Potential(random_model(small_config(readout="mean")))


def test_the_hessian_of_a_batch_is_refused(potential, structures):
    graph = potential.graph([structures["crystal"], structures["slab"]])
    with pytest.raises(ConfigError, match="one system, not for a batch of 2"):
        hessian(potential.model, graph)
