"""Every variant of every format, as its home code wrote it, gives what its home code computes.

Small models with random weights; how they were made stands in home/README.md. Asked for in matgl#59 and #64: weights
that were ported from one code to another gave other energies.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

import tribond
from tribond.errors import CheckpointError

HOME = Path(__file__).parent / "home"
CASES = sorted(path.parent.name for path in HOME.glob("*/expected.json"))
STRUCTURES = {atoms.info["name"]: atoms for atoms in read(HOME / "structures.extxyz", ":")}

UNTOLD = {  # the files do not say which MatGL wrote them
    "matgl_dgl_2.2.1_reduce_atom_classification": "matgl_dgl",
    "matgl_pyg_4.1.2_reduce_atom_classification": "matgl_pyg",
}
REFUSED = {"tensorflow_reduce_atom_element_refs": "element_refs with an intensive property"}

# float64 homes that round their constants to float32, of which plain j_l has more than the smooth basis; TensorFlow
# computes in float32.
ENERGY = 1e-6  # eV/atom
FORCES = 1e-5  # eV/Å
STRESS = 1e-6  # eV/Å³
PROPERTY = 5e-6  # relative to the largest of the values of a model, or to one


def load(case: str, **settings):
    folder = HOME / case
    return tribond.load(next(iter(folder.glob("*.pth")), folder), device="cpu", dtype="float64", **settings)


def expected(case: str, key: str = "results") -> list[tuple[str, dict]]:
    """Structure and values, once for every state that the home code was given."""
    results = json.loads((HOME / case / "expected.json").read_text())[key]
    return [(name, v) for name, values in results.items() for v in (values if isinstance(values, list) else [values])]


def state_of(model, value: dict):
    """The state that the home code was given, or took by itself."""
    if model.config.state == "none":
        return None
    state = np.ravel(value["state"] if "state" in value else value["default_state"])
    return int(state[0]) if model.config.state == "categorical" else state.tolist()


def assert_agrees(model, case: str, key: str = "results") -> None:
    values = expected(case, key)
    scale = max(1.0, *(np.abs(value.get("value", 0.0)).max() for _, value in values))
    for name, value in values:
        atoms = STRUCTURES[name]
        ours = model.predict(atoms, state=state_of(model, value))[0]
        if "value" in value:
            np.testing.assert_allclose(np.ravel(ours.value), np.ravel(value["value"]), rtol=0, atol=PROPERTY * scale)
            continue
        assert ours.energy == pytest.approx(value["energy"], abs=ENERGY * len(atoms)), name
        np.testing.assert_allclose(ours.forces, value["forces"], rtol=0, atol=FORCES, err_msg=name)
        if value.get("stress") is not None:
            np.testing.assert_allclose(ours.stress, value["stress"], rtol=0, atol=STRESS, err_msg=name)


def test_there_are_cases_of_every_code():
    assert {case.partition("_")[0] for case in CASES} == {"tensorflow", "matgl", "mattersim"}
    assert len(CASES) >= 26


@pytest.mark.parametrize("case", [case for case in CASES if case not in REFUSED])
def test_the_model_gives_what_its_home_code_gives(case):
    model = load(case, dialect=UNTOLD.get(case)) if case in UNTOLD else load(case)
    assert_agrees(model, case)


@pytest.mark.parametrize("case", UNTOLD)
def test_a_model_that_could_be_of_two_codes_is_not_guessed(case):
    with pytest.raises(CheckpointError, match="matgl_dgl.*matgl_pyg"):
        load(case)


@pytest.mark.parametrize(("case", "dialect"), UNTOLD.items())
def test_the_wrong_guess_would_be_wrong(case, dialect):
    other = {"matgl_dgl": "matgl_pyg", "matgl_pyg": "matgl_dgl"}[dialect]
    with pytest.raises(AssertionError):
        assert_agrees(load(case, dialect=other), case)


@pytest.mark.parametrize(("case", "reason"), REFUSED.items())
def test_what_is_not_supported_is_refused_by_name(case, reason):
    with pytest.raises(CheckpointError, match=reason):
        load(case)


def test_the_moving_average_of_mattersim_can_be_had():
    """MatterSim computes with the weights as they are; the average is kept beside them."""
    case = "mattersim_potential"
    assert_agrees(load(case, weights="ema"), case, "results_ema")
    with pytest.raises(AssertionError):
        assert_agrees(load(case), case, "results_ema")
