"""The compiled C++ code (native/ in the repository), found and loaded.

The library is built together with the package where there is a C++ compiler, once for every instruction set, and the
best one that this machine has is loaded. Without it everything works, more slowly, through PyTorch and numpy.
"""

import ctypes
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

# What PyTorch calls the processor's abilities, the one that ATEN_CPU_CAPABILITY may lower; and the libraries that run.
RUNS = {"AVX512": ("avx512", "avx2", "plain"), "AVX2": ("avx2", "plain")}
NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "plain": "any processor"}
FOLDER = Path(__file__).parent / "lib"
INTERFACE = 7  # of the C++ code that is called; a library left over from another version has another number
BAD_GRAPH, NO_MEMORY, FAILED = 1, 2, 3  # what a function returns when it does nothing


@dataclass(frozen=True)
class Library:
    """The compiled code and what it was compiled for."""

    functions: ctypes.CDLL
    instruction_set: str


@cache
def library() -> Library | None:
    """The best library that was built and runs here; None without one."""
    return next(libraries(), None)


def libraries() -> Iterator[Library]:
    """All that were built and run here, the best first."""
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    for name in RUNS.get(torch.backends.cpu.get_cpu_capability(), ("plain",)):
        path = FOLDER / f"tribond_{name}{suffix}"
        if not path.exists():
            continue
        try:
            functions = ctypes.CDLL(str(path))
            if functions.tribond_interface() == INTERFACE:
                _declare(functions)
                yield Library(functions, NAMES[name])
                continue
        except (OSError, AttributeError):  # built for another system, a folder shared between machines; or half a file
            pass
        warnings.warn(f"{path} was built from another version of tribond or elsewhere; install anew", stacklevel=2)


def _declare(functions: ctypes.CDLL) -> None:
    pointer, int64, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    functions.tribond_engine_new.restype = pointer
    functions.tribond_engine_new.argtypes = [ctypes.c_int, *[pointer] * 3]
    functions.tribond_engine_delete.argtypes = [pointer]
    functions.tribond_engine_delete.restype = None
    functions.tribond_engine_run.argtypes = [
        *(pointer, ctypes.c_int, int64, int64, int64),
        *[pointer] * 5,
        int64,
        *[pointer] * 2,
    ]
    functions.tribond_bond_vectors.argtypes = [int64, int64, int64, *[pointer] * 6]
    functions.tribond_bond_sums.argtypes = [int64, int64, int64, *[pointer] * 9]
    functions.tribond_engine_weight_gradients.argtypes = [pointer, ctypes.c_int, int64, int64, int64, *[pointer] * 8]
    functions.tribond_search.argtypes = [int64, *[pointer] * 3, *[number] * 4, ctypes.c_int, *[pointer] * 3]
    functions.tribond_search_write.argtypes = [pointer, int64, *[pointer] * 3]
    functions.tribond_search_delete.argtypes = [pointer]
    functions.tribond_search_delete.restype = None
    functions.tribond_pairs_measure.argtypes = [int64, int64, int64, *[pointer] * 4, number, number, *[pointer] * 3]
    functions.tribond_pairs_take.argtypes = [int64, int64, *[pointer] * 4, int64, int64, *[pointer] * 3]


def plain(tensor: Tensor, dtype: torch.dtype, *shape: int) -> Tensor:
    """As the C++ code reads it, contiguous; itself where nothing is to be done, which PyTorch is slow to find out.

    Raises:
        ValueError: if it has another shape: the C++ code does not know how much there is to read.
    """
    if tensor.shape != shape:
        msg = f"a tensor of shape {tuple(tensor.shape)} instead of {shape}"
        raise ValueError(msg)
    return tensor if tensor.dtype == dtype and tensor.is_contiguous() else tensor.to(dtype).contiguous()
