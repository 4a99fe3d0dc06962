"""Commands that are stopped, or started without a terminal, leave nothing behind and show no traceback."""

import os
import signal
import subprocess
import sys
import time

from ase.build import bulk
from ase.io import write

COMMAND = [sys.executable, "-m", "tribond.cli.main"]


def test_sigterm_leaves_no_hidden_files(tmp_path):
    crystal = bulk("NaCl", "rocksalt", a=5.3, cubic=True) * (4, 4, 4)
    crystal.rattle(0.1, seed=0)
    write(tmp_path / "x.extxyz", crystal)
    settings = ["--fmax", "1e-8", "--steps", "100000"]
    with subprocess.Popen(
        [*COMMAND, "relax", "x.extxyz", *settings], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as job:
        for _ in range(1200):
            if job.poll() is not None or any(tmp_path.glob(".x_relaxation*")):
                break
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
        said = job.communicate(timeout=120)[1]
    assert job.returncode == 128 + signal.SIGTERM
    assert "the steps so far are in x_relaxation.traj" in said
    assert {path.name for path in tmp_path.iterdir()} == {"x.extxyz", "x_relaxation.traj"}


def test_closed_streams(tmp_path):
    write(tmp_path / "x.extxyz", bulk("Si"))
    line = f'"{sys.executable}" -m tribond.cli.main predict x.extxyz -o x.json'
    done = subprocess.run(f"{line} >&- 2>&- <&-", shell=True, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert b"energy_eV" in (tmp_path / "x.json").read_bytes()
    done = subprocess.run(f"{line} >&-", shell=True, cwd=tmp_path, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_control_characters_do_not_reach_the_terminal(tribond):
    output = tribond("predict", "a\x1b]0;mine\x07.cif").output
    assert "\x1b]" not in output
    assert r"a\x1b]0;mine\x07.cif: no such file" in output


def test_no_memory_and_mistakes_of_ours_are_one_line(tribond, monkeypatch, tmp_path):
    write(tmp_path / "x.extxyz", bulk("Si"))
    for error, words in (
        (MemoryError(), "not enough memory"),
        (KeyError("q"), "unexpected KeyError: 'q' (please report"),
    ):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr("tribond.checkpoints.registry.load_network", fail)
        result = tribond("predict", tmp_path / "x.extxyz")
        assert (result.exit_code, words in result.output) == (1, True)
        assert "Traceback" not in result.output


def test_one_bad_structure(tribond, tmp_path):
    from ase.calculators.emt import EMT

    frames = []
    for scale in (1.0, 1.02, 1.04):
        atoms = bulk("Cu", a=3.6 * scale, cubic=True)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    write(tmp_path / "x.extxyz", frames)
    lines = (tmp_path / "x.extxyz").read_text().splitlines(keepends=True)
    lines[8] = lines[8].replace("Cu", "Wat1")
    (tmp_path / "x.extxyz").write_text("".join(lines))
    result = tribond("predict", tmp_path / "x.extxyz", "-o", tmp_path / "x.json")
    assert result.exit_code == 1
    assert "x.extxyz@1: the label 'Wat1' of atom 0" in result.output
    assert (tmp_path / "x.json").read_text().count("energy_eV_per_atom") == 2
    result = tribond("relax", tmp_path / "x.extxyz", "--index", ":", "--steps", "1", "--fix-cell")
    assert result.exit_code == 1
    assert (tmp_path / "x_2_relaxed.extxyz").is_file()
    result = tribond("evaluate", "default", tmp_path / "x.extxyz", "-o", tmp_path / "e")
    assert result.exit_code == 0
    assert "structure 1 cannot be used" in result.output
    assert '"cannot be used": 1' in (tmp_path / "e" / "summary.json").read_text()


def test_a_pipe_among_training_data_is_not_waited_for(tmp_path):
    import pytest

    from tribond.data.array_cache import ArrayCache
    from tribond.data.read_table import read_table
    from tribond.errors import DataError

    os.mkfifo(tmp_path / "x.extxyz")
    with pytest.raises(DataError, match="pipe or a device"):
        read_table(str(tmp_path / "x.extxyz"), cache=ArrayCache(tmp_path / "cache"))
