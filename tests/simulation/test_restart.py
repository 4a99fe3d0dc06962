"""A run that was killed at any moment goes on as if it had never stopped: the same log and trajectory, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.constraints import FixAtoms
from ase.io import read

from tests.simulation.potentials import Springs, crystal
from tribond.errors import DataError
from tribond.interrupt import Interrupted
from tribond.simulation.md import run_md
from tribond.simulation.stages import ENSEMBLES

STEPS = 600


def stages(ensemble):
    """A ramp, then another ensemble of the same kind of cell, so that the second stage starts from what the first left."""
    hot = {"temperature_K": "300:500"} if ensemble != "nve" else {"temperature_K": 300}
    first = {"ensemble": ensemble, "steps": STEPS, "thermostat_fs": 50, "barostat_fs": 300, "pressure_GPa": 0.1, **hot}
    allowed = {"nve": {"thermostat_fs", "barostat_fs", "pressure_GPa"}, "nvt-langevin": {"thermostat_fs"}}
    useless = allowed.get(ensemble, set()) | (set() if ensemble.startswith("npt") else {"barostat_fs", "pressure_GPa"})
    return [
        {key: value for key, value in first.items() if key not in useless},
        {"ensemble": "nvt-bussi", "temperature_K": 400, "steps": 20},
    ]


def run(folder, ensemble, trajectory="traj", **more):
    atoms = crystal()
    return run_md(
        atoms,
        Springs(atoms),
        folder,
        stages(ensemble),
        trajectory=trajectory,
        trajectory_interval_fs=20,
        checkpoint_interval_s=0.1,
        **more,
    )


def outcome(folder, trajectory="traj"):
    frames = read(
        folder / f"trajectory.{trajectory}", ":", **({} if trajectory != "nc" else {"format": "netcdftrajectory"})
    )
    numbers = [np.concatenate([frame.positions, frame.get_momenta(), frame.cell.array]) for frame in frames]
    texts = [(folder / name).read_bytes() for name in ("thermo.csv", "final.extxyz")]
    return np.array(numbers), texts


def assert_same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1] == other[1]


def kill_at_some_moment(folder: Path, ensemble: str, trajectory: str) -> None:
    """Run in a process of its own, and end it as the operating system does when memory runs out."""
    code = (
        "import tests.simulation.test_restart as t; from pathlib import Path;"
        f"t.run(Path({str(folder)!r}), {ensemble!r}, {trajectory!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    log = folder / "thermo.csv"
    rows = random.randrange(5, 90)  # of 125
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") > rows:
            break
        time.sleep(0.002)
    time.sleep(random.random() * 0.02)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("ensemble", "trajectory"),
    list(zip(ENSEMBLES, ["traj", "extxyz", "nc", "traj", "extxyz", "traj", "traj", "nc"], strict=True)),
)
def test_kill_9_changes_nothing(tmp_path, ensemble, trajectory):
    if trajectory == "nc":
        pytest.importorskip("netCDF4")
    kill_at_some_moment(tmp_path / "killed", ensemble, trajectory)
    assert not (tmp_path / "killed" / "summary.json").exists()
    run(tmp_path / "killed", ensemble, trajectory)
    run(tmp_path / "whole", ensemble, trajectory)
    assert_same(outcome(tmp_path / "killed", trajectory), outcome(tmp_path / "whole", trajectory))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_stop_between_steps(tmp_path, number):
    def interrupt(moment):
        if moment.step in {300, 605}:
            os.kill(os.getpid(), number)

    for _ in range(2):
        with pytest.raises(Interrupted) as caught:
            run(tmp_path / "stopped", "npt-full", on_step=interrupt)
        assert caught.value.signal == number
    run(tmp_path / "stopped", "npt-full")
    run(tmp_path / "whole", "npt-full")
    assert_same(outcome(tmp_path / "stopped"), outcome(tmp_path / "whole"))


@pytest.mark.parametrize("trajectory", ["traj", "extxyz", "nc"])
def test_what_was_written_after_the_checkpoint_is_cut_off(tmp_path, trajectory):
    """Also half a frame, and a table of frames that had to grow."""
    if trajectory == "nc":
        pytest.importorskip("netCDF4")

    class CrashError(Exception):
        pass

    def crash(moment):
        if moment.step == 550:
            raise CrashError

    with pytest.raises(CrashError):
        run(tmp_path / "crashed", "nvt-langevin", trajectory, on_step=crash)
    with (tmp_path / "crashed" / f"trajectory.{trajectory}").open("ab") as file:
        file.write(b"32\nhalf a fra")
    with (tmp_path / "crashed" / "thermo.csv").open("a") as file:
        file.write("1,2,")
    run(tmp_path / "crashed", "nvt-langevin", trajectory)
    run(tmp_path / "whole", "nvt-langevin", trajectory)
    assert_same(outcome(tmp_path / "crashed", trajectory), outcome(tmp_path / "whole", trajectory))


def test_constraints_are_kept_and_restored(tmp_path):
    atoms = crystal()
    atoms.set_constraint(FixAtoms([0, 5]))

    def stop(moment):
        if moment.step == 100:
            os.kill(os.getpid(), signal.SIGTERM)

    def go(folder, **more):
        plan = [
            {"ensemble": name, "temperature_K": 300, "steps": 80} for name in ("nvt-langevin", "nvt-nose-hoover", "nvt")
        ]
        return run_md(atoms, Springs(atoms), tmp_path / folder, plan, **more)

    with pytest.raises(Interrupted):
        go("stopped", on_step=stop)
    go("stopped")
    go("whole")
    assert_same(outcome(tmp_path / "stopped"), outcome(tmp_path / "whole"))
    final = read(tmp_path / "whole" / "final.extxyz")
    np.testing.assert_allclose(final.positions[[0, 5]], atoms.positions[[0, 5]], atol=1e-12)
    assert [type(it) for it in final.constraints] == [FixAtoms]
    assert np.abs(final.positions - atoms.positions)[1:5].min() > 1e-4


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path, "nve")
    (tmp_path / "summary.json").unlink()
    (tmp_path / "checkpoint.npz").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match=r"checkpoint\.npz is no checkpoint"):
        run(tmp_path, "nve")


def test_a_log_that_was_shortened_by_somebody_is_named(tmp_path):
    run(tmp_path, "nve")
    (tmp_path / "summary.json").unlink()
    (tmp_path / "thermo.csv").write_text("step\n")
    with pytest.raises(DataError, match=r"thermo\.csv is shorter"):
        run(tmp_path, "nve")
