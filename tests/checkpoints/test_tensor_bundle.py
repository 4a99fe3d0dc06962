"""TensorFlow's checkpoints are read without TensorFlow, and damage is found."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tribond.checkpoints.tensor_bundle import MAGIC, _masked_crc32c, _varint, read_tensor_bundle
from tribond.errors import CheckpointError

SOURCE = Path(__file__).parents[1] / "parity" / "home" / "tensorflow_weighted_atom_states"
INDEX, DATA = "m3gnet.index", "m3gnet.data-00000-of-00001"


@pytest.fixture
def bundle(tmp_path) -> Path:
    for name in (INDEX, DATA):
        shutil.copy(SOURCE / name, tmp_path / name)
    return tmp_path / "m3gnet"


def test_tensors_come_with_their_names_shapes_and_types(bundle):
    tensors = read_tensor_bundle(bundle)
    layer = "graph_layers/0/atom_network/bond_dense/pipe/layers/0"
    assert tensors[f"{layer}/kernel/.ATTRIBUTES/VARIABLE_VALUE"].shape == (3 * 8 + 2, 8)  # two atoms, a bond, the state
    assert tensors[f"{layer}/bias/.ATTRIBUTES/VARIABLE_VALUE"].shape == (8,)
    assert {tensor.dtype for name, tensor in tensors.items() if name.startswith("graph")} == {torch.float32}


@pytest.mark.parametrize(
    ("text", "checksum"),
    [(b"", 0x0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (bytes(range(32)), 0x46DD794E)],
)
def test_checksums_are_those_of_the_standard(text, checksum):
    """RFC 3720, appendix B.4; and the mask of LevelDB."""
    masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _masked_crc32c(text) == masked


@pytest.mark.parametrize(("data", "value"), [(b"\x00", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xac\x02", 300)])
def test_integers_of_protocol_buffers(data, value):
    assert _varint(data, 0) == (value, len(data))


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_a_missing_file_is_named(bundle, name):
    bundle.with_name(name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        read_tensor_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "keep"), [(INDEX, 0), (INDEX, 40), (INDEX, 0.5), (INDEX, -1), (DATA, 0), (DATA, 40), (DATA, 0.3)]
)
def test_a_file_that_was_cut_off_is_refused(bundle, name, keep):
    path = bundle.with_name(name)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=name):
        read_tensor_bundle(bundle)


def test_no_flipped_byte_goes_unnoticed(bundle):
    """Every byte of a tensor and of the index is covered by a checksum, but for some of the footer's padding."""
    before = {name: tensor.numpy().copy() for name, tensor in read_tensor_bundle(bundle).items()}
    for name in (INDEX, DATA):
        path = bundle.with_name(name)
        content = path.read_bytes()
        for position in np.linspace(0, len(content) - 60, 40).astype(int):
            path.write_bytes(content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :])
            try:
                after = read_tensor_bundle(bundle)
            except CheckpointError:
                continue
            assert after.keys() == before.keys()  # a byte of TensorFlow's own notes
            assert all(np.array_equal(after[key].numpy(), value) for key, value in before.items())
        path.write_bytes(content)


def varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]], restarts: int = 1, said: int | None = None) -> bytes:
    content = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    content += bytes(4 * restarts) + struct.pack("<I", restarts if said is None else said) + b"\0"
    return content + struct.pack("<I", _masked_crc32c(content))


def index(only: bytes, *, times: int = 1) -> bytes:
    """An index of one block of data, named any number of times."""
    handle = varint(0) + varint(len(only) - 5)
    blocks = block([(b"key %d" % number, handle) for number in range(times)])
    footer = varint(0) * 2 + varint(len(only)) + varint(len(blocks) - 5)
    return only + blocks + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def tensor(*shape: int) -> tuple[bytes, bytes]:
    sizes = b"".join(field(2, field(1, size)) for size in shape)
    checksum = varint(6 << 3 | 5) + struct.pack("<I", _masked_crc32c(b""))
    return b"a", field(1, 1) + field(2, sizes) + field(3, 0) + field(4, 0) + field(5, 0) + checksum


HEADER = (b"", field(1, 1))


def test_an_index_that_is_put_together_is_read(bundle):
    bundle.with_name(INDEX).write_bytes(index(block([HEADER, tensor(0, 3)])))
    assert read_tensor_bundle(bundle)["a"].shape == (0, 3)


@pytest.mark.parametrize(
    "content",
    [
        index(block([HEADER, tensor(0, 2**62, 2**62)])),
        index(block([HEADER, tensor(0, 2**63)])),
        index(block([HEADER, tensor(0, *[1] * 100)])),
        index(block([HEADER, tensor(*[2**69] * 40_000)])),
        index(block([HEADER], said=2**32 - 1)),
        index(block([], restarts=100_000), times=10_000),
    ],
    ids=["numbers", "length", "dimensions", "product", "restarts", "the same block"],
)
def test_an_index_of_nonsense_is_refused_at_once(bundle, content):
    """Its checksums are right. The last two would otherwise pass for empty, or take an hour."""
    bundle.with_name(INDEX).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{INDEX} is damaged"):
        read_tensor_bundle(bundle)
