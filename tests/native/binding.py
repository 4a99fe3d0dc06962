"""tribond.h by ctypes: what a program in another language would write."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tribond import compiled

PATH = compiled.FOLDER / ("libtribond.dylib" if sys.platform == "darwin" else "libtribond.so")
OK, BAD_ARGUMENT, UNKNOWN_ELEMENT, BAD_FILE, UNSUPPORTED, NO_MEMORY, EXCHANGE_FAILED, FAILED = range(8)

Exchange = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_pointer, _count = ctypes.c_void_p, ctypes.c_int64


class Results(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("energy", ctypes.c_double),
        ("virial", ctypes.c_double * 9),
        ("stress", ctypes.c_double * 9),
        *[
            field
            for name in ("atomic_energies", "forces", "atomic_virials", "edge_gradients")
            for field in ((name, _pointer), (f"num_{name}", _count))
        ],
    ]


class Structure(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("num_atoms", _count),
        ("atomic_numbers", _pointer),
        ("positions", _pointer),
        ("cell", ctypes.c_double * 9),
        ("periodic", ctypes.c_int32 * 3),
    ]


class Graph(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("num_atoms", _count),
        ("num_owned", _count),
        ("atomic_numbers", _pointer),
        ("num_edges", _count),
        ("centre", _pointer),
        ("neighbour", _pointer),
        ("vectors", _pointer),
        ("forward", Exchange),
        ("reverse", Exchange),
        ("exchange_context", _pointer),
    ]


def library() -> ctypes.CDLL:
    """The library with its functions declared."""
    functions = ctypes.CDLL(str(PATH))
    text = "last_error version instructions name metadata length_unit energy_unit symbol".split()
    for name in text:
        getattr(functions, f"tribond_{name}").restype = ctypes.c_char_p
    for name in "cutoff threebody_cutoff energy_offset".split():
        getattr(functions, f"tribond_{name}").restype = ctypes.c_double
    functions.tribond_exchange_width.restype = ctypes.c_int64
    functions.tribond_atomic_numbers.restype = ctypes.POINTER(ctypes.c_int32)
    functions.tribond_free.restype = None
    functions.tribond_load_bytes.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int, _pointer]
    functions.tribond_set_kept_bytes.argtypes = [_pointer, ctypes.c_int64]
    return functions


class LibraryError(Exception):
    """A code of tribond.h with its sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Model:
    """A handle."""

    def __init__(self, path: Any, precision: int = 0) -> None:
        self.functions, self.handle = library(), ctypes.c_void_p()
        if isinstance(path, bytes):
            code = self.functions.tribond_load_bytes(path, len(path), b"bytes", precision, ctypes.byref(self.handle))
        else:
            code = self.functions.tribond_load(str(path).encode(), precision, ctypes.byref(self.handle))
        self.check(code)

    def __del__(self) -> None:
        if self.handle:
            self.functions.tribond_free(self.handle)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.functions, f"tribond_{name}")(self.handle)

    def check(self, code: int) -> None:
        if code != OK:
            raise LibraryError(code, self.functions.tribond_last_error().decode())

    def set_threads(self, number: int) -> None:
        self.check(self.functions.tribond_set_threads(self.handle, number))

    def structure(self, atoms: Any) -> dict[str, Any]:
        """Evaluate ASE Atoms."""
        numbers = np.ascontiguousarray(atoms.numbers, np.int32)
        positions = np.ascontiguousarray(atoms.positions, np.float64)
        given = Structure(ctypes.sizeof(Structure), len(atoms), numbers.ctypes.data, positions.ctypes.data)
        given.cell[:] = atoms.cell.array.ravel().tolist()
        given.periodic[:] = [int(axis) for axis in atoms.pbc]
        results, arrays = outputs(len(atoms), len(atoms), None)
        self.check(self.functions.tribond_evaluate_structure(self.handle, ctypes.byref(given), ctypes.byref(results)))
        return collect(results, arrays)

    def graph(
        self,
        numbers: np.ndarray,
        owned: int,
        ends: np.ndarray,
        vectors: np.ndarray,
        exchange: tuple[Callable[..., int], Callable[..., int]] | None = None,
    ) -> dict[str, Any]:
        """Evaluate a graph; `ends` (2, edges). The exchange takes (rows as an array, width)."""
        numbers = np.ascontiguousarray(numbers, np.int32)
        ends = np.ascontiguousarray(ends, np.int64)
        vectors = np.ascontiguousarray(vectors, np.float64)
        callbacks = [self.callback(function, len(numbers)) for function in exchange or (None, None)]
        given = Graph(
            *(ctypes.sizeof(Graph), len(numbers), owned, numbers.ctypes.data, ends.shape[1]),
            *(ends[0].ctypes.data, ends[1].ctypes.data, vectors.ctypes.data, *callbacks),
        )
        results, arrays = outputs(len(numbers), owned, ends.shape[1])
        self.check(self.functions.tribond_evaluate(self.handle, ctypes.byref(given), ctypes.byref(results)))
        return collect(results, arrays)

    def callback(self, function: Callable[..., int] | None, atoms: int) -> Any:
        if function is None:
            return Exchange()
        number = {4: ctypes.c_float, 8: ctypes.c_double}[self.precision]

        def call(_: Any, rows: int, width: int) -> int:
            array = np.empty((0, width))
            if atoms > 0:
                array = np.ctypeslib.as_array(ctypes.cast(rows, ctypes.POINTER(number)), (atoms, width))
            return function(array, width)

        return Exchange(call)


def outputs(atoms: int, owned: int, edges: int | None) -> tuple[Results, dict[str, np.ndarray]]:
    """Results with all arrays, filled with what would be noticed."""
    shapes = {"atomic_energies": (owned,), "forces": (atoms, 3), "atomic_virials": (atoms, 3, 3)}
    if edges is not None:
        shapes["edge_gradients"] = (edges, 3)
    arrays = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    results = Results(ctypes.sizeof(Results))
    for name, array in arrays.items():
        setattr(results, name, array.ctypes.data)
        setattr(results, f"num_{name}", array.size)
    return results, arrays


def collect(results: Results, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        "energy": results.energy,
        "virial": np.array(results.virial).reshape(3, 3),
        "stress": np.array(results.stress).reshape(3, 3),
        **arrays,
    }
