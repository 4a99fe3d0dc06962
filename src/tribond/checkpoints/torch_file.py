"""Reading what `torch.save` wrote, without ever running what a pickle says.

PyTorch's own restricted reader knows tensors and plain containers and calls nothing else. The few other classes that
published checkpoints hold are replaced by stand-ins of the same name, which keep data and have no behaviour: numpy's
own would build an array over any bytes, and with them a file could read and write memory.
"""

import io
import pickle
import struct
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tribond.errors import CheckpointError

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
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
MISTAKEN = {b"<": "this is a web page", b"version https://git-lfs": "this is a pointer of Git LFS to the real file"}
NUMBERS = {f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)} - {"f1"} | {"b1"}


class Normalizer:
    """Stand-in for `matgl.data.transformer.Normalizer`: has `mean` and `std` once unpickled."""

    mean: Any
    std: Any


class LogTransformer:
    """Stand-in for `matgl.data.transformer.LogTransformer`, which has no data at all."""


class _Anything:
    """Takes what a pickle gives and keeps it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType(_Anything):
    """numpy.dtype."""

    def numbers(self) -> np.dtype[Any]:
        """The real one, if it is of plain numbers.

        Raises:
            ValueError: if it is not.
        """
        name = str(self.arguments[0])
        order = str(self.state[1]) if self.state else "="
        if name not in NUMBERS or order not in {"<", ">", "|", "="}:
            raise ValueError(name)
        return np.dtype(f"{order}{name}")


class _Array(_Anything):
    """numpy.ndarray, as its `_reconstruct` makes it: everything is in the state."""

    def plain(self) -> torch.Tensor:
        """The array as a tensor."""
        _, shape, dtype, columns_first, content = self.state
        flat = np.frombuffer(content, dtype.numbers())
        return torch.from_numpy(flat.reshape(shape, order="F" if columns_first else "C").copy())


class _Scalar(_Anything):
    """A number of numpy."""

    def plain(self) -> Any:
        """The number as Python's own."""
        dtype, content = self.arguments
        return np.frombuffer(content, dtype.numbers()).item()


STAND_INS: list[Any] = [
    (Normalizer, "matgl.data.transformer.Normalizer"),
    (LogTransformer, "matgl.data.transformer.LogTransformer"),
    (_DType, "numpy.dtype"),
    (_Array, "numpy.ndarray"),
    # The module that numpy keeps these two in was renamed, and files have the name of their day.
    *((_Array, f"{package}.multiarray._reconstruct") for package in ("numpy._core", "numpy.core")),
    *((_Scalar, f"{package}.multiarray.scalar") for package in ("numpy._core", "numpy.core")),
]
_lock = threading.Lock()  # PyTorch keeps the classes that its reader allows in one place for the whole process


def read_torch_file(path: Path) -> Any:
    """The content of a .pt or .pth file: tensors on the CPU, containers, numbers and strings.

    Arrays of numpy come back as tensors, its numbers as Python's.

    Raises:
        CheckpointError: if the file cannot be read, is damaged, or asks for anything that is not plain data; the
            message names what it asks for. Nothing of the file has been run then.
    """
    content = path.read_bytes()
    _check_archive(path, content)
    try:
        with _stand_ins_allowed(), warnings.catch_warnings(action="ignore"):
            return _plain(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        if unsafe := _asked_for(content):
            msg = f"{path} asks to run {', '.join(unsafe)}, which is code and no data; tribond loads no such file"
        else:
            msg = f"{path} is not a readable model file: it holds more than tensors, containers, numbers and strings"
        raise CheckpointError(msg) from error
    except (*NONSENSE, RecursionError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not a readable model file ({first}); download or copy it again"
        raise CheckpointError(msg) from error


def _check_archive(path: Path, content: bytes) -> None:
    """Refuse what no torch.save of the last years wrote, before any of it is looked at."""
    try:
        entries = zipfile.ZipFile(io.BytesIO(content)).infolist()
    except (*NONSENSE, NotImplementedError) as error:
        # PyTorch before 1.6 and bare pickles too, which no code of M3GNet wrote.
        what = next((what for start, what in MISTAKEN.items() if content.lstrip().startswith(start)), "this is none")
        msg = f"{path} is not a readable model file: PyTorch's files are whole zip archives, and {what}"
        raise CheckpointError(msg) from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        msg = f"{path} is not a readable model file: it is compressed, as no file of PyTorch is"
        raise CheckpointError(msg)


@contextmanager
def _stand_ins_allowed() -> Iterator[None]:
    with _lock:
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()  # they may have the same names
        torch.serialization.add_safe_globals(STAND_INS)
        try:
            yield
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(before)


def _plain(value: Any) -> Any:
    """The value with stand-ins of numpy turned into what they stand for."""
    if isinstance(value, _Array | _Scalar):
        return value.plain()
    if isinstance(value, _Anything):
        raise TypeError(type(value).__doc__)
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(_plain(inner) for inner in value)
    if isinstance(value, Normalizer):
        value.mean, value.std = _plain(value.mean), _plain(value.std)
    return value


def _asked_for(content: bytes) -> list[str]:
    """Names in the pickle that are neither tensors nor plain data; found by reading, not by running."""
    with _stand_ins_allowed():
        try:
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
        except (pickle.UnpicklingError, *NONSENSE):
            return []
