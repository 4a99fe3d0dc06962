"""The file of an ensemble: JSON that names the model files of its members, relative to itself, with their checksums.

    {"tribond_ensemble": 1, "metadata": {"name": ...}, "members": [{"file": "member-0/model.safetensors", "sha256": "..."}, ...]}

A folder with such a file called ensemble.json is as good as the file.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tribond.checkpoints.ordinary import check_ordinary
from tribond.errors import CheckpointError, ConfigError
from tribond.files import write_json

NAME = "ensemble.json"  # in a folder
KEY = "tribond_ensemble"
FORMAT_VERSION = 1
LARGEST = 2**20  # bytes; a member takes a hundred
MOST_MEMBERS = 100


@dataclass(frozen=True)
class EnsembleFile:
    """What the file of an ensemble says."""

    path: Path
    members: tuple[Path, ...]  # model files
    metadata: dict[str, Any]


def is_ensemble(path: Path) -> bool:
    """Whether this is the file of an ensemble, whole or not, or a folder with one."""
    if path.is_dir():
        return (path / NAME).is_file()
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > LARGEST:
        return False
    return f'"{KEY}"'.encode() in path.read_bytes()


def read_ensemble(path: Path) -> EnsembleFile:
    """Read the file of an ensemble, and see that its members are there and are those that it was made of.

    Args:
        path: the file, or a folder that holds it.

    Raises:
        CheckpointError: if it is damaged or too new, or if a member is missing or another one.
    """
    file = path / NAME if path.is_dir() else path
    check_ordinary(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version, members, metadata = content[KEY], content["members"], content.get("metadata", {})
        named = [(str(member["file"]), str(member["sha256"])) for member in members]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{file} is not the file of an ensemble, as `tribond ensemble` writes it"
        raise CheckpointError(msg) from error
    if version != FORMAT_VERSION or not isinstance(metadata, dict):
        msg = f"{file} has format version {version!r}; this tribond reads {FORMAT_VERSION}: upgrade tribond"
        raise CheckpointError(msg)
    if len(named) > MOST_MEMBERS:
        msg = f"{file} names {len(named)} members; ensembles of up to {MOST_MEMBERS} are read"
        raise CheckpointError(msg)
    found = []
    for name, checksum in named:
        member = file.parent / name
        if not member.is_file():
            msg = f"{file} names {name}, which is not there; copy it along, with the same path"
            raise CheckpointError(msg)
        if checksum_of(member) != checksum:
            msg = (
                f"{member} is not the file that {file} was made of: it has changed since. If that is right, make the ensemble "
                "anew with `tribond ensemble`"
            )
            raise CheckpointError(msg)
        found.append(member)
    return EnsembleFile(file, tuple(found), metadata)


def write_ensemble(path: Path, members: Sequence[Path], metadata: Mapping[str, Any] | None = None) -> None:
    """Write the file of an ensemble: whole or not at all.

    Args:
        path: of the file, which must end in .json.
        members: model files; they stay where they are.
        metadata: anything that JSON can hold; "name" is what `tribond info` shows.

    Raises:
        ConfigError: for another ending, fewer than two members, or a member that is no file.
    """
    if path.suffix != ".json":
        raise ConfigError(f"{path} must end in .json")
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise ConfigError(f"an ensemble has from 2 to {MOST_MEMBERS} members, not {len(members)}")
    for member in members:
        if not member.is_file():
            raise ConfigError(f"{member} is no file; the members of an ensemble are model files")
    base = path.parent.resolve()
    content = {
        KEY: FORMAT_VERSION,
        "metadata": dict(metadata or {}),
        "members": [
            {"file": Path(os.path.relpath(member.resolve(), base)).as_posix(), "sha256": checksum_of(member)}
            for member in members
        ],
    }
    write_json(path, content)


def checksum_of(file: Path) -> str:
    """SHA-256 of a model file.

    Raises:
        CheckpointError: for what is no ordinary file, or larger than any model is.
    """
    check_ordinary(file)
    return hashlib.sha256(file.read_bytes()).hexdigest()
