"""What makes no sense is refused with a code and a sentence, whatever it is: never a crash."""

import ctypes
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.native import binding
from tests.small_models import random_model, small_config
from tribond.checkpoints.native import save_model

pytestmark = pytest.mark.skipif(not binding.PATH.exists(), reason="tribond was installed without a C++ compiler")

NUMBERS = np.array([14, 6, 14], np.int32)
ENDS = np.array([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
POSITIONS = np.array([[0.0, 0, 0], [2.0, 0.3, 0], [0.2, 2.2, 0.5]])
VECTORS = POSITIONS[ENDS[1]] - POSITIONS[ENDS[0]]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, random_model(small_config()), {})
    return path


@pytest.fixture
def model(path) -> binding.Model:
    return binding.Model(path)


class Call:
    """A call in order, to be spoilt."""

    def __init__(self, model) -> None:
        self.model = model
        self.arrays = [NUMBERS.copy(), ENDS[0].copy(), ENDS[1].copy(), VECTORS.copy()]
        numbers, centre, neighbour, vectors = (array.ctypes.data for array in self.arrays)
        self.graph = binding.Graph(ctypes.sizeof(binding.Graph), 3, 3, numbers, 6, centre, neighbour, vectors)
        self.results, self.outputs = binding.outputs(3, 3, 6)
        self.places = POSITIONS.copy()
        self.structure = binding.Structure(ctypes.sizeof(binding.Structure), 3, numbers, self.places.ctypes.data)
        self.structure.cell[:] = [8, 0, 0, 0, 8, 0, 0, 0, 8]
        self.structure.periodic[:] = [1, 1, 1]

    def evaluate(self) -> int:
        functions = self.model.functions
        return functions.tribond_evaluate(self.model.handle, ctypes.byref(self.graph), ctypes.byref(self.results))

    def evaluate_structure(self) -> int:
        self.results.edge_gradients, self.results.num_edge_gradients = None, 0
        return self.model.functions.tribond_evaluate_structure(
            self.model.handle, ctypes.byref(self.structure), ctypes.byref(self.results)
        )

    def said(self) -> str:
        return self.model.functions.tribond_last_error().decode()


def test_a_call_in_order(model):
    assert Call(model).evaluate() == binding.OK
    assert Call(model).evaluate_structure() == binding.OK


def _set(part, **values):
    def spoil(call):
        for name, value in values.items():
            setattr(getattr(call, part), name, value)

    return spoil


def _number(array, place, value):
    def spoil(call):
        call.arrays[array].flat[place] = value

    return spoil


GRAPHS = [
    (_set("graph", struct_size=0), "struct_size of the graph is 0; set it to sizeof"),
    (_set("graph", struct_size=2**60), "struct_size"),
    (_set("results", struct_size=8), "struct_size of the results"),
    (_set("graph", num_atoms=-1), "num_atoms is -1"),
    (_set("graph", num_atoms=2**62), "num_atoms .* too many"),
    (_set("graph", num_edges=-(2**63)), "num_edges"),
    (_set("graph", num_owned=4), "num_owned is 4 of 3"),
    (_set("graph", num_owned=-1), "num_owned"),
    (_set("graph", atomic_numbers=None), "atomic_numbers is NULL"),
    (_set("graph", centre=None), "centre is NULL"),
    (_set("graph", neighbour=None), "neighbour is NULL"),
    (_set("graph", vectors=None), "vectors is NULL"),
    (_set("graph", forward=binding.Exchange(lambda *_: 0)), "needs both"),
    (_set("results", forces=None), "forces is NULL, but its size is 9"),
    (_set("results", num_forces=3), "forces has room for 3 numbers; it must have 9"),
    (_set("results", num_atomic_energies=9), "atomic_energies has room for 9"),
    (_set("results", num_atomic_virials=-1), "atomic_virials has room for -1"),
    (_set("results", num_edge_gradients=6), "edge_gradients has room for 6"),
    (_number(0, 1, 0), "atom 1 has the atomic number 0"),
    (_number(0, 1, 2**31 - 1), "atom 1 has the atomic number"),
    (_number(1, 2, 5), "edge 2 starts at atom 5, but there are 3"),
    (_number(1, 0, -1), "edge 0 starts at atom -1"),
    (_number(2, 3, 3), "edge 3 ends at atom 3"),
    (_number(2, 3, -(2**63)), "edge 3 ends at atom -"),
    (_number(1, 0, 2), "edge 1 starts at atom 0 after one that starts at 2; sort edges"),
    (_number(3, 4, np.nan), "the vector of edge 1 is not finite"),
    (_number(3, 4, np.inf), "the vector of edge 1 is not finite"),
    (_number(3, 4, 1e200), "the vector of edge 1 is not finite"),
    (_number(3, slice(0, 3), 0.0), "atoms 0 and 1 are 0.0+ Å apart .edge 0."),
    (_number(3, slice(0, 3), 1e-9), "apart"),
]


@pytest.mark.parametrize(("spoil", "words"), GRAPHS, ids=range(len(GRAPHS)))
def test_graphs_that_make_no_sense(model, spoil, words):
    call = Call(model)
    spoil(call)
    assert call.evaluate() == binding.BAD_ARGUMENT
    assert re.search(words, call.said()), call.said()


def test_unknown_elements(model):
    call = Call(model)
    call.arrays[0][2] = 94
    for evaluate in (call.evaluate, call.evaluate_structure):
        assert evaluate() == binding.UNKNOWN_ELEMENT
        assert call.said() == "atom 2 is Pu, which this model does not know; it knows H C O Si Cu"


def _cell(*numbers):
    def spoil(call):
        call.structure.cell[:] = numbers

    return spoil


STRUCTURES = [
    (_set("structure", struct_size=1), "struct_size"),
    (_set("structure", num_atoms=-5), "num_atoms is -5"),
    (_set("structure", positions=None), "positions is NULL"),
    (_set("structure", atomic_numbers=None), "atomic_numbers is NULL"),
    (lambda call: call.structure.periodic.__setitem__(1, 2), "periodic.1. is 2; it must be 0 or 1"),
    (lambda call: call.places.__setitem__((1, 1), np.nan), "position of atom 1 is not finite"),
    (lambda call: call.places.__setitem__((1, 1), 1e30), "very far"),
    (lambda call: call.places.__setitem__(1, call.places[0]), "apart"),
    (_cell(*[np.inf] * 9), "cell is not finite"),
    (_cell(*[0.0] * 9), "no volume"),
    (_cell(8, 0, 0, 8, 0, 0, 0, 0, 8), "no volume"),
    (_cell(1e-3, 0, 0, 0, 1e-3, 0, 0, 0, 1e-3), "very small"),
    (_cell(1e-300, 0, 0, 0, 8, 0, 0, 0, 8), "no volume|very small"),
]


@pytest.mark.parametrize(("spoil", "words"), STRUCTURES, ids=range(len(STRUCTURES)))
def test_structures_that_make_no_sense(model, spoil, words):
    call = Call(model)
    spoil(call)
    assert call.evaluate_structure() == binding.BAD_ARGUMENT
    assert re.search(words, call.said()), call.said()


def test_edge_gradients_of_a_structure_are_refused(model):
    call = Call(model)
    code = call.model.functions.tribond_evaluate_structure(
        model.handle, ctypes.byref(call.structure), ctypes.byref(call.results)
    )
    assert code == binding.BAD_ARGUMENT
    assert "edge_gradients are for tribond_evaluate" in call.said()


def test_null_where_something_must_be(model):
    functions, call = model.functions, Call(model)
    good = (model.handle, ctypes.byref(call.graph), ctypes.byref(call.results))
    for missing in range(3):
        arguments = [None if index == missing else argument for index, argument in enumerate(good)]
        assert functions.tribond_evaluate(*arguments) == binding.BAD_ARGUMENT
        assert "NULL" in call.said()
    handle = ctypes.c_void_p(1)
    assert functions.tribond_load(None, 0, ctypes.byref(handle)) == binding.BAD_ARGUMENT
    assert not handle.value
    assert functions.tribond_load(b"x", 0, None) == binding.BAD_ARGUMENT
    assert functions.tribond_load_bytes(None, 5, None, 0, ctypes.byref(handle)) == binding.BAD_ARGUMENT


def test_numbers_of_threads_and_bytes_that_make_no_sense(model):
    for threads in (0, -1, 10**6):
        with pytest.raises(binding.LibraryError, match="threads must be from 1 to 1024"):
            model.set_threads(threads)
    assert model.functions.tribond_set_kept_bytes(model.handle, -1) == binding.BAD_ARGUMENT


def test_a_later_program_may_have_more_fields_as_long_as_they_are_not_used(model):
    class Longer(ctypes.Structure):
        _fields_ = [("graph", binding.Graph), ("new", ctypes.c_int64)]

    call = Call(model)
    longer = Longer(call.graph)
    longer.graph.struct_size = ctypes.sizeof(Longer)
    arguments = (model.handle, ctypes.byref(longer), ctypes.byref(call.results))
    assert model.functions.tribond_evaluate(*arguments) == binding.OK
    longer.new = 1
    assert model.functions.tribond_evaluate(*arguments) == binding.UNSUPPORTED


def test_errors_belong_to_the_thread_that_made_them(model):
    call = Call(model)
    call.graph.num_owned = 7
    assert call.evaluate() == binding.BAD_ARGUMENT
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(model.functions.tribond_last_error()))
    thread.start()
    thread.join()
    assert elsewhere == [b""]
    assert "num_owned" in call.said()


