"""What reading a file gives, and what may be said about how to read it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ase import Atoms


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
    """The structures of a file."""

    format: str  # ASE's name of the format where it has one
    images: list[Atoms]
    notes: list[str] = field(default_factory=list)  # what the user should know though all is well


TextReader: TypeAlias = Callable[[str, Options], tuple[list[Atoms], list[str]]]
