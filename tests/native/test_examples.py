"""The examples in C, C++ and Fortran, compiled as their first lines say, give what Python gives."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import tribond
from tests.native import binding

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
C_COMPILER, COMPILER = shutil.which(os.environ.get("CC", "cc")), shutil.which(os.environ.get("CXX", "c++"))
FORTRAN = shutil.which(os.environ.get("FC", "gfortran"))
COMPILERS = {"c": C_COMPILER, "cpp": COMPILER, "fortran": FORTRAN}
SOURCES = {
    "c": [EXAMPLES / "c" / "silicon.c"],
    "cpp": [EXAMPLES / "cpp" / "silicon.cpp"],
    "fortran": [EXAMPLES / "fortran" / "tribond.f90", EXAMPLES / "fortran" / "silicon.f90"],
}
FLAGS = {
    "c": ["-std=c89", "-pedantic", "-Wall", "-Wextra", "-Werror"],
    "cpp": ["-std=c++11", "-Wall", "-Wextra", "-Werror"],
    "fortran": ["-std=f2018", "-Wall"],
}

pytestmark = pytest.mark.skipif(not binding.PATH.exists(), reason="tribond was installed without a C++ compiler")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """As a user makes it."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    subprocess.run(
        [sys.executable, "-m", "tribond.cli.main", "convert", "default", path], check=True, capture_output=True
    )
    return path


def check(program: Path, model: Path, **environment: str) -> None:
    surroundings = os.environ | environment
    ran = subprocess.run([program, model], capture_output=True, text=True, check=True, timeout=120, env=surroundings)
    places = [[0.01, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]
    scaled = np.array(places) / 4
    scaled[0, 0] = 0.01
    atoms = Atoms("Si8", scaled_positions=scaled, cell=[5.43] * 3, pbc=True)
    (expected,) = tribond.load(model, dtype="float64").predict(atoms)
    energy = float(re.search(r"energy (\S+) eV", ran.stdout)[1])
    forces = np.array([line.split()[1:4] for line in ran.stdout.splitlines() if line.startswith("force")], float)
    stress = np.array(re.search(r"stress (.*) eV", ran.stdout)[1].split(), float).reshape(3, 3)
    np.testing.assert_allclose(energy, expected.energy, rtol=0, atol=1e-9)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-9)
    np.testing.assert_allclose(stress, expected.stress, rtol=0, atol=1e-9)
    assert np.abs(forces).max() > 0.01
    missing = subprocess.run(
        [program, "missing.safetensors"], capture_output=True, text=True, check=False, env=surroundings
    )
    assert missing.returncode != 0
    assert "missing.safetensors: cannot be opened" in missing.stdout + missing.stderr


@pytest.mark.parametrize("language", SOURCES)
def test_an_example_gives_what_python_gives(language, model, tmp_path):
    if COMPILERS[language] is None:
        pytest.skip(f"there is no compiler for {language} here")
    folder = binding.PATH.parent
    program = tmp_path / "silicon"
    link = [f"-L{folder}", "-ltribond", f"-Wl,-rpath,{folder}"]
    command = [COMPILERS[language], *FLAGS[language], f"-I{ROOT / 'native' / 'include'}", *SOURCES[language], *link]
    built = subprocess.run([*command, "-o", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    check(program, model)


@pytest.mark.parametrize("language", [name for name in SOURCES if name != "fortran"])
def test_with_other_instructions(language, model, tmp_path):
    """Which the environment asks for; a word that means nothing is refused."""
    functions = binding.library()
    if functions.tribond_instructions() == b"plain":
        pytest.skip("this processor has no others")
    program = tmp_path / "silicon"
    folder = binding.PATH.parent
    link = [f"-L{folder}", "-ltribond", f"-Wl,-rpath,{folder}"]
    command = [COMPILERS[language], f"-I{ROOT / 'native' / 'include'}", *SOURCES[language], *link, "-o", program]
    subprocess.run(command, check=True, capture_output=True)
    check(program, model, TRIBOND_INSTRUCTIONS="plain")
    wrong = subprocess.run(
        [program, model], capture_output=True, text=True, check=False, env=os.environ | {"TRIBOND_INSTRUCTIONS": "mmx"}
    )
    assert "TRIBOND_INSTRUCTIONS=mmx" in wrong.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_cmake_installs_what_other_projects_find(model, tmp_path):
    prefix, build = tmp_path / "installed", tmp_path / "build"
    native = ["-S", ROOT / "native", "-B", build, f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DBUILD_TESTING=OFF"]
    subprocess.run(["cmake", *native], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build, "-j2"], check=True, capture_output=True)
    subprocess.run(["cmake", "--install", build], check=True, capture_output=True)
    project = ["-S", EXAMPLES / "c", "-B", tmp_path / "project", f"-DCMAKE_PREFIX_PATH={prefix}"]
    subprocess.run(["cmake", *project], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path / "project"], check=True, capture_output=True)
    for language in ("c", "cpp"):
        check(tmp_path / "project" / f"silicon_{language}", model)
    if shutil.which("pkg-config"):
        (package,) = prefix.rglob("tribond.pc")
        asked = ["pkg-config", "--cflags", "--libs", "tribond"]
        environment = os.environ | {"PKG_CONFIG_PATH": str(package.parent)}
        flags = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment).stdout.split()
        program = tmp_path / "by_pkg_config"
        subprocess.run([C_COMPILER, *SOURCES["c"], *flags, "-o", program], check=True)
        check(program, model, LD_LIBRARY_PATH=str(package.parent.parent))
