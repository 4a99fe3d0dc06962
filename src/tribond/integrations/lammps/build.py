"""Compiles the plugin with `pair_style tribond`."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from platformdirs import user_data_path

from tribond import compiled
from tribond.integrations.lammps.find import Lammps, LammpsError, is_macos

PLUGIN = "tribondplugin.so"  # LAMMPS_PLUGIN_PATH looks for names that end so, on macOS, too
SOURCES = (
    "pair_tribond.cpp",
    "pair_tribond_commands.cpp",
    "pair_tribond_exchange.cpp",
    "pair_tribond_graph.cpp",
    "tribondplugin.cpp",
)
PACKAGE = Path(compiled.__file__).parent


def default_folder() -> Path:
    """Where the plugin goes, and is looked for, if nobody says otherwise."""
    return user_data_path("tribond") / "lammps"


def sources() -> Path:
    """The folder with the C++ code of the pair style: in the repository, or as it was installed.

    Raises:
        LammpsError: if it is missing.
    """
    for folder in (PACKAGE.parents[1] / "interfaces" / "lammps", PACKAGE / "interfaces" / "lammps"):
        if (folder / SOURCES[0]).exists():
            return folder
    msg = f"{PACKAGE / 'interfaces' / 'lammps'} is missing: install tribond anew"
    raise LammpsError(msg)


def library() -> Path:
    """Tribond's C library, with its header beside it.

    Raises:
        LammpsError: if tribond was installed without a C++ compiler.
    """
    path = compiled.FOLDER / ("libtribond.dylib" if is_macos() else "libtribond.so")
    if not path.exists() or not (path.parent / "tribond.h").exists():
        msg = f"{path} is not there: tribond was installed without a C++ compiler. Install g++ or clang++, then tribond anew"
        raise LammpsError(msg)
    return path


def build_plugin(lammps: Lammps, folder: Path) -> Path:
    """Compile the plugin and put it into a folder, together with tribond's library; the two may be moved together.

    Args:
        lammps: what to compile it for.
        folder: made if it is missing.

    Returns:
        The file that `plugin load` takes.

    Raises:
        LammpsError: with what the compiler said.
    """
    engine, code = library(), sources()
    folder.mkdir(parents=True, exist_ok=True)
    # By renaming: a LAMMPS that runs meanwhile keeps what it has loaded.
    beside = folder / f".{engine.name}"
    shutil.copy2(engine, beside)
    beside.replace(folder / engine.name)
    plugin, unfinished = folder / PLUGIN, folder / f".{PLUGIN}"
    compiler = os.environ.get("CXX") or lammps.compiler or "c++"
    here = "@loader_path" if is_macos() else "$ORIGIN"
    command = [
        *shlex.split(compiler),
        *("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unused-parameter"),
        *lammps.flags,
        f"-I{engine.parent}",
        *((f'-DTRIBOND_LAMMPS_VERSION="{lammps.version}"',) if lammps.version else ()),
        *(str(code / name) for name in SOURCES),
        *(f"-L{folder}", "-ltribond", f"-Wl,-rpath,{here}"),
        *(("-undefined", "dynamic_lookup") if is_macos() else ()),  # LAMMPS' own functions are there when it is loaded
        *("-o", str(unfinished)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's compiler
    except OSError as error:
        msg = f"no C++ compiler ({error}); install g++ or clang++, or name one with CXX"
        raise LammpsError(msg) from error
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        msg = f"the plugin could not be compiled:\n{shlex.join(command)}\n{done.stderr[-3000:]}"
        raise LammpsError(msg)
    unfinished.replace(plugin)
    return plugin
