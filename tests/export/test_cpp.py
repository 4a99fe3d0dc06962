"""The C++ example builds, and gives what Python gives."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    build = tmp_path_factory.mktemp("build")
    prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
    subprocess.run(["cmake", "-S", EXAMPLE, "-B", build, prefix, "-DCMAKE_BUILD_TYPE=Release"], check=True)
    subprocess.run(["cmake", "--build", build], check=True)
    return build / "evaluate"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_program_without_python_gives_the_same(program, make_package, dtype):
    potential, path = make_package("paper", dtype)
    done = subprocess.run([program, path], capture_output=True, text=True, check=True)
    assert f"model paper, {dtype}" in done.stdout
    energy = float(re.search(r"energy (\S+) eV", done.stdout)[1])
    virial = np.array(re.search(r"virial (.*) eV", done.stdout)[1].split(), dtype=float).reshape(3, 3)
    rows = np.array([line.split() for line in done.stdout.splitlines()[-8:]], dtype=float)
    atoms = Atoms("Si8", positions=rows[:, :3], cell=[5.43] * 3, pbc=True)
    expected = potential.predict(atoms)[0]
    close = {"float32": 1e-5, "float64": 1e-9}[dtype]  # 12 decimals are printed
    assert energy == pytest.approx(expected.energy, abs=close)
    np.testing.assert_allclose(rows[:, 3:], expected.forces, rtol=0, atol=close)
    np.testing.assert_allclose(virial / atoms.get_volume(), expected.stress, rtol=0, atol=close)
    assert np.abs(expected.forces).max() > 1e-2


def test_a_missing_file_is_an_error_in_words(program, tmp_path):
    done = subprocess.run([program, tmp_path / "none.pt2"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
