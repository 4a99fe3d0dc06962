"""Settings, guards, starts and files of `run_md`."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms, FixBondLength, FixInternals
from ase.io import read

from tests.simulation.potentials import IdealGas, Springs, crystal
from tribond.errors import ConfigError, StructureError
from tribond.results.tables import read_csv
from tribond.simulation.guards import DynamicsError, Guards
from tribond.simulation.md import run_md
from tribond.simulation.stages import default_timestep_fs, make_stage
from tribond.simulation.start import degrees_of_freedom, supercell

SHORT = {"ensemble": "nvt", "temperature_K": 100, "steps": 20}


def go(folder, atoms=None, stages=(SHORT,), calculator=None, **more):
    atoms = crystal() if atoms is None else atoms
    return run_md(atoms, calculator or Springs(atoms), folder, list(stages), **more)


@pytest.mark.parametrize(("symbols", "step"), [("H2O", 0.5), ("LiF", 1.25), ("CO2", 1.5), ("Si", 2.0), ("PbTe", 2.0)])
def test_the_default_time_step_is_that_of_the_lightest_atom(symbols, step):
    assert default_timestep_fs(Atoms(symbols)) == step


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ensemble": "nvv"}, "unknown ensemble 'nvv'; choose one of nve"),
        ({"ensemble": "nvt", "steps": 5}, "nvt-bussi needs a temperature"),
        ({"temperature": 300}, "unknown setting temperature; known are"),
        ({**SHORT, "pressure_GPa": 1}, "pressure_GPa has no effect on nvt-bussi"),
        ({**SHORT, "friction_per_ps": 1}, "friction_per_ps has no effect"),
        ({**SHORT, "timestep_fs": 10}, "a time step of 10 fs is too long for Ar"),
        ({**SHORT, "timestep_fs": 0}, "timestep_fs must be a number larger than 0"),
        ({**SHORT, "time_ps": 1}, "either time_ps or steps"),
        ({"ensemble": "nvt", "temperature_K": 300}, "say how long it is"),
        ({**SHORT, "steps": 2.5}, "steps must be a whole number"),
        ({**SHORT, "temperature_K": "300:x"}, "a number or a ramp"),
        ({**SHORT, "temperature_K": "1:2:3"}, "a number or a ramp"),
        ({**SHORT, "temperature_K": 0}, "larger than 0 K"),
        ({"ensemble": "nve", "temperature_K": "100:200", "steps": 5}, "no thermostat that could follow a ramp"),
    ],
)
def test_settings_that_make_no_sense_have_a_sentence(settings, words):
    with pytest.raises(ConfigError, match=words):
        make_stage(settings, crystal())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "nothing to do"),
        ({"trajectory": "xyz"}, "unknown trajectory format"),
        ({"velocities": "keep"}, "no velocities to keep"),
        ({"velocities": "old"}, "velocities must be one of"),
        ({"stages": [{"ensemble": "nve", "steps": 5}]}, "no temperature to draw them at"),
        ({"log_interval_fs": 0.0}, "log_interval_fs must be"),
        ({"repeat": (2, 2)}, "three whole numbers"),
        ({"repeat": (2, 2, 2), "min_length_A": 10.0}, "not both"),
        ({"min_length_A": -1.0}, "min_length_A must be"),
        ({"stages": [SHORT, {**SHORT, "ensemble": "x"}]}, "stage 2: unknown ensemble"),
    ],
)
def test_calls_that_make_no_sense_leave_nothing_behind(tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        go(tmp_path / "run", **{"stages": (SHORT,), **change})
    assert not (tmp_path / "run").exists()


def test_structures_that_cannot_move_so(tmp_path):
    npt = {**SHORT, "ensemble": "npt"}
    with pytest.raises(StructureError, match="open along a, b, c"):
        go(tmp_path, molecule("H2O"), [npt], IdealGas())
    with pytest.raises(StructureError, match="no atoms"):
        go(tmp_path, Atoms(), calculator=IdealGas())
    with pytest.raises(ConfigError, match="nothing can move in this structure of 1 atoms"):
        go(tmp_path, bulk("Cu"), calculator=IdealGas())
    fixed = crystal()
    fixed.set_constraint(FixAtoms([0]))
    with pytest.raises(ConfigError, match="npt-isotropic moves the cell"):
        go(tmp_path, fixed, [npt])
    fixed.set_constraint(FixInternals(bonds=[[3.0, [0, 1]]]))
    with pytest.raises(ConfigError, match="cannot keep constraints of the kind FixInternals"):
        go(tmp_path, fixed)
    fixed.set_constraint(FixBondLength(0, 1))
    with pytest.raises(ConfigError, match="nve, nvt-bussi, nvt-langevin keep them"):
        go(tmp_path, fixed, [{**SHORT, "ensemble": "nvt-nose-hoover"}])


def test_degrees_of_freedom():
    atoms = crystal(1)
    assert degrees_of_freedom(atoms, "nve") == 9
    atoms.set_constraint(FixBondLength(0, 1))
    assert degrees_of_freedom(atoms, "nve") == 8
    assert degrees_of_freedom(atoms, "nvt-langevin") == 11
    atoms.set_constraint(FixAtoms([0, 1]))
    assert degrees_of_freedom(atoms, "nve") == 6


def test_velocities_have_the_temperature_and_no_momentum(tmp_path):
    go(tmp_path, stages=[{**SHORT, "temperature_K": 250}], seed=3)
    first = read(tmp_path / "trajectory.traj", 0)
    assert read_csv(tmp_path / "thermo.csv")["temperature_K"][0] == pytest.approx(250)
    np.testing.assert_allclose(first.get_momenta().sum(axis=0), 0, atol=1e-10)


def test_velocities_of_the_input_are_kept_without_their_drift(tmp_path):
    atoms = crystal()
    atoms.set_velocities(np.random.default_rng(0).normal(loc=(1, 0, 0), scale=0.01, size=(32, 3)))
    go(tmp_path, atoms)
    first = read(tmp_path / "trajectory.traj", 0)
    expected = atoms.get_velocities() - atoms.get_velocities().mean(axis=0)
    np.testing.assert_allclose(first.get_velocities(), expected, atol=1e-12)


def test_kept_velocities_are_told_and_copies_that_move_alike(tmp_path, caplog):
    """A temperature of nve is that of new velocities: with those of the input it says nothing."""
    caplog.set_level("INFO")
    atoms = crystal(1).repeat((2, 1, 1))
    atoms.set_momenta(np.random.default_rng(0).normal(size=(8, 3)))
    now = degrees_of_freedom(atoms, "nve")
    momenta = atoms.get_momenta() - atoms.get_momenta().mean(axis=0)
    atoms.set_momenta(momenta * np.sqrt(50 * units.kB * now / (momenta**2 / atoms.get_masses()[:, None]).sum()))
    stage = {"ensemble": "nve", "temperature_K": 600, "steps": 2}
    go(tmp_path / "one", atoms, [stage])
    assert "the velocities of the input are kept: 50 K" in caplog.text
    assert "move alike" not in caplog.text
    repeated = atoms.repeat((1, 2, 2))
    go(tmp_path / "four", atoms, [stage], Springs(repeated), repeat=(1, 2, 2))
    assert "the 4 copies of the repeated cell have the same velocities" in caplog.text


def test_seeds_make_independent_runs_and_the_same_seed_the_same(tmp_path):
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        go(tmp_path / name, seed=seed)
        texts.append((tmp_path / name / "thermo.csv").read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_supercells(tmp_path):
    assert len(supercell(bulk("Cu", cubic=True), (2, 1, 3))) == 24
    wide = supercell(bulk("Cu"), min_length_A=8.0)
    assert (1 / np.linalg.norm(wide.cell.reciprocal(), axis=1) >= 8.0 - 1e-9).all()
    slab = bulk("Cu", cubic=True)
    slab.pbc = [True, True, False]
    with pytest.raises(ConfigError, match="not periodic along c"):
        supercell(slab, (1, 1, 2))
    assert len(supercell(slab, min_length_A=5.0)) == 16
    fixed = bulk("Cu", cubic=True)
    fixed.set_constraint(FixAtoms([0]))
    assert len(supercell(fixed, (2, 1, 1)).constraints[0].index) == 2
    summary = go(tmp_path, bulk("Ar", cubic=True), calculator=IdealGas(), repeat=(2, 2, 2))
    assert summary["num_atoms"] == 32


def test_the_input_is_not_changed_and_results_are_complete(tmp_path):
    atoms = crystal()
    before = atoms.copy()
    summary = go(tmp_path, atoms, [{**SHORT, "ensemble": "npt-full", "steps": 60}], name="argon.cif")
    assert atoms == before
    assert atoms.calc is None
    assert not atoms.has("momenta")
    files = {path.name for path in tmp_path.iterdir()} - {".lock"}
    expected = "job.json checkpoint.npz thermo.csv trajectory.traj final.extxyz summary.json md.png md.svg"
    assert files == set(expected.split())
    assert summary["model"]["name"] == "Springs"
    assert list(summary["inputs"]) == ["argon.cif"]
    final = read(tmp_path / "final.extxyz")
    assert final.info["step"] == 60
    assert final.get_stress().shape == (6,)
    assert abs(final.get_potential_energy() - read_csv(tmp_path / "thermo.csv")["potential_energy_eV"][-1]) < 1e-6


def test_a_finished_run_is_not_run_again(tmp_path):
    one = go(tmp_path)
    log = (tmp_path / "thermo.csv").stat().st_mtime_ns
    assert go(tmp_path) == one
    assert (tmp_path / "thermo.csv").stat().st_mtime_ns == log
    with pytest.raises(ConfigError, match=r"stages\[0\].steps was 20 and is now 30"):
        go(tmp_path, stages=[{**SHORT, "steps": 30}])
    assert go(tmp_path, stages=[{**SHORT, "steps": 30}], restart=True)["steps"] == 30


class Faulty(Calculator):
    """Goes wrong in a chosen way after some steps."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, force, calls=30):
        super().__init__()
        self.force, self.left = force, calls

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.left -= 1
        forces = np.zeros((len(self.atoms), 3))
        if self.left < 0:
            forces += self.force(self.atoms)
        self.results = {"energy": 0.0, "forces": forces, "stress": np.zeros(6)}


