"""Dynamics with an ensemble: the spread in the log, a bound on it, and that a killed run goes on bit for bit."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

import tribond
from tests.small_models import random_model, small_config
from tribond.errors import ConfigError
from tribond.models.ensemble import Ensemble
from tribond.models.potential import Potential
from tribond.results.tables import read_csv
from tribond.simulation.guards import Guards
from tribond.simulation.md import run_md
from tribond.simulation.spread import SpreadError

OF_THE_START = {"virial": np.eye(3), "REF_energy": -1.0, "MACE_energy": -1.0, "force": 1.0, "REF_forces": 1.0}
STAGE = {"ensemble": "nvt-langevin", "temperature_K": 600, "steps": 40, "timestep_fs": 1.0}


@pytest.fixture(scope="module")
def ensemble():
    members = []
    for seed in range(3):
        model = random_model(small_config(num_blocks=1), seed)
        model.reference_energy.set(scale=[2.0] * len(model.config.elements))  # forces that the time step can follow
        members.append(Potential(model))
    return Ensemble(members)


def go(folder, ensemble, bound=None, on_spread="stop", **more):
    guards = Guards(1e6, closest=0.0, max_force_spread_eV_per_A=bound, on_spread=on_spread)
    settings = {"log_interval_fs": 5, "trajectory_interval_fs": 5, "seed": 1} | more
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=3)
    for name, value in OF_THE_START.items():
        if "force" in name:
            atoms.arrays[name] = np.full((len(atoms), 3), value)
        else:
            atoms.info[name] = value
    return run_md(atoms, tribond.Calculator(ensemble), folder, [STAGE], guards=guards, **settings)


@pytest.fixture(scope="module")
def bound(ensemble, tmp_path_factory):
    """One that is passed now and then, but not by the start."""
    folder = tmp_path_factory.mktemp("free")
    go(folder, ensemble)
    spreads = read_csv(folder / "thermo.csv")["max_force_spread_eV_per_A"]
    assert spreads.max() > spreads[0]
    return float((spreads[0] + spreads.max()) / 2)


def test_the_log_has_the_spread_of_every_row(ensemble, tmp_path):
    summary = go(tmp_path, ensemble)
    log = read_csv(tmp_path / "thermo.csv")
    frames = read(tmp_path / "trajectory.traj", ":")
    predictions = ensemble.predict(frames)
    expected = [it.spread.max_force_spread for it in predictions]
    np.testing.assert_allclose(log["max_force_spread_eV_per_A"], expected, rtol=1e-9)
    np.testing.assert_allclose(log["energy_std_eV_per_atom"], [it.spread.energy_std_per_atom for it in predictions])
    assert "steps_beyond_max_force_spread" not in summary


def test_beyond_the_bound_it_stops_and_leaves_the_frame(ensemble, bound, tmp_path):
    with pytest.raises(SpreadError, match="disagree about the force on atom"):
        go(tmp_path, ensemble, bound)
    frame = read(tmp_path / "failed.extxyz")
    (found,) = ensemble.predict(frame)
    assert found.spread.max_force_spread > bound
    assert frame.info["max_force_spread_eV_per_A"] == pytest.approx(found.spread.max_force_spread, rel=1e-5)
    assert frame.calc is None  # nothing that would pass for a label
    assert not OF_THE_START.keys() & {*frame.info, *frame.arrays}


def test_or_it_saves_frames_and_goes_on_to_the_same_trajectory(ensemble, bound, tmp_path):
    go(tmp_path / "free", ensemble)
    summary = go(tmp_path / "watched", ensemble, bound, "save")
    assert (tmp_path / "free" / "thermo.csv").read_bytes() == (tmp_path / "watched" / "thermo.csv").read_bytes()
    frames = read(tmp_path / "watched" / "uncertain.extxyz", ":")
    assert len(frames) == summary["frames_in_uncertain_extxyz"] < summary["steps_beyond_max_force_spread"]
    assert all(frame.info["max_force_spread_eV_per_A"] > bound for frame in frames)
    for frame in [*frames, read(tmp_path / "watched" / "final.extxyz")]:
        assert not OF_THE_START.keys() & {*frame.info, *frame.arrays}
    times = [frame.info["time_fs"] for frame in frames]
    assert np.diff(times).min() >= 5


def test_a_run_that_was_interrupted_goes_on_bit_for_bit(ensemble, bound, tmp_path):
    names = ("thermo.csv", "uncertain.extxyz", "final.extxyz", "trajectory.extxyz")
    whole = go(tmp_path / "whole", ensemble, bound, "save", trajectory="extxyz")

    seen = []

    def crash(moment):
        seen.append(moment.step)
        if len(seen) in (5, 9):
            raise InterruptedError

    for _ in range(2):
        with pytest.raises(InterruptedError):
            go(
                tmp_path / "stopped",
                ensemble,
                bound,
                "save",
                trajectory="extxyz",
                checkpoint_interval_s=0.0 if len(seen) < 4 else 1e9,  # the second time frames come after the checkpoint
                on_step=crash,
            )
    again = go(tmp_path / "stopped", ensemble, bound, "save", trajectory="extxyz")
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes(), name
    spread = [name for name in whole if "spread" in name or "uncertain" in name]
    assert {name: whole[name] for name in spread} == {name: again[name] for name in spread}


def test_a_bound_needs_an_ensemble(potential, tmp_path):
    with pytest.raises(ConfigError, match="is for ensembles; this is one model"):
        go(tmp_path, potential, 1.0)
    with pytest.raises(ConfigError, match="on_spread must be one of stop, save, not 'ignore'"):
        Guards(1e3, max_force_spread_eV_per_A=1.0, on_spread="ignore")
    with pytest.raises(ConfigError, match="must be larger than 0"):
        Guards(1e3, max_force_spread_eV_per_A=float("nan"))
