"""The library under detectors of errors: spoilt files and graphs, several threads at once, domains that exchange."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.small_models import random_model, small_config
from tribond.checkpoints.native import save_model

NATIVE = Path(__file__).parents[2] / "native"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
@pytest.mark.parametrize("detectors", ["address,undefined", "thread"])
def test_no_detector_finds_anything(tmp_path, detectors):
    recipe = json.loads((NATIVE / "build.json").read_text(encoding="utf-8"))
    sources = [NATIVE / "tests" / "abuse_library.cpp"]
    sources += [NATIVE / "src" / source for source in recipe["sources"] + recipe["sources_of_each_set"]]
    flags = ["-std=c++17", "-O1", "-g", "-pthread", f"-fsanitize={detectors}", "-fno-sanitize-recover=all"]
    flags += ["-DTRIBOND_PLAIN_ALONE", f"-I{NATIVE / 'src'}", f"-I{NATIVE / 'include'}"]
    (tmp_path / "empty.cpp").write_text("int main() { return 0; }\n", encoding="utf-8")
    if (
        subprocess.run([COMPILER, *flags, tmp_path / "empty.cpp", "-o", tmp_path / "empty"], check=False).returncode
        != 0
    ):
        pytest.skip("the compiler has no such detectors")

    def compile_one(source: Path) -> Path:
        target = tmp_path / f"{source.parent.name}_{source.stem}.o"
        subprocess.run([COMPILER, *flags, "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    program = tmp_path / "abuse"
    subprocess.run([COMPILER, *flags, *objects, "-o", program], check=True)
    for preset in ("paper", "matgl_dgl", "m3gnet_pytorch"):
        save_model(tmp_path / "model.safetensors", random_model(small_config(preset)), {})
        command = [program, tmp_path / "model.safetensors", "7", "6000"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if "unexpected memory mapping" in ran.stderr:
            pytest.skip("the detector of races does not run on this system")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "evaluations at once" in ran.stdout
