"""What reading a file gives, and what may be said about how to read it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ase import Atoms

from tribond.errors import StructureError

Found: TypeAlias = Atoms | StructureError  # a structure, or what is wrong with it


@dataclass(frozen=True)
class Options:
    """What the user says about a file.

    Attributes:
        format: its format, where name and content do not say it.
        elements: of the types 1, 2, ... of files that have types of atoms instead of elements.
    """

    format: str | None = None
    elements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """The structures of a file. One that is bad does not cost the others."""

    format: str  # ASE's name of the format where it has one
    found: Sequence[Found]
    notes: list[str] = field(default_factory=list)  # what the user should know though all is well

    @property
    def images(self) -> list[Atoms]:
        """All structures, if all are good.

        Raises:
            StructureError: naming the first that is not.
        """
        return [good(it, number if len(self.found) > 1 else None) for number, it in enumerate(self.found)]


def good(found: Found, number: int | None = None) -> Atoms:
    """The structure, if it is one.

    Raises:
        StructureError: otherwise, with its number in the file.
    """
    if isinstance(found, StructureError):
        raise type(found)(str(found) if number is None else f"structure {number}: {found}") from found
    return found


TextReader: TypeAlias = Callable[[str, Options], tuple[Sequence[Found], list[str]]]
