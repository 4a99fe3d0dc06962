"""Compiles the C++ code in native/ into the package when it is installed or a wheel is built.

One library, libtribond, with code for every instruction set that the processor family has; which of them a machine can run
is found out when tribond is used. Beside it goes its header, tribond.h, for programs in other languages. Without a C++
compiler the package is complete all the same: PyTorch then does the work, more slowly.

Environment: CXX names the compiler (default c++). TRIBOND_COMPILE=no leaves the libraries out; TRIBOND_COMPILE=must
makes it an error if they cannot be built, as for wheels that are given to others.
"""

import json
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

NATIVE = Path("native")  # the sources, and in build.json what is compiled and how; native/README.md says why
PAIR_STYLE = Path("interfaces/lammps")  # `tribond lammps build` compiles it on the user's machine
LIBRARIES = Path("src/tribond/lib")  # where compiled.py finds the libraries


class CompileKernels(BuildHookInterface):
    """Hatchling calls `initialize` before it collects the files of a wheel, or makes an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the library, or none; never a part of it."""
        if version == "standard":  # not "editable", which finds it in the repository
            build_data["force_include"][str(PAIR_STYLE)] = "tribond/interfaces/lammps"
        wish = os.environ.get("TRIBOND_COMPILE", "yes")
        if wish not in {"yes", "no", "must"}:
            msg = f"TRIBOND_COMPILE={wish}: use yes, no or must"
            raise ValueError(msg)
        problem = "" if wish == "no" else self._library()
        if problem and wish == "must":
            raise RuntimeError(problem)
        if problem or wish == "no":
            for old in self._folder.glob("*tribond*"):
                old.unlink()
            if problem:
                self.app.display_warning(f"tribond without compiled kernels, slower on CPUs: {problem}")
            return
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        build_data["artifacts"].append(f"{LIBRARIES}/*")

    @property
    def _folder(self) -> Path:
        return Path(self.root) / LIBRARIES

    @property
    def _native(self) -> Path:
        return Path(self.root) / NATIVE

    def _library(self) -> str:
        """Build it if it is older than its sources; empty, or what went wrong."""
        if sys.platform == "win32":
            return "there is no compiled path for Windows yet"
        machine = {"AMD64": "x86_64"}.get(platform.machine(), platform.machine())
        recipe = json.loads((self._native / "build.json").read_text(encoding="utf-8"))
        sets = recipe["instruction_sets"].get(machine, recipe["instruction_sets"]["other"])
        library = self._folder / ("libtribond.dylib" if sys.platform == "darwin" else "libtribond.so")
        header = self._native / "include" / "tribond.h"
        sources = [Path(__file__), self._native / "build.json", header, *(self._native / "src").glob("*/*")]
        newest = max(source.stat().st_mtime for source in sources)
        if library.exists() and library.stat().st_mtime > newest:
            return ""
        try:
            with tempfile.TemporaryDirectory() as scratch:
                if problem := self._compile(recipe, sets, Path(scratch)):
                    return problem
                self._folder.mkdir(exist_ok=True)
                (self._folder / header.name).write_bytes(header.read_bytes())
                # By renaming: a process that loads it meanwhile has the old one or the new one, whole.
                beside = library.with_name(f".{library.name}")
                beside.write_bytes((Path(scratch) / "library").read_bytes())
                beside.replace(library)
                for old in self._folder.glob("tribond_*"):  # one for each instruction set, of earlier versions
                    old.unlink()
        except OSError as error:
            return f"{error}"
        return ""

    def _compile(self, recipe: dict[str, Any], sets: dict[str, list[str]], scratch: Path) -> str:
        """`library` in `scratch`; returns what went wrong, or nothing."""
        units = [(source, []) for source in recipe["sources"]]
        for name, flags in sets.items():
            units += [(source, [f"-DINSTRUCTION_SET={name}", *flags]) for source in recipe["sources_of_each_set"]]
        objects = [scratch / f"{number}.o" for number in range(len(units))]
        includes = [f"-I{self._native / 'src'}", f"-I{self._native / 'include'}"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(
                    self._run,
                    [
                        *(*recipe["flags"], *flags, *recipe["flags_of"].get(source, []), *includes),
                        *("-c", str(self._native / "src" / source), "-o", str(target)),
                    ],
                )
                # The longest first, those of the last instruction sets.
                for (source, flags), target in reversed(list(zip(units, objects, strict=True)))
            ]
            if problems := [problem for job in jobs if (problem := job.result())]:
                return problems[0]
        # In this order (native/README.md says why).
        link = ["-shared", "-pthread", *map(str, objects), "-o", str(scratch / "library")]
        inside = recipe["link_inside"].get(sys.platform, [])
        return "" if not self._run([*link, *inside]) else self._run(link)

    def _run(self, arguments: list[str]) -> str:
        """Call the compiler; empty, or what went wrong."""
        command = [*shlex.split(os.environ.get("CXX", "c++")), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
        except OSError as error:
            return f"no C++ compiler ({error}); install g++ or clang++, or name one with CXX"
        return "" if done.returncode == 0 else f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}"
