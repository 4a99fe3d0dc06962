"""Potentials as models of torch-sim: `make torchsim`, or anywhere where torch-sim is installed."""

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES, rattled
from tribond.checkpoints.registry import load
from tribond.errors import ConfigError, StructureError, UnknownElementError
from tribond.integrations.ase import Calculator
from tribond.models.dispersion import with_dispersion
from tribond.models.potential import Potential
from tribond.nn.config import PRESETS

if find_spec("torch_sim") is None:
    pytest.skip("needs torch-sim: make torchsim", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.script, which torch-sim calls
    import torch_sim
    from torch_sim.models.interface import validate_model_outputs

    from tribond.integrations.torchsim import TorchSimModel
    from tribond.integrations.torchsim_memory import METRIC

OLD = not hasattr(torch_sim, "Optimizer")  # torch-sim 0.3
CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch_sim"),
]


@pytest.fixture(scope="module")
def potential() -> Potential:
    return load(dtype="float64", device="cpu")


@pytest.fixture
def model(potential) -> TorchSimModel:
    return TorchSimModel(potential)


def crystals() -> list[Atoms]:
    """Right-handed, of 1 to 32 atoms."""
    kinds = [STRUCTURES[name]() for name in ("crystal", "skewed_crystal", "one_atom_cell", "stretched_crystal")]
    return [*kinds, rattled(bulk("Cu", cubic=True).repeat(2)), rattled(bulk("NaCl", "rocksalt", a=5.7, cubic=True))]


