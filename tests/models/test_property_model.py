"""A property model gives a number with its name and unit, and takes a state where the model has one."""

import numpy as np
import pytest
import torch

import tribond
from tests.small_models import random_model, small_config
from tribond.checkpoints.native import save_model
from tribond.checkpoints.registry import load_potential
from tribond.errors import ConfigError, StructureError, UnknownElementError

GAP = {"name": "gaps", "property": {"name": "band gap", "unit": "eV"}}


@pytest.fixture
def make_property_model():
    def make(metadata=GAP, **changes):
        return tribond.PropertyModel(random_model(small_config(**({"readout": "set2set"} | changes))), metadata)

    return make


def test_one_structure_gives_a_list_of_one(make_property_model, structures):
    prediction = make_property_model().predict(structures["crystal"])
    assert len(prediction) == 1
    assert isinstance(prediction[0].value, float)
    assert (prediction[0].name, prediction[0].unit) == ("band gap", "eV")


def test_many_structures_give_one_prediction_each_in_order(make_property_model, structures, monkeypatch):
    model = make_property_model()
    together = [prediction.value for prediction in model.predict(structures.values())]
    assert together == pytest.approx([model.predict(atoms)[0].value for atoms in structures.values()], abs=1e-12)
    monkeypatch.setattr("tribond.models.trained_model.BATCH_EDGES", 1)
    assert together == pytest.approx([prediction.value for prediction in model.predict(structures.values())], abs=1e-12)


def test_several_targets_come_as_an_array(make_property_model, structures):
    value = make_property_model(num_targets=3).predict(structures["crystal"])[0].value
    assert isinstance(value, np.ndarray)
    assert value.shape == (3,)


def test_a_class_is_a_probability(make_property_model, structures):
    values = [p.value for p in make_property_model(classification=True).predict(structures.values())]
    assert all(0 < value < 1 for value in values)


def test_a_file_that_does_not_say_what_it_predicts_gives_a_property(make_property_model, structures):
    prediction = make_property_model(metadata={}).predict(structures["crystal"])[0]
    assert (prediction.name, prediction.unit) == ("property", "")


def test_what_was_saved_comes_back_as_a_property_model(make_property_model, structures, tmp_path):
    model = make_property_model(target_mean=-1.5, target_std=2.0)
    save_model(tmp_path / "gaps.safetensors", model.model, model.metadata)
    again = tribond.load(tmp_path / "gaps.safetensors", device="cpu")
    assert isinstance(again, tribond.PropertyModel)
    assert again.predict(structures["slab"])[0].value == model.predict(structures["slab"])[0].value
    assert "PropertyModel('gaps'" in repr(again)


def test_a_copy_in_another_precision_is_a_property_model_too(make_property_model, structures):
    model = make_property_model()
    single = model.to(dtype="float32")
    assert isinstance(single, tribond.PropertyModel)
    assert single.dtype == torch.float32
    assert single.predict(structures["slab"])[0].value == pytest.approx(
        model.predict(structures["slab"])[0].value, abs=1e-5
    )


def test_a_property_model_is_no_potential_and_the_other_way_round(make_property_model, make_model, tmp_path):
    with pytest.raises(ConfigError, match="Potential needs an extensive readout; this model has 'set2set'"):
        tribond.Potential(make_property_model().model)
    with pytest.raises(ConfigError, match="PropertyModel needs an intensive readout; this model has 'extensive'"):
        tribond.PropertyModel(make_model())
    save_model(tmp_path / "gaps.safetensors", make_property_model().model, GAP)
    with pytest.raises(ConfigError, match="one property .band gap. and has no energy and forces"):
        load_potential(tmp_path / "gaps.safetensors")


def test_bad_structures_are_named(make_property_model, structures):
    with pytest.raises(UnknownElementError, match=r"structure 1: this model does not know Au"):
        make_property_model().predict([structures["crystal"], tribond_gold()])
    with pytest.raises(StructureError, match=r"ase\.Atoms"):
        make_property_model().predict("POSCAR")


def tribond_gold():
    from ase.build import bulk

    return bulk("Au")


# States


@pytest.mark.parametrize(
    ("kind", "one", "several"),
    [
        ("categorical", 2, [2, 0, 1]),
        ("continuous", [0.5, -1.0], [[0.5, -1.0], [0.0, 0.0], [2.0, 1.0]]),
        ("projected", (0.5, -1.0), np.array([[0.5, -1.0], [0.0, 0.0], [2.0, 1.0]])),
    ],
)
def test_a_state_is_given_once_for_all_or_for_each(make_property_model, structures, kind, one, several):
    model = make_property_model(state=kind, state_size=3 if kind == "categorical" else 2)
    atoms = [structures["crystal"]] * 3
    same = [p.value for p in model.predict(atoms, state=one)]
    each = [p.value for p in model.predict(atoms, state=several)]
    assert same == pytest.approx([each[0]] * 3, abs=1e-12)
    assert len({round(value, 8) for value in each}) == 3
    alone = model.predict(structures["crystal"], state=several[:1])[0].value
    assert alone == pytest.approx(each[0], abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("categorical", 3),
        ("categorical", -1),
        ("categorical", 1.0),
        ("categorical", [0, 1, 2]),
        ("continuous", 1),
        ("continuous", [1.0]),
        ("continuous", [[1.0, 2.0, 3.0]]),
        ("continuous", [1.0, float("nan")]),
        ("continuous", [[1.0, 2.0], [3.0]]),
        ("continuous", "up"),
        ("continuous", {"spin": 1}),
        ("categorical", True),
    ],
)
def test_a_state_that_does_not_fit_is_refused(make_property_model, structures, kind, state):
    model = make_property_model(state=kind, state_size=3 if kind == "categorical" else 2)
    with pytest.raises(ConfigError, match="state input must be"):
        model.predict([structures["crystal"]] * 2, state=state)


def test_a_state_of_one_number_needs_no_list(make_property_model, structures):
    model = make_property_model(state="continuous", state_size=1)
    one, same = (model.predict(structures["crystal"], state=state)[0].value for state in (0.5, [0.5]))
    assert one == same


def test_unsigned_integers_are_categories_too(make_property_model, structures):
    model = make_property_model(state="categorical", state_size=3)
    assert (
        model.predict(structures["crystal"], state=np.uint64(1))[0].value
        == model.predict(structures["crystal"], state=1)[0].value
    )


@pytest.mark.parametrize("stated", ["gap", None, ["gap"]])
def test_a_property_that_is_stated_in_another_way_is_no_obstacle(make_property_model, structures, stated):
    assert make_property_model({"property": stated}).predict(structures["crystal"])[0].name == "property"


def test_a_state_that_is_missing_or_not_wanted_is_refused(make_property_model, make_potential, structures):
    with pytest.raises(ConfigError, match=r"such as \[0\.0, 0\.0\]"):
        make_property_model(state="continuous", state_size=2).predict(structures["crystal"])
    with pytest.raises(ConfigError, match="such as 0"):
        make_property_model(state="categorical", state_size=2).predict(structures["crystal"])
    with pytest.raises(ConfigError, match="takes no state"):
        make_property_model().predict(structures["crystal"], state=0)


def test_a_potential_takes_a_state_too(make_potential, structures):
    potential = make_potential(state="categorical", state_size=2)
    zero, one = potential.predict([structures["methanol"]] * 2, state=[0, 1])
    assert abs(zero.energy - one.energy) > 1e-6
    assert potential.predict(structures["methanol"], state=1, with_hessian=True)[0].hessian.shape == (6, 3, 6, 3)
