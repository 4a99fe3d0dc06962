"""Steps that are recorded give what a potential gives: in Triton's interpreter here, on a GPU with `-m gpu`."""

import copy
import pickle
from importlib.util import find_spec
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.verlet import VelocityVerlet

from tests.small_models import random_model, small_config
from tribond.errors import StructureError, UnknownElementError
from tribond.integrations.ase import Calculator
from tribond.models import recorded as recorded_module
from tribond.models.potential import Potential
from tribond.models.recorded import RecordedSteps

if find_spec("triton") is None:
    pytest.skip("needs Triton", allow_module_level=True)

from tribond.backends import cuda_graph

ON_A_GPU = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(params=["cpu", ON_A_GPU])
def potential(request, monkeypatch):
    """In float32, where kernels run; in the interpreter they run on the CPU, too."""
    if request.param == "cpu":
        monkeypatch.setattr(recorded_module, "triton_runs_on", lambda _: True)
    model = random_model(small_config("paper", num_blocks=1, cutoff=2.5, threebody_cutoff=2.2), dtype=torch.float32)
    return Potential(model.to(request.param), {})


@pytest.fixture
def steps(potential):
    return RecordedSteps(potential.model, 0.6)


def sic() -> Atoms:
    atoms = bulk("SiC", "zincblende", 4.36)
    atoms.rattle(0.05, seed=1)
    return atoms


def same(prediction, potential, atoms):
    expected = potential.predict(atoms)[0]
    size = max(1.0, np.abs(expected.forces).max())
    assert prediction.energy == pytest.approx(expected.energy, abs=1e-5 * len(atoms))
    np.testing.assert_allclose(prediction.atomic_energies, expected.atomic_energies, atol=1e-5)
    np.testing.assert_allclose(prediction.forces, expected.forces, atol=1e-5 * size)
    if expected.stress is None:
        assert prediction.stress is None
    else:
        np.testing.assert_allclose(prediction.stress, expected.stress, atol=1e-6 * size)


def twice(steps, atoms):
    """The first of its kind is not recorded."""
    return steps(atoms) or steps(atoms)


def searches(steps, monkeypatch):
    """How often neighbours were searched for, from now on."""
    found, search = [], steps._list._search
    monkeypatch.setattr(steps._list, "_search", lambda atoms: (found.append(1), search(atoms))[1])
    return found


def test_moves_strains_and_other_structures_give_what_the_potential_gives(steps, potential, monkeypatch):
    atoms, searched = sic(), searches(steps, monkeypatch)
    assert steps(atoms) is None
    assert not searched
    same(steps(atoms), potential, atoms)
    atoms.positions[0] += 0.1  # within the skin
    same(steps(atoms), potential, atoms)
    straight = atoms.cell.copy()
    atoms.set_cell(straight * 1.01, scale_atoms=True)
    same(steps(atoms), potential, atoms)
    atoms.set_cell(straight, scale_atoms=True)  # and back
    same(steps(atoms), potential, atoms)
    assert len(searched) == 1
    atoms.positions[0] += 1.0
    same(steps(atoms), potential, atoms)
    assert len(searched) == 2
    atoms.numbers[0] = 29
    same(twice(steps, atoms), potential, atoms)
    for other in (molecule("H2O"), Atoms("Cu"), sic()):
        same(twice(steps, other), potential, other)


def test_results_are_copies(steps):
    atoms = sic()
    first = twice(steps, atoms)
    kept = first.forces.copy()
    atoms.positions[0] += 0.1
    steps(atoms)
    np.testing.assert_array_equal(first.forces, kept)


def test_a_kept_list_gives_the_bits_of_a_fresh_one(steps, potential):
    atoms = sic()
    twice(steps, atoms)
    atoms.positions[0] += 0.2
    kept, fresh = steps(atoms), twice(RecordedSteps(potential.model, 0.0), atoms)
    assert kept.energy == fresh.energy
    np.testing.assert_array_equal(kept.forces, fresh.forces)


def test_what_it_leaves_to_others_and_what_it_refuses(steps, potential, monkeypatch):
    assert steps(Atoms()) is None
    with monkeypatch.context() as patched:
        patched.setattr(recorded_module, "MOST_ATOMS", 1)
        assert twice(steps, sic()) is None
    atoms = sic()
    twice(steps, atoms)
    atoms.positions[1] = atoms.positions[0] + 1e-4
    with pytest.raises(StructureError, match=r"atom 0 \(Si\) and atom 1 \(C\)"):
        Calculator(potential).calculate(atoms)
    with pytest.raises(UnknownElementError, match="Og"):
        twice(steps, Atoms("Og"))
    flat = sic()
    flat.positions[0] = np.nan
    with pytest.raises(StructureError, match="finite"):
        twice(steps, flat)
    good = sic()
    same(twice(steps, good), potential, good)  # nothing of these stays behind


def test_atoms_that_run_into_each_other_within_the_skin_are_left_to_others(potential):
    atoms = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.9]])
    steps = RecordedSteps(potential.model, 2.0)
    assert twice(steps, atoms) is not None
    atoms.positions[1, 2] = 1e-4
    assert steps(atoms) is None


def test_a_changed_model_is_seen(steps, potential):
    atoms = sic()
    before = twice(steps, atoms).energy
    with torch.no_grad():
        next(potential.model.readout.parameters()).mul_(2)
    after = steps(atoms)
    assert after.energy != before
    same(after, potential, atoms)
    potential.model.register_forward_hook(lambda *_: None)
    assert steps(atoms) is None


def test_the_calculator_takes_it_in_dynamics(potential, monkeypatch):
    calculator = Calculator(potential)
    assert isinstance(calculator._recorder, RecordedSteps)
    atoms = sic()
    atoms.calc = calculator
    atoms.get_forces()
    monkeypatch.setattr(Potential, "evaluate", None)  # not asked any more
    VelocityVerlet(atoms, 1 * units.fs).run(3)
    assert np.isfinite(atoms.get_stress()).all()


def test_copies_record_for_themselves(steps, potential):
    atoms = sic()
    twice(steps, atoms)
    for copied in (copy.deepcopy(steps), pickle.loads(pickle.dumps(steps))):
        same(twice(copied, atoms), potential, atoms)


def test_a_recording_that_fails_leaves_nothing_old_behind(steps, potential, monkeypatch):
    """Strained so much that pairs no longer fit, and no memory for another graph: then the usual way, then anew."""
    atoms = sic()
    twice(steps, atoms)
    atoms.set_cell(atoms.cell.array * 0.8, scale_atoms=True)
    with monkeypatch.context() as patched:
        patched.setattr(cuda_graph, "_record", Mock(side_effect=torch.OutOfMemoryError))
        assert steps(atoms) is None
    same(steps(atoms), potential, atoms)
    atoms.set_cell(atoms.cell.array * 0.8, scale_atoms=True)
    with monkeypatch.context() as patched:
        patched.setattr(cuda_graph, "_record", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            steps(atoms)
    same(steps(atoms), potential, atoms)


def test_on_a_cpu_nothing_is_recorded():
    potential = Potential(random_model(small_config("paper"), dtype=torch.float32), {})
    assert potential.recorder(1.0) is None
