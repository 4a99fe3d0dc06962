"""What a name on the command line or in a training file means: a file of this name, or else frames or a pattern."""

from glob import glob
from pathlib import Path

from tribond.errors import DataError, StructureError

COMPRESSED = (".gz", ".bz2", ".xz")


def split_index(name: str) -> tuple[Path, str | None]:
    """Split 'run.xyz@3' or 'run.xyz@::10' into path and index; a file that has the whole name wins."""
    path, at, index = name.rpartition("@")
    if not at or Path(name).exists() or index.strip("-:0123456789"):
        return Path(name), None
    return Path(path), index


def parse_index(index: str | None) -> int | slice | None:
    """A number or a slice from '0', '-1', ':', '-5:' or '::10'.

    Raises:
        StructureError: if it is neither.
    """
    if index is None:
        return None
    try:
        if ":" not in index:
            return int(index)
        parts = [int(part) if part else None for part in index.split(":")]
        _ = range(1)[slice(*parts)]
    except (TypeError, ValueError):
        msg = f"{index!r} is no index; write a number or a slice: 0, -1, :, -5:, ::10"
        raise StructureError(msg) from None
    return slice(*parts)


def matching(name: str) -> list[str]:
    """The files that a name stands for, sorted, each with its @index where there was one.

    A file that has exactly this name is that file, whatever signs stand in it. Only otherwise is `@index` split off,
    and only then are `*`, `?` and `[` signs of a pattern.

    Raises:
        DataError: if there is none.
    """
    name = str(Path(name).expanduser())
    if Path(name).exists():
        return [name]
    path, index = split_index(name)
    ending = "" if index is None else f"@{index}"
    if path.exists():
        return [f"{path}{ending}"]
    found = sorted(glob(str(path)))  # noqa: PTH207 - absolute patterns too
    if not found:
        msg = f"no file matches {name}"
        raise DataError(msg)
    return [f"{file}{ending}" for file in found]


def unpacked(path: Path) -> Path:
    """The path without the ending of a compression; results are written plain."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