def pull(atoms):
    """Atoms 0 and 1 fall onto each other."""
    forces = np.zeros((len(atoms), 3))
    way = atoms.get_distance(0, 1, vector=True, mic=True)
    forces[0], forces[1] = 0.5 * way, -0.5 * way
    return forces


@pytest.mark.parametrize(
    ("force", "words"),
    [
        (lambda atoms: np.full((len(atoms), 3), np.nan), r"is not a finite number any more"),
        (lambda atoms: 50 * np.sin(np.arange(3 * len(atoms))).reshape(-1, 3), r"beyond the bound of 3000 K"),
        (pull, r"atoms 0 \(Ar\) and 1 \(Ar\) are .* Å apart"),
    ],
)
def test_guards_stop_with_a_sentence_and_what_there_was(tmp_path, force, words):
    guards = Guards(max_temperature_K=1e9) if force is pull else None
    with pytest.raises(DynamicsError, match=words) as caught:
        go(tmp_path, stages=[{**SHORT, "ensemble": "nve", "steps": 3000}], calculator=Faulty(force), guards=guards)
    assert "failed.extxyz" in str(caught.value)
    assert (tmp_path / "failed.extxyz").exists()
    assert (tmp_path / "checkpoint.npz").exists()
    assert len(read_csv(tmp_path / "thermo.csv")["step"]) >= 5
    assert read(tmp_path / "trajectory.traj", -1).info["step"] > 0


