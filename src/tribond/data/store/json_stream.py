"""The values of a huge JSON file, one after the other: of a list, of a dictionary, or one a line."""

import json
from collections.abc import Iterator
from typing import IO, Any

PIECE = 1 << 20  # letters read at a time
LARGEST = 1 << 29  # letters of one value: more is no structure
SPACE = " \t\n\r"


class JsonError(ValueError):
    """The file is no JSON from some place on."""


class _Window:
    """The part of the text that is looked at."""

    def __init__(self, text: IO[str]) -> None:
        self.text, self.held, self.at, self.before = text, "", 0, 0
        self.ended = False
        self.decoder = json.JSONDecoder()

    def more(self, size: int = PIECE) -> bool:
        """Read on; False at the end of the file."""
        piece = self.text.read(size)
        self.before += self.at
        self.held, self.at = self.held[self.at :] + piece, 0
        self.ended = not piece
        return bool(piece)

    def peek(self) -> str:
        """The next letter that is no space; empty at the end."""
        while True:
            while self.at < len(self.held) and self.held[self.at] in SPACE:
                self.at += 1
            if self.at < len(self.held) or not self.more():
                return self.held[self.at : self.at + 1]

    def take(self, letter: str) -> None:
        if self.peek() != letter:
            raise JsonError(self._where(f"{letter!r} was expected"))
        self.at += 1

    def end(self, letter: str) -> None:
        """The last bracket: nothing may follow, as in files that were put together."""
        self.take(letter)
        if self.peek():
            raise JsonError(self._where("more follows after the end"))

    def value(self) -> Any:
        """The next value, as far as it has to be read for it."""
        self.peek()
        size = PIECE
        while True:
            try:
                value, end = self.decoder.raw_decode(self.held, self.at)
            except json.JSONDecodeError as error:
                # A mistake far from the end is one; near the end it may be that the rest is still to come.
                cut = error.pos > len(self.held) - 64 or error.msg.startswith("Unterminated string")
                if not cut or len(self.held) - self.at > LARGEST or not self.more(size):
                    raise JsonError(self._where(error.msg, error.pos - self.at)) from error
                size *= 2  # otherwise a long value would be read anew from its beginning too often
                continue
            except RecursionError as error:
                raise JsonError(self._where("values lie too deep in each other")) from error
            if end == len(self.held) and not self.ended and self.held[end - 1] not in '}]"':
                self.more(size)  # a number may go on
                continue
            self.at = end
            return value

    def _where(self, what: str, ahead: int = 0) -> str:
        return f"{what} at character {self.before + self.at + ahead}"


def values(text: IO[str]) -> Iterator[tuple[str | None, Any]]:
    """Values, each with its key where the file is a dictionary.

    A file of one object a line gives these objects. NaN and Infinity are read as Python writes them.

    Raises:
        JsonError: where the file stops being JSON, or where more follows after its end.
    """
    window = _Window(text)
    opening = window.peek()
    if opening == "[":
        window.take("[")
        if window.peek() == "]":
            window.end("]")
            return
        while True:
            yield None, window.value()
            if window.peek() == "]":
                window.end("]")
                return
            window.take(",")
    if opening != "{":
        raise JsonError("it begins neither with { nor with [")
    if _one_a_line(window):
        while window.peek():
            yield None, window.value()
        return
    window.take("{")
    if window.peek() == "}":
        window.end("}")
        return
    while True:
        key = window.value()
        window.take(":")
        yield str(key), window.value()
        if window.peek() == "}":
            window.end("}")
            return
        window.take(",")


def _one_a_line(window: _Window) -> bool:
    """Whether the first line is an object that is a record by itself."""
    while "\n" not in window.held[window.at :] and len(window.held) < 64 * PIECE and window.more():
        pass
    line = window.held[window.at :].partition("\n")[0]
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "structure" in first
