"""One library holds the code for several instruction sets: none of it may run where it must not."""

import platform
import re
import shutil
import subprocess

import pytest

from tests.native import binding

pytestmark = [
    pytest.mark.skipif(not binding.PATH.exists(), reason="tribond was installed without a C++ compiler"),
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="has one instruction set"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump"),
]


def test_wide_registers_are_used_only_by_code_that_is_chosen_for_them():
    """Of what several objects have, templates of the standard library, the linker must take the one of plain code."""
    command = ["objdump", "-d", "--no-show-raw-insn", binding.PATH]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    function, wrong, of_sets = "", set(), set()
    for line in listing.splitlines():
        if line.endswith(">:"):
            function = line
        elif found := re.search("%[yz]mm", line):
            instruction_set = next((name for name in ("avx512", "avx2") if name in function), "none")
            of_sets.add(instruction_set)
            if instruction_set == "none" or (instruction_set == "avx2" and found[0] == "%zmm"):
                wrong.add(function)
    assert not wrong
    assert of_sets == {"avx512", "avx2"}
