"""The compiled C++ code (native/ in the repository), found and loaded.

The library is built together with the package where there is a C++ compiler. It holds the code for every instruction set,
and the best one that this machine has is taken. Without it everything works, more slowly, through PyTorch and numpy.
"""

import ctypes
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# What PyTorch calls the processor's abilities, the one that ATEN_CPU_CAPABILITY may lower; and the sets that run.
RUNS = {"AVX512": ("avx512", "avx2", "plain"), "AVX2": ("avx2", "plain")}
NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "plain": "any processor"}
FOLDER = Path(__file__).parent / "lib"
INTERFACE = 9  # of the C++ code that is called; a library left over from another version has another number
# What a function returns when it does nothing.
BAD_GRAPH, NO_MEMORY, FAILED, BAD_MODEL = 1, 2, 3, 4


class Functions:
    """The functions of one instruction set, which have it in their names: here they have not.

    Args:
        library: the library.
        instruction_set: avx512, avx2 or plain.

    Raises:
        AttributeError: if the library has no such code.
    """

    def __init__(self, library: ctypes.CDLL, instruction_set: str) -> None:
        for name, (result, *arguments) in _signatures().items():
            function = getattr(library, f"tribond_{instruction_set}_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, f"tribond_{name}", function)

    def __getattr__(self, name: str) -> Any:  # for those who check types
        raise AttributeError(name)


@dataclass(frozen=True)
class Library:
    """The compiled code and what it was compiled for."""

    functions: Functions
    instruction_set: str


@cache
def library() -> Library | None:
    """The code of the best instruction set that runs here; None without any."""
    return next(libraries(), None)


def libraries() -> Iterator[Library]:
    """All that were built and run here, the best first."""
    path = FOLDER / ("libtribond.dylib" if sys.platform == "darwin" else "libtribond.so")
    if not path.exists():
        return
    found = []
    try:
        loaded = ctypes.CDLL(str(path))
        for name in RUNS.get(torch.backends.cpu.get_cpu_capability(), ("plain",)):
            if hasattr(loaded, f"tribond_{name}_interface"):
                functions = Functions(loaded, name)
                if functions.tribond_interface() == INTERFACE:
                    found.append(Library(functions, NAMES[name]))
    except (OSError, AttributeError):  # built for another system, a folder shared between machines; or half a file
        found = []
    if not found:
        warnings.warn(f"{path} was built from another version of tribond or elsewhere; install anew", stacklevel=2)
    yield from found


def _signatures() -> dict[str, list[Any]]:
    """Of every function: what it returns and what it takes."""
    pointer, int64, number, integer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_int
    model = [int64, pointer] * 2 + [int64, pointer, pointer]
    graph = [int64] * 3 + [pointer] * 5
    return {
        "interface": [integer],
        "engine_new": [integer, integer, *model, pointer],
        "engine_delete": [None, pointer],
        "engine_run": [integer, pointer, integer, *graph, int64, *[pointer] * 2],
        "engine_weight_gradients": [integer, pointer, integer, *graph, *[pointer] * 3],
        "bond_vectors": [integer, *[int64] * 3, *[pointer] * 6],
        "bond_sums": [integer, *[int64] * 3, *[pointer] * 9],
        "search": [integer, int64, *[pointer] * 3, *[number] * 4, integer, *[pointer] * 3],
        "search_write": [integer, pointer, int64, *[pointer] * 3],
        "search_delete": [None, pointer],
        "pairs_measure": [integer, *[int64] * 3, *[pointer] * 4, number, number, *[pointer] * 3],
        "pairs_take": [integer, *[int64] * 2, *[pointer] * 4, int64, int64, *[pointer] * 3],
    }


def plain(tensor: Tensor, dtype: torch.dtype, *shape: int) -> Tensor:
    """As the C++ code reads it, contiguous; itself where nothing is to be done, which PyTorch is slow to find out.

    Raises:
        ValueError: if it has another shape: the C++ code does not know how much there is to read.
    """
    if tensor.shape != shape:
        msg = f"a tensor of shape {tuple(tensor.shape)} instead of {shape}"
        raise ValueError(msg)
    return tensor if tensor.dtype == dtype and tensor.is_contiguous() else tensor.to(dtype).contiguous()
