"""Files that can be a model at all: ordinary ones, and no larger than any model is."""

import stat
from pathlib import Path

from tribond.errors import CheckpointError

LARGEST = 2**29  # bytes; published M3GNets have 1 to 20 MB, and what is read is held in memory a few times


def check_ordinary(path: Path) -> None:
    """Refuse what would be waited for or read for ever. A file that is missing is left to who reads it.

    Raises:
        CheckpointError: for pipes, devices, empty files and huge ones.
    """
    try:
        found = path.stat()
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode):
        msg = f"{path} is no ordinary file but a folder, a pipe or a device; write its content to a file first"
        raise CheckpointError(msg)
    if found.st_size == 0:
        msg = f"{path} is not a readable model file: it is empty; download or copy it again"
        raise CheckpointError(msg)
    if found.st_size > LARGEST:
        msg = f"{path} has {found.st_size / 1e9:.1f} GB; models of up to {LARGEST / 1e9:.1f} GB are read"
        raise CheckpointError(msg)
