"""Reading TensorFlow's checkpoints, an index and its data shards, without TensorFlow.

The index is a sorted string table as LevelDB writes it (blocks of keys that share prefixes; a footer that points to the
block of blocks). Its values are small protocol buffers: where in which shard a tensor lies, its type and shape, and a
checksum. Formats: tensorflow/core/protobuf/tensor_bundle.proto, leveldb/doc/table_format.md.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tribond.errors import CheckpointError

MAGIC = 0xDB4775248B80FB57
FOOTER_SIZE = 48
TRAILER_SIZE = 5  # of a block: how it is compressed, and a checksum
DTYPES: dict[int, np.dtype[np.generic]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
    19: np.dtype("<f2"),
}
STRING = 7  # no tensor of the model, but TensorFlow's own notes on its objects
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
# A file may say anything: beyond these bounds, which no real one comes near, it is nonsense and may cost no more time.
LONGEST_VARINT = 10  # bytes
LONGEST_KEY = 1000  # bytes
MOST_SHARDS = 99_999  # their numbers have five digits
MOST_DIMENSIONS = 8
MOST_NUMBERS = 2**40  # in a tensor, were its empty dimensions one long


@dataclass
class Entry:
    """Where a tensor lies: `BundleEntryProto`."""

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    sliced: bool = False


def read_tensor_bundle(prefix: Path) -> dict[str, Tensor]:
    """All numeric tensors of a checkpoint by their keys.

    Args:
        prefix: path without ending: PREFIX.index and PREFIX.data-00000-of-00001 and so on are read.

    Raises:
        CheckpointError: if a file is missing, damaged or of another kind.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    entries: dict[str, Entry] = {}
    num_shards = 1
    last: bytes | None = None
    try:
        for key, value in _read_table(index):
            if last is not None and key <= last:  # keys ascend; blocks that are read again and again do not
                raise IndexError(key)
            last = key
            if key == b"":
                num_shards = _read_header(value, index)
            else:
                entries[key.decode()] = _read_entry(value)
        if max((entry.shard for entry in entries.values()), default=0) >= num_shards or num_shards > MOST_SHARDS:
            raise IndexError(num_shards)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        msg = f"{index} is damaged; download or copy it again"
        raise CheckpointError(msg) from error
    shards = {}
    for number in sorted({entry.shard for entry in entries.values()}):
        path = prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{num_shards:05d}")
        shards[number] = (path, _read_bytes(path))
    tensors = {}
    read = dict.fromkeys(shards, 0)  # bytes of every shard: no file holds the same bytes twice
    for name, entry in entries.items():
        path, content = shards[entry.shard]
        read[entry.shard] += entry.size
        if read[entry.shard] > len(content):
            msg = f"{path} is too short for what the index says it holds; download or copy both again"
            raise CheckpointError(msg)
        if entry.dtype != STRING:
            tensors[name] = _read_tensor(name, entry, path, content)
    return tensors


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        msg = f"{path} is missing; a TensorFlow checkpoint is an .index file and all its .data files in one folder"
        raise CheckpointError(msg) from error


def _read_tensor(key: str, entry: Entry, path: Path, content: bytes) -> Tensor:
    if entry.sliced or entry.dtype not in DTYPES:
        msg = f"{path}: the tensor {key!r} is stored in a way that tribond does not read (type {entry.dtype})"
        raise CheckpointError(msg)
    data = content[entry.offset : entry.offset + entry.size]
    dtype = DTYPES[entry.dtype]
    if len(data) < entry.size or len(data) != dtype.itemsize * math.prod(entry.shape):
        msg = f"{path} is too short: it ends before the tensor {key!r} does; download or copy it again"
        raise CheckpointError(msg)
    if _masked_crc32c(data) != entry.checksum:
        msg = f"{path} is damaged: the checksum of {key!r} is wrong; download or copy it again"
        raise CheckpointError(msg)
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(entry.shape).copy())


# --------------------------------------------------------------------------------------- the table


def _read_table(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a sorted string table."""
    content = _read_bytes(path)
    footer = content[-FOOTER_SIZE:]
    if len(footer) < FOOTER_SIZE or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        msg = f"{path} is no whole index of a TensorFlow checkpoint; download or copy it again"
        raise CheckpointError(msg)
    position = 0
    for _ in range(2):  # the block about the table is not needed
        _, position = _varint(footer, position)
    offset, position = _varint(footer, position)
    size, _ = _varint(footer, position)
    end = 0
    for _, handle in _read_block(path, content, offset, size):
        start, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        if start < end:  # blocks lie one after another; none is read twice
            raise IndexError(start)
        end = start + length + TRAILER_SIZE
        yield from _read_block(path, content, start, length)


def _read_block(path: Path, content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = content[offset : offset + size + TRAILER_SIZE]
    if len(block) < size + TRAILER_SIZE or _masked_crc32c(block[: size + 1]) != struct.unpack("<I", block[-4:])[0]:
        msg = f"{path} is damaged: the checksum of a block is wrong; download or copy it again"
        raise CheckpointError(msg)
    if block[size] != 0:
        msg = f"{path} is compressed, as no checkpoint that TensorFlow writes is; tribond does not read it"
        raise CheckpointError(msg)
    num_restarts = struct.unpack("<I", block[size - 4 : size])[0]
    end = size - 4 - 4 * num_restarts
    if end < 0:
        raise IndexError(num_restarts)
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or shared + unshared > LONGEST_KEY:
            raise IndexError(position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


# ------------------------------------------------------------------------------ protocol buffers


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError(position)


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, integer value and byte value of every field of a message; one of the values is empty."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, position = _varint(data, position)
            yield number, value, b""
        elif wire == BYTES:
            length, position = _varint(data, position)
            yield number, 0, data[position : position + length]
            position += length
        elif wire in {FIXED32, FIXED64}:
            width = 4 if wire == FIXED32 else 8
            yield number, int.from_bytes(data[position : position + width], "little"), b""
            position += width
        else:
            raise IndexError(wire)


def _read_header(data: bytes, path: Path) -> int:
    """The number of shards of `BundleHeaderProto`."""
    values = {number: value for number, value, _ in _fields(data)}
    if values.get(2, 0) != 0:
        msg = f"{path} was written on a big-endian machine; tribond does not read it"
        raise CheckpointError(msg)
    return values.get(1, 1)


def _read_entry(data: bytes) -> Entry:
    entry = Entry()
    for number, value, content in _fields(data):
        match number:
            case 1:
                entry.dtype = value
            case 2:
                entry.shape = [
                    next((size for n, size, _ in _fields(dim) if n == 1), 0) for n, _, dim in _fields(content) if n == 2
                ]
                sizes = [max(size, 1) for size in entry.shape]
                if len(sizes) > MOST_DIMENSIONS or math.prod(sizes) > MOST_NUMBERS:
                    raise IndexError(sizes)
            case 3:
                entry.shard = value
            case 4:
                entry.offset = value
            case 5:
                entry.size = value
            case 6:
                entry.checksum = value
            case 7:
                entry.sliced = True
    return entry


# -------------------------------------------------------------------------------------- checksum


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc32c_table()


def _masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) in the disguise that LevelDB and TensorFlow store it in."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
