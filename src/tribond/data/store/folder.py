"""The folder of a store: whose it is, what may be removed from it, and who writes there."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tribond.data.store.store import MANIFEST
from tribond.data.store.writer import PROGRESS, file_names
from tribond.errors import ConfigError
from tribond.files import write_json

SETTINGS = "settings.json"
REPORT = "report.json"
FIGURES = "inspect"  # folder
LOCK = ".lock"
UNFINISHED = re.compile(r"\.settings\.[0-9a-f]+\.json")  # of a process that was killed while it wrote them
KEY = {"read", "cutoffs", "duplicates", "files", "digest"}  # what the settings of every store say


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from writing into the same store.

    Raises:
        ConfigError: if one does.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"another process is building {path} right now; wait for it, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def refuse_inside(path: Path, files: Iterable[Path]) -> None:
    """A store is not made of what lies in its own folder.

    Raises:
        ConfigError: if one of the files lies there.
    """
    whole = path.resolve()
    inside = next((file for file in files if file.resolve().is_relative_to(whole)), None)
    if inside is not None:
        raise ConfigError(f"{inside} lies in the folder of the store, {path}; choose a folder without sources")


def prepare(path: Path, key: Mapping[str, Any], *, restart: bool) -> None:
    """See to it that what the folder holds belongs to these settings. Only files of a store are ever removed.

    Args:
        path: the folder, which is there.
        key: all that the content of the store depends on.
        restart: begin anew, whatever the folder holds of a store.

    Raises:
        ConfigError: if it holds something else.
    """
    key = json.loads(json.dumps(key))
    before = _settings(path / SETTINGS)
    if before is None:
        # Without settings, which are written first, nothing here was written by a building.
        others = sorted(it.name for it in path.iterdir() if it.name != LOCK and not UNFINISHED.fullmatch(it.name))
        if others:
            raise ConfigError(
                f"{path} holds other files ({', '.join(others[:3])}) and no {SETTINGS} of a store; choose a new folder for the store"
            )
    elif not restart and ((path / MANIFEST).is_file() or (path / PROGRESS).is_file()):
        changed = sorted(name for name in key if before[name] != key[name])
        if changed:
            shown = ", ".join("files" if name == "digest" else name for name in changed)
            raise ConfigError(
                f"{path} holds a store of other settings or files ({shown}); choose another folder, or build it anew with --restart"
            )
        return
    else:
        _remove(path, tuple(before["cutoffs"]))
    write_json(path / SETTINGS, key)


def _settings(file: Path) -> dict[str, Any] | None:
    """What a store was begun with; None: this is no such file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    sound = isinstance(content, dict) and content.keys() >= KEY and isinstance(content["cutoffs"], list)
    return content if sound and all(isinstance(it, int | float) for it in content["cutoffs"]) else None


def _remove(path: Path, cutoffs: tuple[float, ...]) -> None:
    """All files of a store but its settings: if this is interrupted, the folder is still known for a store."""
    # These two first: whatever happens in between, no half of a store looks whole.
    for name in (MANIFEST, PROGRESS, REPORT, *file_names(cutoffs)):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / FIGURES, ignore_errors=True)
