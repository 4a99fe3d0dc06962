"""Compiles the C++ kernels into the package when it is installed or a wheel is built.

One library for every instruction set that the processor family has; which of them a machine can run is found out when
tribond is used. Without a C++ compiler the package is complete all the same: PyTorch then does the work, more slowly.

Environment: CXX names the compiler (default c++). TRIBOND_COMPILE=no leaves the libraries out; TRIBOND_COMPILE=must
makes it an error if they cannot be built, as for wheels that are given to others.
"""

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("src/tribond/kernels")
SOURCES = ("engine.cpp", "training.cpp", "threads.cpp", "bond_sums.cpp")  # the longest first
# Without -ffast-math: tribond's exp() leans on exact rounding, and NaN must stay NaN.
FLAGS = "-std=c++17 -O3 -fPIC -pthread -fvisibility=hidden -fvisibility-inlines-hidden".split()
INSTRUCTION_SETS: dict[str, dict[str, list[str]]] = {
    "x86_64": {
        "avx512": "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512".split(),
        "avx2": ["-mavx2", "-mfma"],
        "plain": [],
    },
    "other": {"plain": []},
}


class CompileKernels(BuildHookInterface):
    """Hatchling calls `initialize` before it collects the files of a wheel, or makes an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build all libraries, or none; never a part of them."""
        folder = Path(self.root) / KERNELS / "lib"
        for old in folder.glob("tribond_*"):
            old.unlink()
        wish = os.environ.get("TRIBOND_COMPILE", "yes")
        if wish not in {"yes", "no", "must"}:
            msg = f"TRIBOND_COMPILE={wish}: use yes, no or must"
            raise ValueError(msg)
        if wish == "no":
            return
        if problem := self._compile(folder):
            if wish == "must":
                raise RuntimeError(problem)
            self.app.display_warning(f"tribond without compiled kernels, slower on CPUs: {problem}")
            return
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        build_data["artifacts"].append(f"{KERNELS}/lib/*")

    def _compile(self, folder: Path) -> str:
        """Empty, or what went wrong."""
        if sys.platform == "win32":
            return "there is no compiled path for Windows yet"
        machine = {"AMD64": "x86_64"}.get(platform.machine(), platform.machine())
        sets = INSTRUCTION_SETS.get(machine, INSTRUCTION_SETS["other"])
        suffix = ".dylib" if sys.platform == "darwin" else ".so"
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = {name: [Path(scratch) / f"{name}_{source}.o" for source in SOURCES] for name in sets}
            jobs = [
                pool.submit(self._run, [*FLAGS, *flags, "-c", self._source(source), "-o", str(target)])
                for name, flags in sets.items()
                for source, target in zip(SOURCES, objects[name], strict=True)
            ]
            if problems := [problem for job in jobs if (problem := job.result())]:
                return problems[0]
            libraries = [Path(scratch) / f"tribond_{name}{suffix}" for name in sets]
            # The C++ library inside, so that it does not matter which one the user's system has.
            static = ["-static-libstdc++", "-static-libgcc"] if sys.platform == "linux" else []
            for library, name in zip(libraries, sets, strict=True):
                link = ["-shared", "-pthread", *static, *map(str, objects[name]), "-o", str(library)]
                if problem := self._run(link):
                    return problem
            folder.mkdir(exist_ok=True)
            for library in libraries:
                (folder / library.name).write_bytes(library.read_bytes())
        return ""

    def _source(self, name: str) -> str:
        return str(Path(self.root) / KERNELS / "cpp" / name)

    def _run(self, arguments: list[str]) -> str:
        """Call the compiler; empty, or what went wrong."""
        command = [*shlex.split(os.environ.get("CXX", "c++")), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
        except OSError as error:
            return f"no C++ compiler ({error}); install g++ or clang++, or name one with CXX"
        return "" if done.returncode == 0 else f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}"
