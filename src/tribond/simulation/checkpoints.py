"""All that dynamics needs to go on exactly, in one file that is whole or not there. Nothing of it is ever executed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tribond.errors import DataError
from tribond.files import atomic_path

FORMAT = 1


def save_checkpoint(path: Path, numbers: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write numbers (as JSON, whose floats are exact) and arrays."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, __numbers__=np.array(json.dumps({"format": FORMAT, **numbers})), **arrays)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """What `save_checkpoint` wrote, or None if there is no such file.

    Raises:
        DataError: for a file that is something else.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        numbers = json.loads(str(arrays.pop("__numbers__")))
        if numbers.pop("format") != FORMAT:
            raise DataError("it is of another version of tribond")
    except Exception as error:
        raise DataError(f"{path} is no checkpoint that can be read ({error}); begin anew with --restart") from error
    return numbers, arrays
