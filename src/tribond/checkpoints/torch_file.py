"""Reading what `torch.save` wrote, without ever running what a pickle says.

PyTorch's own restricted unpickler knows tensors and plain containers and calls nothing else. The few other classes
that published checkpoints hold are replaced by stand-ins of the same name that carry data and no behaviour.
"""

import io
import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tribond.errors import CheckpointError

ZIP = b"PK\x03\x04"
# What a damaged archive, or a pickle of nonsense, makes PyTorch raise.
NONSENSE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
    AssertionError,
    struct.error,
)


class Normalizer:
    """Stand-in for `matgl.data.transformer.Normalizer`: has `mean` and `std` once unpickled."""

    mean: Any
    std: Any


class LogTransformer:
    """Stand-in for `matgl.data.transformer.LogTransformer`, which has no data at all."""


def _names(module: str, function: Any) -> list[tuple[Any, str]]:
    """A function of numpy under the names that its module had over the years."""
    return [(function, f"{package}.{module}.{function.__name__}") for package in ("numpy._core", "numpy.core")]


ALLOWED: list[Any] = [
    (Normalizer, "matgl.data.transformer.Normalizer"),
    (LogTransformer, "matgl.data.transformer.LogTransformer"),
    # What makes an array and a number of numpy out of bytes.
    *_names("multiarray", np.zeros(1).__reduce__()[0]),
    *_names("multiarray", np.float64(0).__reduce__()[0]),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")),
]


def read_torch_file(path: Path) -> Any:
    """The content of a .pt or .pth file: tensors on the CPU, containers, numbers and strings.

    Raises:
        CheckpointError: if the file cannot be read, is damaged, or asks for anything that is not plain data; the
            message names what it asks for. Nothing of the file has been run then.
    """
    content = path.read_bytes()
    if not content.startswith(ZIP):  # PyTorch before 1.6, and bare pickles, which no code of M3GNet wrote
        msg = f"{path} is not a readable model file: PyTorch's files are zip archives since 2020, and this is none"
        raise CheckpointError(msg)
    try:
        with torch.serialization.safe_globals(ALLOWED), warnings.catch_warnings(action="ignore"):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if unsafe := _asked_for(content):
            msg = f"{path} asks to run {', '.join(unsafe)}, which is code and no data; tribond loads no such file"
        else:
            msg = f"{path} is not a readable model file: it holds more than tensors, containers, numbers and strings"
        raise CheckpointError(msg) from error
    except NONSENSE as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not a readable model file ({first}); download or copy it again"
        raise CheckpointError(msg) from error


def _asked_for(content: bytes) -> list[str]:
    """Names in the pickle that are neither tensors nor plain data; found by reading, not by running."""
    with torch.serialization.safe_globals(ALLOWED):
        try:
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
        except (pickle.UnpicklingError, *NONSENSE):
            return []
