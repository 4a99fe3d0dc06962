"""Reading what `torch.save` wrote, without ever running what a pickle says.

PyTorch's own restricted reader knows tensors and plain containers and calls nothing else. The few other classes that
published checkpoints hold are replaced by stand-ins of the same name, which keep data and have no behaviour: numpy's
own would build an array over any bytes, and with them a file could read and write memory.
"""

import io
import pickle
import pickletools
import re
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
MOST_UNFOLDED = 10**6
LONGEST_REASON = 200  # letters of PyTorch's message that are worth repeating
# PyTorch allows these, and each takes any size from a few bytes of a file; none is in what torch.save writes.
MEMORY_TAKERS = re.compile(r"(builtins|__builtin__) bytearray|torch(\.cuda)?(\.sparse)? \w+Tensor")
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
        name = self.arguments[0]
        order = self.state[1] if self.state else "="
        if not isinstance(name, str) or name not in NUMBERS or order not in ("<", ">", "|", "="):
            msg = "an array of other than plain numbers"
            raise ValueError(msg)
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
    content = _archive(path)
    try:
        with _stand_ins_allowed(), warnings.catch_warnings(action="ignore"):
            return _plain(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), {})
    except pickle.UnpicklingError as error:
        if unsafe := _asked_for(content):
            msg = f"{path} asks to run {', '.join(unsafe)}, which is code and no data; tribond loads no such file"
        else:
            msg = f"{path} is not a readable model file: it holds more than tensors, containers, numbers and strings"
        raise CheckpointError(msg) from error
    except (*NONSENSE, RecursionError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not a readable model file ({first[:LONGEST_REASON]}); download or copy it again"
        raise CheckpointError(msg) from error


def _archive(path: Path) -> bytes:
    """The file's archive written anew, once nothing in it is other than torch.save of the last years wrote it.

    Written anew because zip archives can be made that Python and PyTorch read differently.
    """
    content = path.read_bytes()
    anew = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(anew, "w") as plain:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                msg = f"{path} is not a readable model file: it is compressed, as no file of PyTorch is"
                raise CheckpointError(msg)
            # No file holds the same bytes twice, nor the same name.
            if sum(entry.file_size for entry in entries) > len(content) or len(set(archive.namelist())) < len(entries):
                msg = f"{path} is not a readable model file: parts of its archive overlap; download or copy it again"
                raise CheckpointError(msg)
            for entry in entries:
                part = archive.read(entry)
                if entry.filename.endswith(".pkl"):
                    _check_pickle(path, part)
                plain.writestr(entry.filename, part)
    except CheckpointError:
        raise
    except (*NONSENSE, NotImplementedError) as error:
        # PyTorch before 1.6 and bare pickles too, which no code of M3GNet wrote.
        what = next((what for start, what in MISTAKEN.items() if content.lstrip().startswith(start)), "this is none")
        msg = f"{path} is not a readable model file: PyTorch's files are whole zip archives, and {what}"
        raise CheckpointError(msg) from error
    return anew.getvalue()


def _check_pickle(path: Path, content: bytes) -> None:
    try:
        asked_for = [str(name) for operation, name, _ in pickletools.genops(content) if operation.name == "GLOBAL"]
    except ValueError:
        return  # nonsense, which PyTorch's reader will name
    if _unfolds(content) > MOST_UNFOLDED:
        msg = f"{path} is not a readable model file: tuples in it hold each other over and over; download or copy it again"
        raise CheckpointError(msg)
    if takers := [name.replace(" ", ".") for name in asked_for if MEMORY_TAKERS.fullmatch(name)]:
        msg = f"{path} is not a readable model file: it asks for {takers[0]}, which no file of PyTorch does"
        raise CheckpointError(msg)


def _unfolds(content: bytes) -> int:
    """How many values the largest tuple of a pickle has, with all that are in it, those that are shared once for each time.

    As a key of a dictionary a tuple is hashed value by value: forty tuples, each of twice the one before, take for ever.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[Any, int] = {}
    largest = 0
    for operation, argument, _ in pickletools.genops(content):
        name = operation.name
        if name == "MARK":
            marks.append(len(stack))
            continue
        if name in {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1] if stack else 1
            continue
        if name in {"GET", "BINGET", "LONG_BINGET"}:
            stack.append(memo.get(argument, 1))
            continue
        if name == "DUP":
            stack.append(stack[-1] if stack else 1)
            continue
        taken = sum(kind not in {pickletools.markobject, pickletools.stackslice} for kind in operation.stack_before)
        first = max(len(stack) - taken, 0)
        if pickletools.markobject in operation.stack_before:
            first = max(
                (marks.pop() if marks else 0) - (taken if name in {"APPENDS", "SETITEMS", "ADDITEMS"} else 0), 0
            )
        within = min(1 + sum(stack[first:]), 2 * MOST_UNFOLDED)
        del stack[first:]
        # What is no tuple and not made by a call cannot be hashed, or has a hash of its own.
        size = within if "TUPLE" in name or name in {"REDUCE", "NEWOBJ", "FROZENSET", "BINPERSID"} else 1
        largest = max(largest, size)
        stack += [size] * len(operation.stack_after)
    return largest


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


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """The value with stand-ins of numpy turned into what they stand for.

    Args:
        value: what PyTorch's reader made.
        done: results by the identity of what they are of: what is shared stays shared.
    """
    if id(value) not in done:
        done[id(value)] = _plain_anew(value, done)
    return done[id(value)]


def _plain_anew(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, _Array | _Scalar):
        return value.plain()
    if isinstance(value, _Anything):
        raise TypeError(type(value).__doc__)
    if isinstance(value, dict):
        return {_plain(key, done): _plain(inner, done) for key, inner in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(_plain(inner, done) for inner in value)
    if isinstance(value, Normalizer):
        value.mean, value.std = _plain(value.mean, done), _plain(value.std, done)
    return value


def _asked_for(content: bytes) -> list[str]:
    """Names in the pickle that are neither tensors nor plain data; found by reading, not by running."""
    with _stand_ins_allowed():
        try:
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
        except (pickle.UnpicklingError, *NONSENSE):
            return []
