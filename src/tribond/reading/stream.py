"""A text that says when it is read beyond its end: readers that trust a count would ask it for lines for ever."""

import io
from pathlib import Path

from tribond.errors import StructureError

PATIENCE = 100  # empty answers


class EndingText(io.TextIOWrapper):
    """A file whose end is answered a hundred times, and then with an error."""

    asked = 0

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """As of any file.

        Raises:
            StructureError: if nobody listens.
        """
        line = super().readline(size)
        if not line and size != 0:
            self.asked += 1
            if self.asked > PATIENCE:
                msg = "the file claims more lines than it has; it is damaged or cut off"
                raise StructureError(msg)
        return line


def open_text(path: Path, encoding: str | None) -> EndingText:
    """The file, to be closed by the caller."""
    return EndingText(path.open("rb"), encoding=encoding)
