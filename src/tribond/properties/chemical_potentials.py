"""What an atom costs that is put into a crystal, or brings when it is taken out: given, or that of the pure element."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers, reference_states

from tribond.errors import ConfigError, StructureError
from tribond.properties.relax import relax
from tribond.properties.start import MOST_STEPS, at_rest, watch
from tribond.properties.work import Work

GASES = {"H": "H2", "N": "N2", "O": "O2", "F": "F2", "Cl": "Cl2"}  # at room temperature
FMAX = 0.005  # eV/Å


@dataclass(frozen=True)
class ChemicalPotential:
    """Energy of an atom in its reservoir."""

    eV: float
    source: str  # where it comes from, in words


def check_given(given: Mapping[str, float]) -> None:
    """Refuse chemical potentials that are none.

    Raises:
        ConfigError: for what is no element, or no energy.
    """
    for symbol, energy in given.items():
        if atomic_numbers.get(symbol, 0) == 0:
            raise ConfigError(f"{symbol!r} is no element; name chemical potentials such as O=-4.9")
        if not np.isfinite(energy):
            raise ConfigError(f"the chemical potential of {symbol} must be an energy in eV, not {energy}")


def chemical_potentials(
    symbols: Collection[str],
    calculator: Calculator,
    *,
    given: Mapping[str, float] | None = None,
    references: Collection[Atoms] = (),
    work: Work | None = None,
) -> dict[str, ChemicalPotential]:
    """An energy for each element: the one given, else that of the element at rest under the calculator.

    Args:
        symbols: of the elements.
        calculator: any of ASE's.
        given: eV an atom, on the energy scale of the calculator.
        references: structures of pure elements, instead of those that are known here.
        work: keeps what is relaxed.

    Raises:
        ConfigError: for an element whose structure is not known and not given.
        StructureError: for a reference of several elements.
        RelaxationError: if an element does not come to rest.
    """
    given = given or {}
    check_given(given)
    work = work or Work()
    own = {}
    for atoms in references:
        kinds = sorted(set(atoms.get_chemical_symbols()))
        if len(kinds) != 1:
            raise StructureError(
                f"a reference is a structure of one element; {atoms.get_chemical_formula() or 'this one'} is not"
            )
        own[kinds[0]] = atoms
    found = {}
    for symbol in sorted(symbols):
        if symbol in given:
            found[symbol] = ChemicalPotential(float(given[symbol]), "given")
            continue
        if symbol in own:
            start, words = own[symbol], f"{own[symbol].get_chemical_formula()} as given"
        else:
            start, words = standard_form(symbol)
        rest = work.structure(f"element_{symbol}", partial(_at_rest, start, calculator, work, symbol))
        energy = float(rest.get_potential_energy(apply_constraint=False)) / len(rest)
        found[symbol] = ChemicalPotential(energy, f"{words}, relaxed by the potential")
    return found


def standard_form(symbol: str) -> tuple[Atoms, str]:
    """An element as it is found at room temperature, and what that is: a simple crystal or a molecule.

    Raises:
        ConfigError: where its crystal is not a simple one that ASE can build.
    """
    if symbol in GASES:
        return molecule(GASES[symbol]), f"molecule {GASES[symbol]}"
    symmetry = (reference_states[atomic_numbers[symbol]] or {}).get("symmetry")
    try:
        if symmetry == "orthorhombic":  # uranium and neptunium, of which ASE builds the lattice without its other atoms
            raise NotImplementedError
        crystal = bulk(symbol)
    except (ValueError, KeyError, RuntimeError, NotImplementedError):
        raise ConfigError(
            f"the crystal of the element {symbol} is not a simple one that is known here: give its chemical potential "
            f"(--mu {symbol}=ENERGY) or a structure of it (--reference FILE)"
        ) from None
    return crystal, f"{symmetry} {symbol}"


def _at_rest(start: Atoms, calculator: Calculator, work: Work, symbol: str) -> Atoms:
    clean = Atoms(start.numbers, start.positions, cell=start.cell, pbc=start.pbc)
    return at_rest(
        relax(
            clean,
            calculator,
            fmax_eV_per_A=FMAX,
            fix_symmetry=bool(clean.pbc.all()),
            steps=MOST_STEPS,
            on_step=watch(work, f"the element {symbol}"),
        )
    )
