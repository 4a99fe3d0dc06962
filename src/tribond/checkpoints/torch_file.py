"""Reading what `torch.save` wrote, without ever running what a pickle says.

PyTorch's own restricted unpickler knows tensors and plain containers and calls nothing else. The few other classes
that published checkpoints hold are replaced by stand-ins of the same name that carry data and no behaviour.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tribond.errors import CheckpointError


class Normalizer:
    """Stand-in for `matgl.data.transformer.Normalizer`: has `mean` and `std` once unpickled."""

    mean: Any
    std: Any


class LogTransformer:
    """Stand-in for `matgl.data.transformer.LogTransformer`, which has no data at all."""


_numpy = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray  # noqa: SLF001
# The module that numpy keeps these two in was renamed, and files have the name of their day.
STAND_INS = [
    (Normalizer, "matgl.data.transformer.Normalizer"),
    (LogTransformer, "matgl.data.transformer.LogTransformer"),
    *(
        (_numpy._reconstruct, f"{module}._reconstruct")
        for module in ("numpy._core.multiarray", "numpy.core.multiarray")
    ),  # noqa: SLF001
    *((_numpy.scalar, f"{module}.scalar") for module in ("numpy._core.multiarray", "numpy.core.multiarray")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?", "U", "S")),
]


def read_torch_file(path: Path) -> Any:
    """The content of a .pt or .pth file: tensors on the CPU, containers, numbers and strings.

    Raises:
        CheckpointError: if the file cannot be read, is damaged, or asks for anything that is not plain data; the
            message names what it asks for. Nothing of the file has been run then.
    """
    content = path.read_bytes()
    try:
        with torch.serialization.safe_globals(STAND_INS):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if unsafe := _asked_for(content):
            msg = f"{path} asks to run {', '.join(unsafe)}, which is code and no data; tribond loads no such file"
        else:
            msg = f"{path} is no plain PyTorch file: {str(error).splitlines()[0]}"
        raise CheckpointError(msg) from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        OverflowError,
    ) as error:
        # What a damaged archive or a pickle of nonsense makes PyTorch say.
        first = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not a whole PyTorch file ({first}); download or copy it again"
        raise CheckpointError(msg) from error


def _asked_for(content: bytes) -> list[str]:
    """Names in the pickle that are neither tensors nor plain data; found by reading, not by running."""
    try:
        with torch.serialization.safe_globals(STAND_INS):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
    except (ValueError, RuntimeError, pickle.UnpicklingError):
        return []  # a format in which PyTorch cannot look ahead
