"""An environment for every peer, from its released packages, in a folder that git ignores."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.speed.codes import CODES

TAIL = 5  # lines of pip's complaint that are shown
OLDEST, NEWEST = (3, 11), (3, 11)  # the versions of Python that the pinned releases of all three peers have wheels for


class EnvironmentFailedError(RuntimeError):
    """An environment could not be made."""


def python_of(code: str, folder: Path) -> Path:
    """The interpreter that has a code installed; makes its environment if there is none, or if its pins have changed.

    Args:
        code: name in `codes.CODES`.
        folder: where the environments are.

    Raises:
        EnvironmentFailedError: with the end of what pip said.
    """
    environment = CODES[code].environment
    if environment is None:
        return Path(sys.executable)
    pins, place = CODES[code].pins, folder / environment
    python, stamp = place / "bin" / "python", place / ".ready"
    content = hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == content and python.exists():
        return python
    print(f"making an environment for {CODES[code].label} in {place} (once, some minutes) ...", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    _run([_base_python(), "-m", "venv", str(place)])
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    if any(line.startswith("torch==") for line in pins.read_text(encoding="utf-8").splitlines()):
        # With what it needs and by itself: which build it is, is for pip's own settings to say, as in the Makefile.
        _run([*install, "--constraint", str(pins), "torch"])
    # Nothing but what is listed: peers ask for much that energies and forces do not need, some of it gigabytes.
    _run([*install, "--no-deps", "--requirement", str(pins)])
    stamp.write_text(content, encoding="utf-8")
    return python


def _base_python() -> str:
    """A Python of a version that the pins are for.

    Raises:
        EnvironmentFailedError: if there is none.
    """
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    wanted = ".".join(map(str, NEWEST))
    found = shutil.which(f"python{wanted}")
    if found is None:
        msg = f"the pinned releases need Python {wanted}, and there is no python{wanted} on the path"
        raise EnvironmentFailedError(msg)
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = "\n".join((done.stdout + done.stderr).strip().splitlines()[-TAIL:])
        msg = f"{' '.join(command[:4])} ... failed:\n{complaint}"
        raise EnvironmentFailedError(msg)