def relax(model: TorchSimModel, structures: list[Atoms], fmax: float, **settings):
    if OLD:
        settings |= {"optimizer": torch_sim.frechet_cell_fire}
    else:
        cells = {"cell_filter": torch_sim.CellFilter.frechet}
        settings |= {"optimizer": torch_sim.Optimizer.fire, "init_kwargs": cells}
    near = torch_sim.generate_force_convergence_fn(force_tol=fmax, include_cell_forces=True)
    state = model.initial_state(structures)
    return torch_sim.optimize(state, model, convergence_fn=near, steps_between_swaps=1, max_steps=500, **settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_torch_sims_own_validator_is_content(precision, dtype):
    model = TorchSimModel(load(dtype=precision, device="cpu"), dtype=dtype)
    validate_model_outputs(model, CPU, dtype)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_gives_what_predict_gives(preset):
    model = TorchSimModel(Potential(random_model(small_config(preset))))
    structures = crystals()[:-1]
    state = model.initial_state(structures)
    before = state.clone()
    output = model(state)
    assert torch.equal(state.positions, before.positions)
    assert torch.equal(state.cell, before.cell)
    for system, expected in enumerate(model.potential.predict(structures)):
        own = state.system_idx == system
        np.testing.assert_allclose(output["energy"][system], expected.energy, rtol=0, atol=1e-12)
        np.testing.assert_allclose(output["forces"][own], expected.forces, rtol=0, atol=1e-13)
        np.testing.assert_allclose(output["stress"][system], expected.stress, rtol=0, atol=1e-14)


def test_dispersion_is_in_every_number():
    pytest.importorskip("dftd3")
    plain = Potential(random_model(small_config()))
    model = TorchSimModel(with_dispersion(plain, "pbe"))
    structures = crystals()[:2]
    output = model(model.initial_state(structures))
    expected = model.potential.predict(structures)
    np.testing.assert_allclose(output["energy"], [it.energy for it in expected], rtol=0, atol=1e-9)
    np.testing.assert_allclose(output["forces"], np.concatenate([it.forces for it in expected]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(output["stress"], [it.stress for it in expected], rtol=0, atol=1e-10)
    assert output["energy"][0] < plain.predict(structures)[0].energy - 1e-2


def test_molecules_have_no_stress(model):
    structures = [molecule("H2O"), molecule("CH3OH")]
    output = model(model.initial_state(structures))
    assert output["stress"].isnan().all()
    energies = [one.energy for one in model.potential.predict(structures)]
    np.testing.assert_allclose(output["energy"], energies, rtol=0, atol=1e-12)


def test_a_potential_in_float32_may_keep_its_states_in_float64():
    model = TorchSimModel(load(dtype="float32", device="cpu"))
    output = model(model.initial_state(crystals()))
    assert {value.dtype for value in output.values()} == {torch.float64}


@pytest.mark.skipif(not OLD, reason="torch-sim 0.6 hands over states alone")
def test_dictionaries_are_taken(model):
    state = model.initial_state(crystals())
    names = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    assert torch.equal(model({name: getattr(state, name) for name in names})["energy"], model(state)["energy"])


def test_batched_relaxation_of_atoms_and_cells_ends_where_ases_does(model):
    """In batches of two or three, so that systems leave and join."""
    structures = [
        rattled(bulk("Cu", a=3.75, cubic=True)),
        rattled(bulk("SiC", "zincblende", a=4.2)),
        rattled(bulk("NaCl", "rocksalt", a=5.9, cubic=True)),
        bulk("MgO", "rocksalt", a=4.0),
        rattled(bulk("Al", a=4.2).repeat((1, 1, 2))),
    ]
    fmax = 0.001
    relaxed = relax(model, structures, fmax, autobatcher=model.in_flight(max_bonds=450))
    assert model.searches < 12
    for system, start in enumerate(structures):
        atoms = start.copy()
        atoms.calc = Calculator(model.potential)
        FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=fmax, steps=500)
        own = relaxed.system_idx == system
        assert abs(relaxed.energy[system].item() - atoms.get_potential_energy()) < 1e-5 * len(atoms)
        volume = torch.linalg.det(relaxed.cell[system]).item()
        assert abs(volume / atoms.get_volume() - 1) < 1e-3
        moved = relaxed.positions[own] @ torch.linalg.inv(relaxed.cell[system].mT) - torch.tensor(
            atoms.get_scaled_positions(wrap=False)
        )
        assert (moved - moved.mean(0)).abs().max() < 2e-3
        final = model.potential.predict(
            Atoms(atoms.numbers, relaxed.positions[own].numpy(), cell=relaxed.cell[system].mT.numpy(), pbc=True)
        )[0]
        assert np.linalg.norm(final.forces, axis=1).max() < fmax


def start_nve(model: TorchSimModel, structures: list[Atoms], temperature_K: float):
    """A state with momenta, and the function that takes it one femtosecond on."""
    state = model.initial_state(structures)
    units = torch_sim.units.MetalUnits
    kT, dt = torch.tensor(temperature_K * units.temperature), torch.tensor(1e-3 * units.time)
    if OLD:
        begin, step = torch_sim.nve(model=model, dt=dt, kT=kT, seed=1)
        return begin(state), step
    state.rng = 1
    return torch_sim.nve_init(state, model, kT=kT), lambda moving: torch_sim.nve_step(moving, model, dt=dt)


def total_energy(state) -> torch.Tensor:
    kinetic = torch_sim.calc_kinetic_energy(momenta=state.momenta, masses=state.masses, system_idx=state.system_idx)
    return state.energy + kinetic


def test_batched_dynamics_conserve_energy_and_are_those_of_single_systems(potential):
    structures = [bulk("Cu", cubic=True).repeat(2), bulk("Si"), bulk("NaCl", "rocksalt", a=5.65, cubic=True)]
    structures = [rattled(atoms, 0.02) for atoms in structures]
    for atoms in structures:
        atoms.positions += 0.8  # away from the faces of the cell: torch-sim wraps positions at every step
    model = TorchSimModel(potential)
    state, step = start_nve(model, structures, 600.0)
    singles = state.split()
    start = total_energy(state).clone()
    for _ in range(60):
        state = step(state)
    drift = (total_energy(state) - start) / state.n_atoms_per_system
    assert drift.abs().max() < 2e-4  # eV/atom, of velocity Verlet
    assert model.searches < 8
    for system, single in enumerate(singles):
        alone = TorchSimModel(potential, skin=0.0)
        _, step_alone = start_nve(alone, [structures[system]], 600.0)
        moving = single
        for _ in range(60):
            moving = step_alone(moving)
        own = state.system_idx == system
        assert (state.positions[own] - moving.positions).abs().max() < 1e-9
        assert abs(state.energy[system] - moving.energy[0]) < 1e-9


def test_dynamics_run_in_bins(model):
    structures = [rattled(bulk("Cu").repeat((1, 1, number)), 0.02) for number in (1, 2, 3, 2, 1)]
    integrator = torch_sim.nvt_langevin if OLD else torch_sim.Integrator.nvt_langevin
    final = torch_sim.integrate(
        model.initial_state(structures),
        model,
        integrator=integrator,
        n_steps=3,
        temperature=300.0,
        timestep=0.001,
        autobatcher=model.binning(max_bonds=200),
    )
    assert final.n_atoms_per_system.tolist() == [1, 2, 3, 2, 1]


def state_of(batch):
    """torch-sim 0.6 gives the numbers of the systems along."""
    return batch[0] if isinstance(batch, tuple) else batch


def test_batches_hold_no_more_bonds_than_asked_for(model):
    structures = [bulk("Cu", cubic=True).repeat((1, 1, number)) for number in (1, 2, 1, 3, 1, 1)]
    batches = model.binning(max_bonds=800)
    batches.load_states(model.initial_state(structures))
    sizes = []
    while (batch := state_of(batches.next_batch())) is not None:
        sizes.append(model.graph(batch).num_edges)
    assert max(sizes) <= 800 * (1 if METRIC == "n_edges" else 1.1)  # a density says bonds of a crystal but roughly
    assert len(sizes) == 3


def test_memory_goes_with_bonds(model):
    assert model.in_flight().max_memory_scaler > model.in_flight(max_bonds=500).max_memory_scaler
    assert model.in_flight(max_bonds=500, memory_scales_with="n_atoms").max_memory_scaler == pytest.approx(9.5, abs=0.1)


def test_other_force_fields_are_taken_and_other_things_are_not(potential):
    class Doubled:
        """Has the names of the protocol, and nothing else in common with a Potential."""

        cutoff, threebody_cutoff, elements = potential.cutoff, potential.threebody_cutoff, potential.elements
        device, dtype, predict = potential.device, potential.dtype, potential.predict

        def evaluate(self, graph):
            result = potential.evaluate(graph)
            return type(result)(*(2 * getattr(result, name) for name in result.__dataclass_fields__))

    twice, once = TorchSimModel(Doubled()), TorchSimModel(potential)
    state = once.initial_state(crystals())
    assert torch.equal(twice(state)["energy"], 2 * once(state)["energy"])
    with pytest.raises(ConfigError, match="needs a Potential"):
        TorchSimModel("default")
    with pytest.raises(ConfigError, match="the skin must be a length"):
        TorchSimModel(potential, skin=-1)
    with pytest.raises(ConfigError, match="float16"):
        TorchSimModel(potential, dtype="float16")


def test_a_state_input_goes_to_every_system():
    config = small_config(state="categorical", state_size=3, state_features=4)
    potential = Potential(random_model(config))
    structures = crystals()[:-1]
    model = TorchSimModel(potential, state=1)
    expected = [one.energy for one in potential.predict(structures, state=[1] * len(structures))]
    np.testing.assert_allclose(model(model.initial_state(structures))["energy"], expected, rtol=0, atol=1e-12)
    with pytest.raises(ConfigError, match="needs a state input"):
        TorchSimModel(potential)(model.initial_state(structures))


def test_what_cannot_be_is_refused_in_a_sentence():
    model = TorchSimModel(Potential(random_model(small_config())))
    gold = [STRUCTURES["crystal"](), bulk("Au")]
    with pytest.raises(UnknownElementError, match="system 1: this model does not know Au"):
        model.initial_state(gold)
    for _ in range(2):  # neither the second time, when the list of neighbours is kept
        with pytest.raises(UnknownElementError, match="system 1: this model does not know Au"):
            model(torch_sim.io.atoms_to_state(gold, CPU, torch.float64))
    with pytest.raises(ConfigError, match=r"state is torch.float32 and this model torch.float64: state.to\("):
        model(torch_sim.io.atoms_to_state(gold[:1], CPU, torch.float32))
    with pytest.raises(
        StructureError, match=r"systems 0 and 1 have pbc \[True, True, True\] and \[False, False, False\]"
    ):
        model.initial_state([STRUCTURES["crystal"](), STRUCTURES["methanol"]()])
    with pytest.raises(StructureError, match="system 1: the lattice vectors are left-handed"):
        model.initial_state([STRUCTURES["crystal"](), STRUCTURES["left_handed_crystal"]()])
    with pytest.raises(StructureError, match="at least one system"):
        model.initial_state([])
    state = model.initial_state([STRUCTURES["crystal"](), STRUCTURES["skewed_crystal"]()])
    state.positions[3, 1] = torch.nan
    with pytest.raises(StructureError, match=r"system 1: the position of atom 1 \(O\)"):
        model(state)


def test_a_left_handed_cell_is_computed_and_told(model):
    atoms = STRUCTURES["left_handed_crystal"]()
    state = torch_sim.io.atoms_to_state([atoms], CPU, torch.float64)
    with pytest.warns(UserWarning, match="system 0 are left-handed"):
        output = model(state)
    np.testing.assert_allclose(output["stress"][0], model.potential.predict(atoms)[0].stress, rtol=0, atol=1e-13)
    model(state)  # told once


def test_slabs_are_slabs_or_refused(model):
    slab = rattled(fcc111("Cu", (1, 1, 3), vacuum=6.0))
    if OLD:
        with pytest.raises(StructureError, match=r"pbc is \[True, True, False\], and torch-sim before 0.6"):
            model.initial_state(slab)
        with pytest.warns(UserWarning, match="computed without periodic images"):
            model(torch_sim.io.atoms_to_state([slab], CPU, torch.float64))
    else:
        energy = model(model.initial_state([slab, slab]))["energy"]
        np.testing.assert_allclose(energy, model.potential.predict(slab)[0].energy, rtol=0, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_state_stays_on_the_gpu():
    here, there = (TorchSimModel(load(device=device, dtype="float64")) for device in ("cpu", "cuda"))
    state = there.initial_state(crystals())
    output = there(state)
    assert {value.device.type for value in output.values()} == {"cuda"}
    expected = here(here.initial_state(crystals()))
    for name, value in expected.items():
        torch.testing.assert_close(output[name].cpu(), value, rtol=0, atol=1e-9)
    with pytest.raises(ConfigError, match="the state is on cpu"):
        there(here.initial_state(crystals()))
    assert there.in_flight().max_memory_scaler > 0
