"""Which way to keep many frames: flat arrays (mapped, or read piece by piece) or LMDB. Start, random reads, memory.

    python -m benchmarks.store_layouts FOLDER [frames]

Each way is measured in a process of its own, once with the pages of the file dropped from memory and once with them there.
"""

import json
import multiprocessing
import os
import resource
import struct
import sys
import time
from pathlib import Path

import numpy as np

MEAN_ATOMS = 25
READS = 20_000
BYTES = 8 + 72 + 72 + 8  # of a record's head in LMDB: energy, cell, stress, number of atoms


def make(folder: Path, frames: int) -> None:
    """Frames of random numbers, in both ways."""
    random = np.random.default_rng(0)
    sizes = random.integers(1, 2 * MEAN_ATOMS, frames)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    np.save(folder / "offsets.npy", offsets)
    began = time.perf_counter()
    with (folder / "atoms.bin").open("wb") as flat:
        for first in range(0, frames, 10_000):
            last = min(frames, first + 10_000)
            atoms = int(offsets[last] - offsets[first])
            positions, forces = random.random((2, atoms, 3))
            numbers = random.integers(1, 90, atoms).astype(np.uint8)
            for row in range(first, last):
                part = slice(int(offsets[row] - offsets[first]), int(offsets[row + 1] - offsets[first]))
                flat.write(positions[part].tobytes() + forces[part].tobytes() + numbers[part].tobytes())
        os.fsync(flat.fileno())
    said("write flat", time.perf_counter() - began)
    try:
        import lmdb
    except ImportError:
        return
    began = time.perf_counter()
    environment = lmdb.open(str(folder / "store.lmdb"), subdir=False, map_size=1 << 36, lock=False)
    for first in range(0, frames, 10_000):
        with environment.begin(write=True) as transaction:
            for row in range(first, min(frames, first + 10_000)):
                size = int(sizes[row])
                head = np.zeros(19)
                body = random.random(6 * size).tobytes() + bytes(size)
                transaction.put(struct.pack(">Q", row), struct.pack("<q", size) + head.tobytes() + body, append=True)
    environment.close()
    said("write LMDB", time.perf_counter() - began)


def said(what: str, value: object) -> None:
    """One line of JSON."""
    print(json.dumps({what: value}), flush=True)


def forget(path: Path) -> None:
    """Drop the pages of a file from memory."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def measure(way: str, folder: Path) -> None:
    """Open, read frames at random, say how long and how much memory."""
    before = resident()
    began = time.perf_counter()
    offsets = np.load(folder / "offsets.npy", mmap_mode="r")
    frames = len(offsets) - 1
    rows = np.random.default_rng(1).integers(0, frames, READS).tolist()
    if way == "LMDB":
        import lmdb

        environment = lmdb.open(str(folder / "store.lmdb"), subdir=False, readonly=True, lock=False, readahead=False)
        transaction = environment.begin(buffers=True)

        def read(row: int) -> float:
            record = transaction.get(struct.pack(">Q", row))
            size = struct.unpack_from("<q", record)[0]
            numbers = np.frombuffer(record, dtype=np.float64, count=6 * size, offset=160).copy()
            return numbers[0]

    elif way == "mapped":
        content = np.memmap(folder / "atoms.bin", dtype=np.uint8, mode="r")

        def read(row: int) -> float:
            begin, end = int(offsets[row]), int(offsets[row + 1])
            part = content[49 * begin : 49 * end]
            return part[: 48 * (end - begin)].view(np.float64).copy()[0] if begin * 49 % 8 == 0 else bytes(part)[0]

    else:
        handle = os.open(folder / "atoms.bin", os.O_RDONLY)

        def read(row: int) -> float:
            begin, end = int(offsets[row]), int(offsets[row + 1])
            part = os.pread(handle, 49 * (end - begin), 49 * begin)
            return np.frombuffer(part, dtype=np.float64, count=6 * (end - begin))[0]

    read(0)
    opened = time.perf_counter() - began
    began = time.perf_counter()
    for row in rows:
        read(row)
    spent = time.perf_counter() - began
    said(
        f"{way}",
        {"open s": round(opened, 4), "us a read": round(1e6 * spent / READS, 2), "resident MB": resident() - before},
    )


def resident() -> int:
    """MB of this process, mapped files included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Make, then measure every way, cold and warm."""
    folder, frames = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, frames)
    for way, name in (("pieces", "atoms.bin"), ("mapped", "atoms.bin"), ("LMDB", "store.lmdb")):
        if not (folder / name).exists():
            continue
        for state in ("cold", "warm"):
            if state == "cold":
                forget(folder / name)
            print(state, end=" ", flush=True)
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(way, folder))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