FUZZ = """
import sys, time
sys.path.insert(0, {root!r})
import numpy as np
from tests.native import binding
from tests.native.test_doors import Call
random, content = np.random.default_rng(7), open({path!r}, "rb").read()
end, codes = time.monotonic() + {seconds}, set()
header = 8 + int.from_bytes(content[:8], "little")
model = binding.Model(content)
while time.monotonic() < end:
    spoilt = bytearray(content)
    for _ in range(random.integers(1, 5)):  # most of them in the header
        place = random.integers(header if random.random() < 0.9 else len(spoilt))
        kind = random.integers(3)
        if kind == 0: spoilt[place % len(spoilt)] = random.integers(256)
        elif kind == 1: del spoilt[place % len(spoilt) : place % len(spoilt) + random.integers(1, 9)]
        else: spoilt[place % len(spoilt):place % len(spoilt)] = bytes(random.integers(32, 127, random.integers(1, 9)).tolist())
    spoilt = spoilt.replace(b'checksum', b'zhecksum') if random.random() < 0.7 else spoilt
    try: binding.Model(bytes(spoilt)); codes.add(0)
    except binding.LibraryError as error: codes.add(error.code)
    call = Call(model)
    for _ in range(random.integers(1, 4)):
        part = (call.graph, call.results, call.structure)[random.integers(3)]
        names = [name for name, _ in part._fields_ if name.startswith(("num_", "struct"))]
        kind = random.integers(3)
        if kind == 0: setattr(part, str(random.choice(names)), int(random.choice([0, -1, 1, 2, 4, 2**31, 2**62])))
        elif kind == 1:
            array = call.arrays[random.integers(4)]
            array.flat[random.integers(array.size)] = random.choice([-1, 0, 1, 2, 3, 7, 2**31 - 1])
        else: call.arrays[3].flat[random.integers(18)] = random.choice([np.nan, np.inf, 0, 1e-200, 1e200, -3.0])
    if call.graph.num_atoms <= 3 and call.graph.num_edges <= 6: codes.add(10 + call.evaluate())  # no longer than it is
    if call.structure.num_atoms <= 3: codes.add(10 + call.evaluate_structure())
print(sorted(codes))
"""


def test_random_files_and_graphs_never_crash_it(path):
    """In a process of its own, which would not be here any more."""
    root = str(Path(__file__).parents[2])
    program = FUZZ.format(root=root, path=str(path), seconds=4)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    codes = set(map(int, ran.stdout.strip("[]\n").split(", ")))
    assert {binding.BAD_FILE, 10, 10 + binding.BAD_ARGUMENT} <= codes
    assert not codes & {binding.FAILED, 10 + binding.FAILED}
