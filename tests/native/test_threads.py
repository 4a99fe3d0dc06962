"""The threads of the compiled code, put under stress in a program of their own; with a detector of races where there is one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "native" / "src"
STRESS = SOURCES.parent / "tests" / "stress_threads.cpp"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
@pytest.mark.parametrize("extra", [[], ["-fsanitize=thread"]], ids=["plain", "race detector"])
def test_every_piece_of_work_is_done_once(tmp_path, extra):
    program = tmp_path / "stress"
    command = [
        COMPILER,
        "-std=c++17",
        "-O1",
        "-g",
        "-pthread",
        *extra,
        f"-I{SOURCES}",
        STRESS,
        SOURCES / "common" / "threads.cpp",
    ]
    built = subprocess.run([*command, "-o", program], capture_output=True, text=True, check=False)
    if extra and built.returncode != 0:
        pytest.skip("the compiler has no detector of races")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program, "7", "1500"], capture_output=True, text=True, check=False, timeout=120)
    if extra and "unexpected memory mapping" in ran.stderr:
        pytest.skip("the detector of races does not run on this system")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rounds, exceptions = map(int, re.findall(r"\d+", ran.stdout))
    assert rounds > 50
    assert exceptions > 0
