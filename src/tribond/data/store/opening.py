"""Streams of text from files that may be compressed, and never unpack to absurd sizes."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# What reading a damaged or cut-off file raises.
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, UnicodeDecodeError)


@contextmanager
def text_of(path: Path) -> Iterator[IO[str]]:
    """The file as text, unpacked while it is read: whatever it unpacks to is never in memory as a whole."""
    with path.open("rb") as stream:
        head = stream.read(8)
    opener = next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), None)
    with (open if opener is None else opener)(path, "rt", encoding="utf-8", newline=None) as text:
        yield text


def beginning(path: Path, size: int = 1 << 16) -> str:
    """The first letters of a file, unpacked; empty if it is no text."""
    try:
        with text_of(path) as text:
            return text.read(size)
    except DAMAGED:
        return ""


def why(error: BaseException) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
