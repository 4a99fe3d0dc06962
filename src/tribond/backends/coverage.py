"""The words in which a backend states which models it computes: a table with an entry for every field of a config.

A field or a value that `nn` learns later stands in no table. A test then fails until every backend has said what it makes
of the new field; a new value of an old field goes to automatic differentiation until somebody writes it into a table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tribond.nn.config import M3GNetConfig


@dataclass(frozen=True)
class Values:
    """Values of one field that a backend computes."""

    words: str
    holds: Callable[[Any], bool]


Table = Mapping[str, Values]

ANY = Values("any value", lambda _: True)
# Fields of readouts and states that the table excludes by other entries: nothing of them reaches the backend.
NOT_READ = Values("never read", lambda _: True)


def one_of(*values: Any) -> Values:
    """These values alone: for choices, so that a new one is not taken for computed."""
    return Values(" or ".join(map(repr, values)), lambda value: value in values)


def widths(fewest: int, most: int | None = None, widest: int | None = None) -> Values:
    """Hidden layers, so many and so wide."""
    words = f"{fewest} layers or more" if most is None else f"{fewest} to {most} layers"
    words += "" if widest is None else f" of at most {widest} features"
    return Values(
        words,
        lambda of: (
            fewest <= len(of) and (most is None or len(of) <= most) and (widest is None or max(of, default=0) <= widest)
        ),
    )


def at_most(number: int) -> Values:
    """Numbers up to this one."""
    return Values(f"at most {number}", lambda value: value <= number)


@dataclass(frozen=True)
class Coverage:
    """Which configs a backend computes.

    Args:
        name: of the backend, for messages.
        table: for each field of a config.
        together: what fields must fulfil together, in words and as a function.
    """

    name: str
    table: Table
    together: Sequence[tuple[str, Callable[[M3GNetConfig], bool]]] = ()

    def computes(self, config: M3GNetConfig) -> bool:
        """Whether this is one of them."""
        return next(self.missing(config), None) is None

    def missing(self, config: M3GNetConfig) -> Iterator[str]:
        """What of a config is not computed, one sentence each."""
        for field in fields(config):
            value, computed = getattr(config, field.name), self.table.get(field.name)
            if computed is None:
                yield f"{self.name} does not know {field.name}"
            elif not computed.holds(value):
                yield f"{self.name} computes {field.name} with {computed.words}, not {value!r}"
        for words, holds in self.together:
            if not holds(config):
                yield f"{self.name} computes models with {words}"
