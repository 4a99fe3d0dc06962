"""The C++ sources compile where whole numbers have other names: on macOS int64_t is long long, and size_t is not its twin."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "native" / "src"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
HEADERS = "algorithm array atomic cerrno chrono cmath cstddef cstdint cstring exception functional limits list map memory mutex new set stdexcept stdint.h string thread utility vector".split()


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
@pytest.mark.parametrize("source", sorted(path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.cpp")))
def test_with_the_whole_numbers_of_macos(tmp_path, source):
    renamed = tmp_path / "macos.hpp"
    includes = "".join(f"#include <{header}>\n" for header in HEADERS)
    renamed.write_text(f"{includes}#define int64_t macos_int64_t\ntypedef long long macos_int64_t;\n", encoding="utf-8")
    command = [COMPILER, "-std=c++17", "-fsyntax-only", "-include", renamed, f"-I{SOURCES}"]
    command += [f"-I{SOURCES.parent / 'include'}", SOURCES / source]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_all_of_them_are_compiled():
    recipe = json.loads((SOURCES.parent / "build.json").read_text(encoding="utf-8"))
    listed = recipe["sources"] + recipe["sources_of_each_set"]
    assert sorted(listed) == sorted(path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.cpp"))
    assert recipe["flags_of"].keys() <= set(recipe["sources_of_each_set"])
