"""A folder that belongs to one calculation: it knows its settings and inputs, so that the same call goes on there.

    with open_job(folder, "eos", settings, {"crystal": fingerprint(atoms)}, restart=False) as job:
        if job.finished:
            return job.summary()
        write_csv(job.file("volumes.csv"), columns)
        return job.finish({"V0_A3": 160.2})

Files are written atomically, so that whatever is there after a crash is whole.
"""

import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tribond.errors import ConfigError
from tribond.files import write_json
from tribond.results.record import package_version, versions

logger = logging.getLogger(__name__)

RECORD = "job.json"  # what the folder says about itself
SUMMARY = "summary.json"
LOCK = ".lock"


class Job:
    """One calculation in a folder of its own; made by `open_job`.

    Attributes:
        folder: where everything is written.
        verb: what is calculated, such as "md".
        settings: that the results depend on.
        resumed: whether an earlier call has begun it.
    """

    def __init__(self, folder: Path, record: dict[str, Any], *, resumed: bool) -> None:
        self.folder = folder
        self.verb: str = record["verb"]
        self.settings: dict[str, Any] = record["settings"]
        self.resumed = resumed
        self._record = record

    @property
    def finished(self) -> bool:
        """Whether the results are all there."""
        return bool(self._record["finished"]) and (self.folder / SUMMARY).is_file()

    def file(self, name: str) -> Path:
        """Where a result goes. It is noted as this calculation's own, for `restart` to remove.

        Args:
            name: of the file, or path below the folder.

        Raises:
            ConfigError: if the file is there already and of somebody else.
        """
        path = self.folder / name
        if name not in self._record["outputs"]:
            if path.exists():
                msg = (
                    f"{path} is there already and does not belong to this calculation; choose another folder or move it"
                )
                raise ConfigError(msg)
            self._record["outputs"].append(name)
            self._save()
        return path

    def finish(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Write summary.json: versions, settings, inputs and results; and note that nothing is left to do.

        Args:
            results: numbers with their units in the names.

        Returns:
            What was written.
        """
        summary = {
            "calculation": self.verb,
            "versions": versions(),
            "model": self._record["model"],
            "inputs": self._record["inputs"],
            "settings": self.settings,
            **results,
            "outputs": [
                name
                for name in self._record["outputs"]
                if name not in {RECORD, SUMMARY} and (self.folder / name).exists()
            ],
        }
        write_json(self.file(SUMMARY), summary)
        self._record["finished"] = True
        self._save()
        return summary

    def summary(self) -> dict[str, Any]:
        """What `finish` wrote."""
        return _read(self.folder / SUMMARY)

    def discard(self) -> None:
        """Remove all that this calculation has written, and the folder if nothing else is in it."""
        _remove(self.folder, self._record)
        (self.folder / LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _save(self) -> None:
        write_json(self.folder / RECORD, self._record)


@contextmanager
def open_job(
    folder: Path,
    verb: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    model: Mapping[str, Any] | None = None,
    restart: bool = False,
    way_out: str = "Choose another folder (-o), or begin anew with --restart, which removes it",
) -> Iterator[Job]:
    """Begin a calculation in a folder, or go on with the one that is there if it is the same.

    Args:
        folder: made if missing; other files in it are left alone.
        verb: what is calculated.
        settings: all that results depend on, as JSON holds it.
        inputs: a fingerprint of each input by its name, see `results.record`.
        model: name, `weights_sha256` and what else is known of the potential; None where there is none.
        restart: remove what an earlier calculation left here, and begin anew.
        way_out: what the user can do if the folder holds another calculation.

    Raises:
        ConfigError: if the folder holds another calculation (it says what differs), or is a file, or if another process
            is at work there; or for settings that are no finite numbers.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"another process is at work in {folder}; wait for it, or choose another folder") from None
    try:
        yield _begin(folder, verb, settings, inputs, model, restart=restart, way_out=way_out)
    finally:
        lock.release()


def _begin(
    folder: Path,
    verb: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    model: Mapping[str, Any] | None,
    *,
    restart: bool,
    way_out: str,
) -> Job:
    for name, value in settings.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name} must be a finite number, not {value}")
    wanted = json.loads(json.dumps({"verb": verb, "settings": settings, "inputs": inputs, "model": model}))
    new = {"format": 1, "tribond_version": package_version(), **wanted, "outputs": [], "finished": False}
    path = folder / RECORD
    old = _read(path) if path.exists() else None
    if old is not None and old["verb"] != verb and not _nothing_done(folder, old):
        raise ConfigError(
            f"{folder} holds the results of `tribond {old['verb']}`, which `tribond {verb}` neither uses nor removes; choose "
            "another folder (-o)"
        )
    differences = _differences(_identity(old), _identity(new)) if old is not None else []
    if old is not None and (restart or (differences and _nothing_done(folder, old))):
        _remove(folder, old)
        old = None
    if old is None:
        job = Job(folder, new, resumed=False)
        job.file(RECORD)  # not somebody else's: it was just found missing
        return job
    if differences:
        raise ConfigError(f"{folder} holds another calculation: {'; '.join(differences)}. {way_out}")
    if old["tribond_version"] != new["tribond_version"] and not old["finished"]:
        logger.warning(
            "%s was begun with tribond %s and goes on with %s: numbers may differ in their last digits",
            folder,
            old["tribond_version"],
            new["tribond_version"],
        )
    return Job(folder, old, resumed=True)


def _nothing_done(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether a calculation has left nothing but its record: a mistake in the settings does not keep the folder."""
    return not any((folder / name).exists() for name in record["outputs"] if name != RECORD)


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """What two calculations must share to be the same; of a model, its weights and its state, not where it runs."""
    model = record["model"]
    if model is not None and model.get("weights_sha256"):
        model = {key: model.get(key) for key in ("weights_sha256", "state")}
    return {
        "calculation": record["verb"],
        "input": list(record["inputs"].values()),  # their names may change
        "model": model,
        **record["settings"],
    }


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Each value that differs, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [text for key in keys for text in _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            text for i, pair in enumerate(zip(old, new, strict=True)) for text in _differences(*pair, f"{name}[{i}]")
        ]
    if old == new:
        return []
    if name.startswith("input"):
        return ["its input was another"]
    return [f"{name} was {_short(old)} and is now {_short(new)}"]


def _short(value: Any) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _remove(folder: Path, record: Mapping[str, Any]) -> None:
    """Delete what the record names, and nothing else."""
    for name in record["outputs"]:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{folder / RECORD} names {name}, which is outside of the folder; delete it by hand")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); choose another folder, or delete it") from error
    if not isinstance(content, dict) or (path.name == RECORD and content.get("format") != 1):
        raise ConfigError(f"{path} was not written by this version of tribond; choose another folder")
    return content
