"""A store in the making: it only grows, and what is committed survives whatever ends the process."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import tribond
from tribond.data.composition import formula_of
from tribond.data.store import columns
from tribond.data.store.columns import HEADER_BYTES, RECORDS, TEXTS
from tribond.data.store.record import Row
from tribond.data.store.store import FORMAT, MANIFEST, Store
from tribond.errors import DataError
from tribond.files import write_json

PROGRESS = "progress.json"
SKIPPED = "skipped.jsonl"  # one line for everything that was left out
BLOCK = 1 << 20
MOST_LEVELS = 256  # their numbers are bytes


class StoreWriter:
    """Appends structures, and remembers where it stands when told to.

    Args:
        path: folder of the store; one that was begun goes on from its last commit.
        cutoffs: Å, for which bonds are counted.

    Attributes:
        state: what `commit` was last told, besides its own; empty at the beginning.
    """

    def __init__(self, path: Path, cutoffs: tuple[float, ...]) -> None:
        self.path, self.cutoffs = path, cutoffs
        self.types = columns.types(cutoffs)
        self.names = file_names(cutoffs)
        progress = path / PROGRESS
        before: dict[str, Any] = json.loads(progress.read_text(encoding="utf-8")) if progress.is_file() else {}
        self.state: dict[str, Any] = before.get("state", {})
        self.frames: int = before.get("frames", 0)
        self.atoms: int = before.get("atoms", 0)
        self.files: dict[str, BinaryIO] = {}
        for name in self.names:
            self.files[name] = _at(path / name, before.get("lengths", {}).get(name), is_column=name.endswith(".npy"))
        self.texts: dict[str, dict[str, int]] = {name: self._lines(name) for name in TEXTS}
        self.waiting: dict[str, list[Any]] = {name: [] for name in self.types}
        self.formulas: dict[tuple[bytes, bytes], str] = {}

    def add(self, row: Row, *, level: str, file: str, name: str | None) -> None:
        """Append one structure.

        Raises:
            DataError: for a level of theory too many.
        """
        if level not in self.texts["levels"] and len(self.texts["levels"]) >= MOST_LEVELS:
            msg = (
                f"{file}: {level!r} would be level of theory {MOST_LEVELS + 1} of the store, and more than {MOST_LEVELS} are not "
                "kept; name it yourself (LEVEL=SOURCE), or make several stores"
            )
            raise DataError(msg)
        key = row.elements.tobytes(), row.counts.tobytes()
        if key not in self.formulas:
            self.formulas[key] = formula_of(row.elements, row.counts)
        of_store = {
            "level": self.line("levels", level),
            "file": self.line("files", file),
            "formula": self.line("formulas", self.formulas[key]),
            "id": -1 if name is None else self.line("ids", name),
        }
        self.files[RECORDS].write(row.record)
        for column, value in (row.columns | of_store).items():
            self.waiting[column].append(value)
        self.waiting["element"] += row.elements.tolist()
        self.waiting["count"] += row.counts.tolist()
        self.frames += 1
        self.atoms += row.columns["size"]

    def skip(self, entry: Mapping[str, Any]) -> None:
        """Remember something that was left out."""
        self.files[SKIPPED].write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")

    def line(self, name: str, text: str) -> int:
        """The line that a text has, a new one if it is new."""
        known = self.texts[name]
        if text not in known:
            known[text] = len(known)
            self.files[f"{name}.txt"].write(json.dumps(text).encode() + b"\n")
        return known[text]

    def commit(self, state: Mapping[str, Any]) -> None:
        """See to it that all that was added so far stays, together with what the caller has to remember."""
        for column, values in self.waiting.items():
            self.files[f"{column}.npy"].write(np.array(values, dtype=self.types[column]).tobytes())
            values.clear()
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        self.state = dict(state)
        write_json(
            self.path / PROGRESS,
            {
                "frames": self.frames,
                "atoms": self.atoms,
                "lengths": {name: file.tell() for name, file in self.files.items()},
                "state": self.state,
            },
        )

    def seal(self) -> dict[str, Any]:
        """Complete the files of what is committed. What this gives is the manifest."""
        for column, kind in self.types.items():
            file = self.files[f"{column}.npy"]
            length = (file.tell() - HEADER_BYTES) // np.dtype(kind).itemsize
            file.seek(0)
            file.write(columns.header(kind, length))
        self.close()
        sums = checksums(self.path, self.names)
        digest = hashlib.blake2b("".join(sums[name] for name in sorted(sums)).encode(), digest_size=32).hexdigest()
        return {
            "format": FORMAT,
            "tribond_version": tribond.__version__,
            "frames": self.frames,
            "atoms": self.atoms,
            "cutoffs": list(self.cutoffs),
            "digest": digest,
            "blake2b": sums,
        }

    def publish(self, manifest: Mapping[str, Any]) -> None:
        """From now on it is a store."""
        write_json(self.path / MANIFEST, manifest)
        (self.path / PROGRESS).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files."""
        for file in self.files.values():
            if not file.closed:
                file.flush()
                os.fsync(file.fileno())
                file.close()

    def _lines(self, name: str) -> dict[str, int]:
        content = (self.path / f"{name}.txt").read_bytes().decode()
        return {json.loads(line): number for number, line in enumerate(content.splitlines())}


def file_names(cutoffs: tuple[float, ...]) -> list[str]:
    """All files that a writer opens."""
    return [RECORDS, SKIPPED, *(f"{name}.npy" for name in columns.types(cutoffs)), *(f"{name}.txt" for name in TEXTS)]


def _at(path: Path, length: int | None, *, is_column: bool) -> BinaryIO:
    """A file to append to, cut to what was committed; None: nothing was."""
    file = path.open("r+b" if path.exists() else "w+b")
    if length is None:
        length = HEADER_BYTES if is_column else 0
        file.truncate(0)
        file.write(b"\0" * length)
        file.flush()
    elif path.stat().st_size < length:
        msg = f"{path} is shorter than what was committed of it: the unfinished store is damaged; begin anew with --restart"
        raise DataError(msg)
    file.truncate(length)
    file.seek(length)
    return file


def checksums(path: Path, names: list[str]) -> dict[str, str]:
    """The sums of files in a folder, by name."""
    sums = {}
    for name in names:
        digest = hashlib.blake2b(digest_size=32)
        with (path / name).open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        sums[name] = digest.hexdigest()
    return sums


def damaged_files(store: Store) -> list[str]:
    """Files of a store that are not as they were written."""
    written: dict[str, str] = store.manifest["blake2b"]
    missing = [name for name in written if not (store.path / name).is_file()]
    found = checksums(store.path, [name for name in written if name not in missing])
    return missing + [name for name, value in found.items() if value != written[name]]
