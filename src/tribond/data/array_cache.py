"""Arrays kept on disk under a key that says all they depend on: another key, and they are made anew."""

import hashlib
import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.files import atomic_path

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


class ArrayCache:
    """Files in one folder, one an entry, written whole or not at all. Nothing in them is ever run.

    Args:
        folder: made with the first entry; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.used: set[Path] = set()

    def get(self, name: str, key: str, make: Callable[[], Arrays], *, keep: Callable[[Arrays], bool]) -> Arrays:
        """The arrays of this name and key: those that were kept, or new ones.

        Args:
            name: what they are, for people who look into the folder.
            key: a digest of everything they depend on.
            make: makes them.
            keep: whether new ones are worth a file.
        """
        if self.folder is None:
            return make()
        file = self.folder / f"{name}-{key[:32]}.npz"
        kept = _read(file)
        if kept is None:
            kept = make()
            if keep(kept):
                self._write(file, kept)
        if file.is_file():
            self.used.add(file)
        return kept

    def remove_unused(self) -> None:
        """Remove what nobody has asked for: it belongs to other data or other settings."""
        if self.folder is None or not self.folder.is_dir():
            return
        for file in self.folder.glob("*.npz"):
            if file not in self.used and not file.name.startswith("."):
                file.unlink(missing_ok=True)

    def _write(self, file: Path, arrays: Arrays) -> None:
        try:
            with atomic_path(file) as temporary:
                np.savez(temporary, allow_pickle=False, **arrays)
        except OSError as error:  # the training goes on without
            logger.warning("%s cannot be written, the next start will take as long as this one: %s", file, error)


def digest_of(*parts: Any) -> str:
    """A digest of texts, bytes and arrays."""
    digest = hashlib.sha256()
    for part in parts:
        content = np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else part
        content = content if isinstance(content, bytes | memoryview) else str(content).encode()
        digest.update(f"{len(content) if isinstance(content, bytes) else content.nbytes}|".encode())
        digest.update(content)
    return digest.hexdigest()


def _read(file: Path) -> Arrays | None:
    """What a file holds; None if it is not there or damaged."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}  # reading checks the sums of the archive
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        logger.warning("%s is damaged and is made anew: %s", file, error)
        return None
