"""Potentials with dispersion added, or taken off again."""

from tribond.errors import ConfigError
from tribond.models.potential import Potential
from tribond.terms.known import KEY, term_named


def with_dispersion(potential: Potential, functional: str = "pbe") -> Potential:
    """The same potential with DFT-D3(BJ) added to energy, forces, stress and hessian; the one given is not changed.

    Only for potentials whose labels were without: `docs/terms.md`.

    Args:
        potential: trained on a functional without dispersion.
        functional: the one of its labels, by a name of the library: pbe, pbesol, rpbe, r2scan, ...

    Raises:
        ConfigError: if it has dispersion already, is no `Potential`, or the package dftd3 is missing or does not know the
            functional.
    """
    given: object = potential
    if not isinstance(given, Potential):
        msg = f"dispersion is added to a Potential, as tribond.load gives; not to {potential!r}"
        raise ConfigError(msg)
    if given.terms:
        msg = f"this potential has {given.terms[0].name} already; tribond.without_dispersion takes it off"
        raise ConfigError(msg)
    term = term_named(f"d3bj:{functional}")
    term.check()
    return Potential(given.model, {**given.metadata, KEY: [term.name]})


def without_dispersion(potential: Potential) -> Potential:
    """The same potential with its network alone, which is also what other programs compute of it."""
    return Potential(potential.model, {key: value for key, value in potential.metadata.items() if key != KEY})