@pytest.mark.parametrize(("temperature", "barostat", "told"), [(300, 1000, False), (20, 300, True), (20, 2200, False)])
def test_a_cell_that_moves_too_fast_for_the_time_step_is_told(caplog, temperature, barostat, told):
    settings = {"ensemble": "npt-full", "temperature_K": temperature, "barostat_fs": barostat, "timestep_fs": 4.0}
    make_stage(settings | {"steps": 10}, crystal())
    assert ("take a barostat_fs of 1100 or more" in caplog.text) == told


def test_a_collapsing_cell_stops(tmp_path):
    stage = {"ensemble": "npt-isotropic", "temperature_K": 300, "pressure_GPa": 50, "steps": 3000, "barostat_fs": 200}
    with pytest.raises(DynamicsError, match="the cell has collapsed: its volume is 0.[0-9]+ times that of the start"):
        go(tmp_path, stages=[stage], calculator=IdealGas(), guards=Guards(1e9, closest=0.0))


def test_formats_hold_the_same_frames(tmp_path):
    pytest.importorskip("netCDF4")
    from tribond.simulation.motion import read_motion

    found = {}
    for kind in ("traj", "extxyz", "nc"):
        stage = {**SHORT, "ensemble": "npt-full", "steps": 60}
        go(tmp_path / kind, stages=[stage], trajectory=kind, trajectory_interval_fs=10)
        found[kind] = read_motion([str(tmp_path / kind / f"trajectory.{kind}")])
    for kind, digits in (("extxyz", 1e-7), ("nc", 1e-5)):
        assert found[kind].interval_fs == pytest.approx(10.0)
        distances = [it.positions[:, 1] - it.positions[:, 0] for it in (found["traj"], found[kind])]
        lengths = [np.linalg.norm(it, axis=1) for it in distances]
        np.testing.assert_allclose(lengths[0], lengths[1], atol=digits)
        volumes = [np.linalg.det(it.cells) for it in (found["traj"], found[kind])]
        np.testing.assert_allclose(volumes[0], volumes[1], rtol=1e-6)
    assert found["nc"].velocities is None
    np.testing.assert_allclose(found["extxyz"].velocities, found["traj"].velocities, atol=1e-7)


def test_a_molecule_in_the_open(tmp_path):
    summary = go(tmp_path, molecule("CH4"), [{**SHORT, "steps": 40}], IdealGas())
    assert "mean_pressure_GPa" not in summary["stages"][0]
    assert Path(tmp_path / "md.png").stat().st_size > 10_000
