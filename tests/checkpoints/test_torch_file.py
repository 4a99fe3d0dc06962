"""Foreign PyTorch files are data: nothing in them is run, and what is not plain data is refused by its name.

Asked for in matgl#762 and m3gnet#20: checkpoints whose pickles are executed, or break.
"""

import copy
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import tribond
from tribond.checkpoints import torch_file
from tribond.checkpoints.torch_file import read_torch_file
from tribond.errors import CheckpointError

HOME = Path(__file__).parents[1] / "parity" / "home"


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def poisoned(content, marker: Path):
    """The content of a good file with a trap in every place where a class may be looked for."""
    return [
        content | {"description": Trap(marker)},
        content | {"ema": {"shadow_params": [Trap(marker)]}},
        [Trap(marker)],
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_trap_in_a_mattersim_file_is_not_sprung(tmp_path, place):
    marker, path = tmp_path / "sprung", tmp_path / "model.pth"
    content = torch.load(HOME / "mattersim_potential" / "checkpoint.pth", weights_only=True)
    torch.save(poisoned(content, marker)[place], path)
    with pytest.raises(CheckpointError, match=r"model\.pth asks to run .*mkdir"):
        tribond.load(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # the trap works


@pytest.mark.parametrize("name", ["model.pt", "state.pt"])
def test_a_trap_in_a_matgl_folder_is_not_sprung(tmp_path, name):
    marker = tmp_path / "sprung"
    source = HOME / "matgl_dgl_2.2.1_potential_smooth"
    for file in ("model.json", "model.pt", "state.pt"):
        (tmp_path / file).write_bytes((source / file).read_bytes())
    content = torch.load(source / name, weights_only=False)
    torch.save({**content, "extra": Trap(marker)}, tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name} asks to run .*mkdir"):
        tribond.load(tmp_path)
    assert not marker.exists()


def test_a_class_that_pretends_to_be_matgls_gets_no_code(tmp_path):
    """The stand-in has the name and the numbers, and nothing else of the class."""
    path = tmp_path / "model.pt"
    payload = b"\x80\x02cmatgl.data.transformer\nNormalizer\n)\x81}(X\x04\x00\x00\x00meanG?\xf0\x00\x00\x00\x00\x00\x00X\x03\x00\x00\x00stdG@\x00\x00\x00\x00\x00\x00\x00ub."
    write_archive(path, payload)
    normalizer = read_torch_file(path)
    assert type(normalizer) is torch_file.Normalizer
    assert (normalizer.mean, normalizer.std) == (1.0, 2.0)


def write_archive(path: Path, payload: bytes) -> None:
    """A file as torch.save lays it out, with any bytes for a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


@pytest.mark.parametrize(
    "payload",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"ctorch\nload\n(S'x'\ntR.",
        b"cmatgl.data.transformer\nFunction\n)R.",
    ],
)
def test_names_of_functions_are_refused(tmp_path, payload):
    path = tmp_path / "model.pt"
    write_archive(path, payload)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        read_torch_file(path)


@pytest.mark.parametrize("payload", [b"", b".", b"nonsense", b"cposix\n", b"\x80\x02}(X"])
def test_pickles_of_nonsense_are_refused(tmp_path, payload):
    path = tmp_path / "model.pt"
    write_archive(path, payload)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        read_torch_file(path)


def test_old_and_bare_pickles_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="zip archives"):
        read_torch_file(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="zip archives"):
        read_torch_file(path)


@pytest.mark.parametrize("keep", [10, 200, 0.5, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, keep):
    content = (HOME / "mattersim_potential" / "checkpoint.pth").read_bytes()
    path = tmp_path / "short.pth"
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"short\.pth"):
        tribond.load(path)


def test_plain_data_comes_back(tmp_path):
    """What published files hold: tensors, numbers, containers, and arrays and numbers of numpy, as tensors."""
    content = OrderedDict(
        tensor=torch.arange(3.0),
        numbers=(1, 2.5, True, None, "text"),
        array=np.arange(4.0),
        small=np.arange(4, dtype=np.float32),
        columns=np.asfortranarray(np.arange(6).reshape(2, 3)),
        scalar=np.float64(3.5),
    )
    torch.save(content, tmp_path / "data.pt")
    again = read_torch_file(tmp_path / "data.pt")
    assert torch.equal(again["tensor"], content["tensor"])
    assert again["numbers"] == content["numbers"]
    for name in ("array", "small", "columns"):
        assert torch.equal(again[name], torch.from_numpy(content[name].copy())), name
        assert again[name].dtype == torch.from_numpy(content[name].copy()).dtype
    assert again["scalar"] == 3.5


def test_arrays_of_objects_are_refused(tmp_path):
    torch.save({"array": np.array([1, "two", None], dtype=object)}, tmp_path / "data.pt")
    with pytest.raises(CheckpointError, match=r"data\.pt"):
        read_torch_file(tmp_path / "data.pt")


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


# numpy.ndarray((1,), "O", b"AAAAAAAA"): an array whose object is at an address of the file's choosing.
OBJECT_AT_ANY_ADDRESS = (
    b"cnumpy\nndarray\n(K\x01\x85" + text("O") + b"c_codecs\nencode\n" + text("A" * 8) + text("latin1") + b"\x86RtR"
)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x80\x02" + OBJECT_AT_ANY_ADDRESS + b".",
        b"\x80\x02cnumpy\nndarray\n" + OBJECT_AT_ANY_ADDRESS + b"\x85R.",
        b"\x80\x02}" + text("model_name") + OBJECT_AT_ANY_ADDRESS + b"s.",
    ],
    ids=["alone", "as a shape", "as a name"],
)
def test_an_array_over_bytes_of_the_file_is_never_built(tmp_path, payload):
    """numpy's own classes would let a file read and write any memory; in a process of its own, should they be back."""
    path = tmp_path / "model.pth"
    write_archive(path, payload)
    code = f"import tribond\ntry:\n    tribond.load({str(path)!r})\nexcept tribond.errors.CheckpointError:\n    print('refused')"
    done = subprocess.run(
        [sys.executable, "-c", f"import tribond.errors\n{code}"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "refused\n", done.stderr


def test_many_threads_read_at_once(tmp_path):
    torch.save({"array": np.arange(4.0)}, tmp_path / "data.pt")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read_torch_file(tmp_path / "data.pt")["array"].sum().item(), range(80)))
    assert found == [6.0] * 80


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match="compressed"):
        read_torch_file(path)


@pytest.mark.parametrize("allowed", [[], [np.ndarray, np.dtype]], ids=["nothing", "some of the same"])
def test_reading_leaves_what_pytorch_allows_as_it_was(tmp_path, allowed):
    torch.save({"a": np.arange(3)}, tmp_path / "data.pt")
    with torch.serialization.safe_globals(allowed):
        before = torch.serialization.get_safe_globals()
        read_torch_file(tmp_path / "data.pt")
        assert set(torch.serialization.get_safe_globals()) == set(before)


SHARED_LISTS = b"(]q\x00" + b"".join(
    b"]" + b"q" + bytes([k]) + b"(h" + bytes([k - 1]) + b"h" + bytes([k - 1]) + b"e" for k in range(1, 60)
)


def test_what_is_shared_is_not_copied_out(tmp_path):
    """Sixty lists, each twice in the next, would be 2⁶⁰."""
    write_archive(tmp_path / "model.pth", b"\x80\x02" + SHARED_LISTS + b"t.")
    assert len(read_torch_file(tmp_path / "model.pth")) == 60


@pytest.mark.parametrize("name", ["builtins\nbytearray", "torch\nFloatTensor", "torch.cuda\nHalfTensor"])
def test_memory_for_nothing_is_refused(tmp_path, name):
    write_archive(tmp_path / "model.pth", b"\x80\x02c" + name.encode() + b"\nK\x10\x85R.")
    with pytest.raises(CheckpointError, match=f"asks for {name}".replace("\n", ".")):
        read_torch_file(tmp_path / "model.pth")


def test_entries_that_overlap_are_refused(tmp_path):
    path = tmp_path / "model.pth"
    write_archive(path, b"\x80\x02}.")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", bytes(1000))
        again = copy.copy(archive.infolist()[-1])
        again.filename = again.orig_filename = "archive/data/1"
        archive.filelist.append(again)
        archive.comment = b"so that the directory is written"
    with pytest.raises(CheckpointError, match="overlap"):
        read_torch_file(path)


def test_a_second_directory_does_not_count(tmp_path):
    """Python takes the directory before the end of an archive, PyTorch the one that its end points to."""
    first, second, both = tmp_path / "first.pth", tmp_path / "second.pth", tmp_path / "both.pth"
    torch.save({"a": torch.ones(3)}, first)
    torch.save({"a": torch.zeros(4)}, second)
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert len(read_torch_file(both)["a"]) == 4
