"""Several processes train as one would: same losses, same weights within rounding, and none waits for a dead one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io import write

from tests.training.conftest import labelled
from tests.training.test_resume import assert_same, outcome
from tribond.errors import ConfigError
from tribond.training import run
from tribond.training.devices import launch_of

COMMAND = [sys.executable, "-m", "tribond", "train", "train.yaml"]
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nproc-per-node",
    "2",
    "-m",
    "tribond",
    "train",
    "train.yaml",
]


@pytest.fixture(scope="module")
def save_data(alloys):
    """Batches of one structure, so that a process has no part; of structures that differ in labels, size and number."""

    def save(folder):
        large = bulk("Cu", cubic=True).repeat((2, 2, 1))
        large.rattle(0.1, seed=5)
        some = [*alloys(7), labelled(large), *alloys(3, seed=1, labels=("energy",)), *alloys(2, seed=2, size=1)]
        write(folder / "alloys.xyz", [*some, *alloys(2, seed=3, labels=("forces",))], format="extxyz")

    return save


@pytest.fixture(scope="module")
def alone(tmp_path_factory, make_training, save_data):
    folder = tmp_path_factory.mktemp("alone")
    save_data(folder)
    run.train(make_training(steps=10, devices=1), folder, progress=False)
    return outcome(folder / "out")


def environment(**more):
    """Without what a training in this process, or a launcher around it, has left."""
    foreign = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_", "TORCHELASTIC_", "MASTER_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return clean | {"OMP_NUM_THREADS": "1"} | more


def start(folder, config, command=COMMAND, **more):
    (folder / "train.yaml").write_text(config.model_dump_json())
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(**more), start_new_session=True, **output)


def finished(process):
    """Its status and what it said; none of its processes may be left."""
    try:
        text, _ = process.communicate(timeout=400)  # on a busy machine
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while members(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert members(process.pid) == []
    return process.returncode, text


def members(group):
    """Processes of a group that are still running."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it has just ended
        if int(of_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_as_alone(output, alone):
    """Same losses and errors, same weights but for rounding."""
    tensors, numbers, rows = outcome(output)
    assert numbers == alone[1]
    assert [row["step"] for row in rows] == [row["step"] for row in alone[2]]
    for row, wanted in zip(rows, alone[2], strict=True):
        assert {name for name, value in row.items() if value} == {name for name, value in wanted.items() if value}
        for name, value in row.items():
            if value:
                assert float(value) == pytest.approx(float(wanted[name]), rel=1e-6), (row["step"], name)
    for name, value in tensors.items():
        scale = float(alone[0][name].abs().max())
        np.testing.assert_allclose(value, alone[0][name], rtol=1e-5, atol=1e-5 * scale, err_msg=name)


@pytest.fixture(scope="module")
def together(tmp_path_factory, make_training, save_data):
    """Two processes that Lightning starts."""
    folder = tmp_path_factory.mktemp("together")
    save_data(folder)
    status, text = finished(start(folder, make_training(steps=10, devices=2)))
    assert status == 0, text
    return folder / "out", text


def test_two_processes_train_as_one(together, alone):
    assert_as_alone(together[0], alone)


def test_one_speaks(together):
    _, text = together
    assert text.count("step 3 of 10: validation loss") == 1
    assert text.count("structures to train") == 1
    for word in ("Warning", "warning", "rank", "gloo"):
        assert word not in text


@pytest.fixture
def slow_training(tmp_path, make_training, save_data):
    """Long enough to be interrupted; and the command that starts it."""
    save_data(tmp_path)
    return make_training(steps=400, devices=2, validate_every=50, checkpoint_every_minutes=0.002)


def running(process, folder):
    """Its processes, once there is a checkpoint: the first one, and those that it has started."""
    last = folder / "out" / "checkpoints" / "last.ckpt"
    while not last.is_file():
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()
    time.sleep(0.3)
    others = [number for number in members(process.pid) if number != process.pid]
    assert process.poll() is None
    return process.pid, others


def steps_done(folder):
    return torch.load(folder / "out" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["first", "second"])
def test_kill_9_of_one_ends_all_and_loses_nothing(slow_training, tmp_path, victim):
    process = start(tmp_path, slow_training)
    first, others = running(process, tmp_path)
    os.kill(first if victim == "first" else others[0], signal.SIGKILL)
    status, text = finished(process)
    assert status == (-signal.SIGKILL if victim == "first" else 1), text
    assert victim == "first" or "another process of this training has ended" in text
    assert steps_done(tmp_path) < 400
    status, text = finished(start(tmp_path, slow_training))
    assert status == 0, text
    whole = slow_training.model_copy(update={"output": "whole", "checkpoint_every_minutes": 10.0})
    status, text = finished(start(tmp_path, whole))
    assert status == 0, text
    assert_same(outcome(tmp_path / "out"), outcome(tmp_path / "whole"))


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
@pytest.mark.slow
def test_a_signal_stops_all(slow_training, tmp_path, number, to_all):
    """Ctrl-C reaches all processes of a terminal, `kill` one."""
    process = start(tmp_path, slow_training)
    running(process, tmp_path)
    (os.killpg if to_all else os.kill)(process.pid, number)
    status, text = finished(process)
    assert status == 128 + number, text
    assert text.count("stopping after this step") == text.count("interrupted; go on with") == 1
    done = steps_done(tmp_path)
    assert 0 < done < 400
    # Alone, to the same result within rounding: how many share a step is no part of the training.
    run.train(slow_training.model_copy(update={"devices": 1}), tmp_path, progress=False)
    assert steps_done(tmp_path) == 400


@pytest.mark.slow
def test_torchrun(tmp_path, make_training, save_data, alone):
    save_data(tmp_path)
    status, text = finished(start(tmp_path, make_training(steps=10), TORCHRUN))
    assert status == 0, text
    assert_as_alone(tmp_path / "out", alone)


@pytest.mark.slow
def test_srun(tmp_path, make_training, save_data, alone):
    """With the environment variables of Slurm, whose `srun` is not here: two tasks on one machine."""
    save_data(tmp_path)
    tasks = []
    for rank in range(2):
        slurm = {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2"}
        slurm |= {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1"}
        slurm |= {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        tasks.append(start(tmp_path, make_training(steps=10), **slurm))
    for task in tasks:
        status, text = finished(task)
        assert status == 0, text
    assert_as_alone(tmp_path / "out", alone)


def test_who_has_started_what(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    assert (launch_of(3, 1).devices, launch_of(3, 1).starter) == (3, "tribond")
    with pytest.raises(ConfigError, match="nodes: 2 needs torchrun or srun"):
        launch_of(1, 2)
    monkeypatch.setenv("SLURM_NTASKS", "8")  # a shell in a job, not a task of srun
    assert launch_of(1, 1).starter == "tribond"
    for name, value in {"SLURM_STEP_ID": "0", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4"}.items():
        monkeypatch.setenv(name, value)
    launch = launch_of(1, 1)
    assert (launch.devices, launch.nodes, launch.starter) == (4, 2, "srun")
