"""The C++ sources compile where whole numbers have other names: on macOS int64_t is long long, and size_t is not its twin."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "tribond" / "kernels" / "cpp"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
HEADERS = "algorithm atomic cmath cstddef cstdint cstring functional limits memory mutex thread vector".split()


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
@pytest.mark.parametrize("source", sorted(path.name for path in SOURCES.glob("*.cpp")))
def test_with_the_whole_numbers_of_macos(tmp_path, source):
    renamed = tmp_path / "macos.hpp"
    includes = "".join(f"#include <{header}>\n" for header in HEADERS)
    renamed.write_text(f"{includes}#define int64_t macos_int64_t\ntypedef long long macos_int64_t;\n", encoding="utf-8")
    command = [COMPILER, "-std=c++17", "-fsyntax-only", "-include", renamed, SOURCES / source]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
