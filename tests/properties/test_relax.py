import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.units import GPa

from tribond.errors import ConfigError, StructureError
from tribond.properties.relax import OPTIMIZERS, relax
from tribond.properties.relaxation import RelaxationError
from tribond.properties.start import at_rest
from tribond.properties.symmetry import space_group

EMT_COPPER_VOLUME = 11.5656  # Å³/atom, minimum of EMT's energy of fcc Cu, a = 3.5902 Å


@pytest.fixture
def strained_copper():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array @ np.array([[1.04, 0.02, 0], [0, 1.03, 0.01], [0, 0, 0.98]]), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return atoms


class Scripted(Calculator):
    """Whatever a function of the volume and the number of calls says, without forces on atoms."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, energy=lambda volume, calls: 0.0, pressure=0.0, fail_at=None):
        super().__init__()
        self.energy, self.pressure, self.fail_at, self.calls = energy, pressure, fail_at, 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls == self.fail_at:
            raise StructureError("atom 0 (Cu) and atom 1 (Cu) are 0.01 Å apart")
        energy = self.energy(atoms.get_volume(), self.calls)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.ones((len(atoms), 3)),
            "stress": np.array([-1, -1, -1, 0, 0, 0]) * self.pressure,
        }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_finds_the_crystal_at_rest(strained_copper, optimizer):
    result = relax(strained_copper, EMT(), optimizer=optimizer, fmax_eV_per_A=0.002)
    assert result.converged
    assert result.history[-1].fmax_eV_per_A < 0.002
    assert result.final.get_volume() / 4 == pytest.approx(EMT_COPPER_VOLUME, rel=2e-3)
    assert np.linalg.norm(result.final.get_forces(), axis=1).max() < 0.003
    assert np.abs(result.final.get_stress()).max() < 0.1 * GPa
    assert space_group(result.final) == "Fm-3m (225)"


def test_input_is_not_changed(strained_copper):
    before = strained_copper.copy()
    relax(strained_copper, EMT())
    assert strained_copper == before
    assert strained_copper.calc is None


def test_history_has_every_step_and_ends_with_the_final_structure(strained_copper):
    seen = []
    result = relax(strained_copper, EMT(), on_step=lambda step, atoms: seen.append((step, atoms)))
    assert [step.step for step in result.history] == list(range(result.steps + 1))
    assert [step for step, _ in seen] == list(result.history)
    for step, atoms in seen:
        assert atoms.get_potential_energy() == step.energy
        assert atoms.get_volume() == pytest.approx(step.volume)
        assert atoms.get_stress(voigt=False) == pytest.approx(step.stress)
    assert seen[0][1] == result.initial
    assert seen[-1][1] == result.final
    assert result.initial.get_volume() == pytest.approx(strained_copper.get_volume())


def test_fixed_cell_moves_only_atoms(strained_copper):
    result = relax(strained_copper, EMT(), relax_cell=False)
    assert result.converged
    assert not result.relax_cell
    assert np.array_equal(result.final.cell.array, strained_copper.cell.array)
    assert result.history[-1].energy < result.history[0].energy


def test_pressure_is_met_by_the_stress(strained_copper):
    result = relax(strained_copper, EMT(), pressure_GPa=10.0, fmax_eV_per_A=1e-4)
    assert result.final.get_stress() / GPa == pytest.approx([-10, -10, -10, 0, 0, 0], abs=0.02)
    assert result.final.get_volume() / 4 < EMT_COPPER_VOLUME
    first, last = result.history[0], result.history[-1]
    assert result.enthalpy(last) < result.enthalpy(first)
    assert result.enthalpy(last) == pytest.approx(last.energy + 10 * GPa * last.volume)


def test_molecule_relaxes_its_atoms_only():
    start = molecule("H2O")
    result = relax(start, EMT())
    assert result.converged
    assert not result.relax_cell
    assert result.history[-1].volume is None
    assert result.history[-1].stress is None
    assert result.history[-1].energy < result.history[0].energy
    assert result.summary()["after"]["space_group"] is None


def test_slab_keeps_its_cell_and_its_fixed_layer():
    slab = fcc111("Cu", (2, 2, 3), vacuum=6.0, a=3.7)
    slab.pbc = (True, True, False)
    slab.set_constraint(FixAtoms(indices=range(4)))
    result = relax(slab, EMT())
    assert result.converged
    assert np.array_equal(result.final.cell.array, slab.cell.array)
    assert np.array_equal(result.final.positions[:4], slab.positions[:4])
    assert not np.allclose(result.final.positions[4:], slab.positions[4:])
    assert result.final.constraints[0].index.tolist() == [0, 1, 2, 3]


def test_fixed_atoms_keep_fractional_coordinates_when_the_cell_moves(strained_copper):
    strained_copper.set_constraint(FixAtoms(indices=[1]))
    result = relax(strained_copper, EMT())
    assert result.final.get_scaled_positions()[1] == pytest.approx(strained_copper.get_scaled_positions()[1])


def test_symmetry_is_kept_on_demand():
    nearly_bcc = bulk("Cu", "bcc", a=2.9, cubic=True)
    nearly_bcc.set_cell(nearly_bcc.cell.array * [1, 1, 1.002], scale_atoms=True)  # a nudge down Bain's path to fcc
    kept = relax(nearly_bcc, EMT(), fix_symmetry=True, fmax_eV_per_A=1e-4)
    assert kept.converged
    assert space_group(kept.final) == "Im-3m (229)"
    assert kept.final.constraints == []
    free = relax(nearly_bcc, EMT(), optimizer="FIRE", fmax_eV_per_A=1e-4)
    assert space_group(free.final) == "Fm-3m (225)"
    assert free.history[-1].energy < kept.history[-1].energy - 0.05


def test_relaxed_start_needs_no_step(strained_copper):
    relaxed = relax(strained_copper, EMT(), fmax_eV_per_A=0.005).final
    again = relax(relaxed, EMT(), fmax_eV_per_A=0.01)
    assert again.converged
    assert again.steps == 0
    assert again.initial == again.final


def test_too_few_steps_are_not_called_converged(strained_copper):
    result = relax(strained_copper, EMT(), steps=2)
    assert not result.converged
    assert result.steps == 2


def test_summary_is_plain_json(strained_copper):
    result = relax(strained_copper, EMT())
    summary = json.loads(json.dumps(result.summary(), allow_nan=False))
    assert summary["converged"] is True
    assert summary["before"]["space_group"] == "P1 (1)"
    assert summary["after"]["space_group"] == "Fm-3m (225)"
    assert summary["after"]["volume_A3"] == pytest.approx(result.final.get_volume())
    assert summary["after"]["energy_eV_per_atom"] == pytest.approx(result.final.get_potential_energy() / 4)
    assert summary["after"]["angles_degree"] == pytest.approx([90, 90, 90], abs=0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "Newton"}, "unknown optimizer 'Newton'; choose one of LBFGS"),
        ({"fmax_eV_per_A": 0.0}, "positive"),
        ({"fmax_eV_per_A": float("nan")}, "positive"),
        ({"steps": -1}, "steps"),
        ({"pressure_GPa": float("inf")}, "finite"),
        ({"pressure_GPa": 1.0, "relax_cell": False}, "no effect on a fixed cell"),
    ],
)
def test_senseless_settings_are_refused(strained_copper, settings, message):
    with pytest.raises(ConfigError, match=message):
        relax(strained_copper, EMT(), **settings)


@pytest.mark.parametrize("setting", [{"pressure_GPa": 1.0}, {"fix_symmetry": True}])
def test_what_needs_a_crystal_says_so(setting):
    with pytest.raises(StructureError, match="periodic along a, b and c"):
        relax(molecule("H2O"), EMT(), **setting)


def test_no_atoms_are_refused():
    with pytest.raises(StructureError, match="no atoms"):
        relax(Atoms(), EMT())


def test_errors_of_the_start_pass_through(strained_copper):
    with pytest.raises(StructureError, match="^atom 0"):
        relax(strained_copper, Scripted(fail_at=1))


def test_exploding_cell_is_stopped():
    calculator = Scripted(energy=lambda volume, _: -volume, pressure=1.0)
    with pytest.raises(RelaxationError, match=r"cell grew from 11\.\d to .* by step \d+"):
        relax(bulk("Cu"), calculator, optimizer="FIRE")


def test_collapsing_cell_is_stopped():
    calculator = Scripted(energy=lambda volume, _: volume, pressure=-1.0)
    with pytest.raises(RelaxationError, match="cell shrank"):
        relax(bulk("Cu"), calculator, optimizer="FIRE")


def test_nan_is_stopped_where_it_appears(strained_copper):
    with pytest.raises(RelaxationError, match="for the structure as given"):
        relax(strained_copper, Scripted(energy=lambda *_: float("nan")))
    late = Scripted(energy=lambda _, calls: float("nan") if calls > 3 else 0.0)
    with pytest.raises(RelaxationError, match="at step 3"):
        relax(strained_copper, late, optimizer="FIRE")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_forces_that_never_change_make_no_optimizer_hang_or_warn(strained_copper, optimizer):
    try:
        assert not relax(strained_copper, Scripted(), optimizer=optimizer, steps=10).converged
    except RelaxationError as error:
        assert "ran away after step" in str(error)  # noqa: PT017 - either is a clear end


def test_atoms_that_collide_on_the_way_are_the_relaxations_fault(strained_copper):
    with pytest.raises(RelaxationError, match="ran away after step 2: atom 0"):
        relax(strained_copper, Scripted(fail_at=4), optimizer="FIRE")


def test_errors_of_the_callback_are_its_own(strained_copper):
    def on_step(step, _):
        if step.step == 2:
            raise ValueError("disk full")

    with pytest.raises(ValueError, match="^disk full$"):
        relax(strained_copper, EMT(), on_step=on_step)


def test_calculator_without_stress_relaxes_atoms():
    class ForcesOnly(Scripted):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["forces"] = np.zeros((1, 3))
            del self.results["stress"]

        implemented_properties = ("energy", "free_energy", "forces")

    result = relax(bulk("Cu"), ForcesOnly(), relax_cell=False)
    assert result.converged
    assert result.history[0].stress is None


@pytest.mark.parametrize(
    ("atoms", "name"),
    [
        (bulk("NaCl", "rocksalt", a=5.64), "Fm-3m (225)"),
        (bulk("Si"), "Fd-3m (227)"),
        (molecule("H2O"), None),
        (Atoms("Cu2", cell=[3, 3, 3], pbc=True), None),  # one atom twice: nothing that spglib can name
    ],
)
def test_space_group(atoms, name):
    assert space_group(atoms) == name


@pytest.mark.parametrize("stretch", [1.18, 1.22, 1.25])
def test_converged_means_that_no_force_on_an_atom_is_larger_either(stretch):
    """A cell filter measures forces in the cell that it started from, which a large strain makes smaller."""
    atoms = bulk("Cu", cubic=True, a=3.7)
    atoms.symbols[:2] = "Au"
    atoms.set_cell(atoms.cell.array * stretch, scale_atoms=True)
    atoms.rattle(0.1, seed=3)
    relaxation = relax(atoms, EMT(), fmax_eV_per_A=0.05, optimizer="FIRE")
    assert relaxation.converged
    assert relaxation.history[-1].max_force <= 0.05
    assert [step.step for step in relaxation.history] == list(range(len(relaxation.history)))


# ------------------------------------------------------------------------- axes of the cell, springs, large cells


def strained_slab(pbc):
    from ase.build import fcc100

    atoms = fcc100("Cu", (1, 1, 3), a=3.7, vacuum=8.0, orthogonal=True)
    atoms.rotate(30, (1, 2, 3), rotate_cell=True)  # the axes need not lie along x, y and z
    atoms.pbc = pbc
    return atoms


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_in_plane_relaxation_keeps_the_third_axis(pbc):
    atoms = strained_slab(pbc)
    result = relax(atoms, EMT(), cell_axes="ab", fmax_eV_per_A=0.01)
    assert result.converged
    assert result.final.cell.array[2] == pytest.approx(atoms.cell.array[2], abs=1e-12)
    assert result.final.cell.lengths()[:2] == pytest.approx([2.5] * 2, abs=0.1)
    assert abs(result.final.cell.lengths()[0] - atoms.cell.lengths()[0]) > 0.02
    assert result.final.pbc.tolist() == list(pbc)
    assert (result.history[0].area is None) == all(pbc)
    assert (result.history[0].stress is None) == (not all(pbc))
    # a minimum: the energy of the area, by itself, has no slope
    energies = []
    for strain in (-1e-3, 1e-3):
        moved = result.final.copy()
        cell = moved.cell.array.copy()
        cell[:2] *= 1 + strain
        moved.set_cell(cell, scale_atoms=True)
        moved.calc = EMT()
        energies.append(moved.get_potential_energy())
    assert abs(energies[1] - energies[0]) / 2e-3 < 0.05


def test_layers_with_and_without_an_open_axis_relax_alike():
    areas = [
        np.linalg.norm(np.cross(*relax(strained_slab(pbc), EMT(), cell_axes="ab", fmax_eV_per_A=0.002).final.cell[:2]))
        for pbc in ((True, True, True), (True, True, False))
    ]
    assert areas[0] == pytest.approx(areas[1], rel=1e-3)


def test_layers_and_wires_relax_what_is_periodic_by_themselves():
    layer = strained_slab((True, True, False))
    by_itself, named = relax(layer, EMT()), relax(layer, EMT(), cell_axes="ab")
    assert by_itself.final.cell.array == pytest.approx(named.final.cell.array, abs=1e-12)
    assert (by_itself.cell_axes, by_itself.relax_cell) == ("ab", True)
    assert np.array_equal(relax(layer, EMT(), relax_cell=False).final.cell.array, layer.cell.array)
    wire = Atoms("Cu2", positions=[[0, 0, 0], [0.2, 0, 2.6]], cell=[0, 0, 5.6], pbc=(False, False, True))
    result = relax(wire, EMT())
    assert result.final.cell.lengths()[2] != pytest.approx(5.6, abs=0.05)
    assert not result.final.cell.array[:2].any()
    layer.set_constraint(FixAtoms(indices=[0]))  # a slab of a crystal keeps that crystal's lattice
    assert np.array_equal(relax(layer, EMT()).final.cell.array, layer.cell.array)


def test_one_axis_alone_and_pressure():
    atoms = bulk("Cu", cubic=True)
    result = relax(atoms, EMT(), cell_axes="c", pressure_GPa=5.0, fmax_eV_per_A=0.002)
    assert result.final.cell.array[:2] == pytest.approx(atoms.cell.array[:2], abs=1e-12)
    assert result.final.get_stress()[2] / GPa == pytest.approx(-5.0, abs=0.1)
    assert result.summary()["settings"]["cell_axes"] == "c"


def test_axes_that_make_no_sense():
    with pytest.raises(ConfigError, match="some of a, b and c"):
        relax(bulk("Cu"), EMT(), cell_axes="xy")
    with pytest.raises(ConfigError, match="no effect on a fixed cell"):
        relax(bulk("Cu"), EMT(), cell_axes="ab", relax_cell=False)
    with pytest.raises(StructureError, match="axis c is open"):
        relax(strained_slab((True, True, False)), EMT(), cell_axes="abc")


def test_energies_are_the_models():
    from ase.constraints import Hookean

    atoms = molecule("N2")
    atoms.positions[:] = [[0, 0, 0], [0, 0, 1.6]]
    atoms.calc = EMT()
    alone = atoms.get_potential_energy()
    atoms.set_constraint(Hookean(0, 1, k=5.0, rt=1.2))
    result = relax(atoms, EMT(), steps=3)
    summary = result.summary()["before"]
    spring = atoms.get_potential_energy() - alone
    assert spring > 0.1
    assert (summary["energy_eV"], summary["constraint_energy_eV"]) == pytest.approx((alone, spring))
    assert result.initial.get_potential_energy(apply_constraint=False) == pytest.approx(alone)
    assert result.enthalpy(result.history[0]) == pytest.approx(alone + spring)


def test_the_space_group_of_large_cells_is_not_searched():
    from tribond.properties.symmetry import LARGEST_SEARCHED, space_group

    atoms = bulk("Cu", cubic=True) * (7, 7, 6)
    assert len(atoms) > LARGEST_SEARCHED
    assert space_group(atoms, largest=LARGEST_SEARCHED) is None
    assert space_group(bulk("Cu"), largest=LARGEST_SEARCHED) == "Fm-3m (225)"


def test_an_end_above_the_start_is_told(strained_copper, caplog):
    """Forces vanish on a maximum, too: neon with the built-in potential goes up to one by LBFGS."""
    down = relax(strained_copper, EMT())
    assert at_rest(down) is down.final
    assert not caplog.text
    up = replace(down, history=down.history[::-1])
    at_rest(up)
    assert f"ended {up.rise * 1000:.1f} meV/atom above its start" in caplog.text
    assert up.rise == pytest.approx((down.history[0].energy - down.history[-1].energy) / 4)
