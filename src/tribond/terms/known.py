"""Terms by their names, and where a model file says which ones belong to it."""

from collections.abc import Mapping
from typing import Any

from tribond.errors import ConfigError
from tribond.terms.d3 import KIND, Dispersion
from tribond.terms.term import Term

KEY = "energy_terms"  # of the metadata of a model: a list of names


def term_named(name: object) -> Term:
    """The term of a name such as d3bj:pbe; whether it can be computed here is not looked at.

    Raises:
        ConfigError: if it is not the name of one.
    """
    kind, _, functional = str(name).partition(":")
    if not isinstance(name, str) or kind != KIND or not functional or not functional.isprintable():
        msg = f"{name!r} is no term that can be added to an energy; there is {KIND}:FUNCTIONAL, such as {KIND}:pbe"
        raise ConfigError(msg)
    return Dispersion(functional)


def terms_of(metadata: Mapping[str, Any]) -> tuple[Term, ...]:
    """What a model's metadata say is added to its network's energy.

    Raises:
        ConfigError: if they name something unknown, or a term twice.
    """
    names = metadata.get(KEY, [])
    if not isinstance(names, list | tuple):
        msg = f"{KEY} must be a list of names such as {KIND}:pbe, not {names!r}"
        raise ConfigError(msg)
    terms = tuple(map(term_named, names))
    if len(terms) > 1:
        msg = f"an energy has dispersion once, not {', '.join(map(str, names))}"
        raise ConfigError(msg)
    return terms
