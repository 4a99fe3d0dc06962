"""Crystals from CIF and magnetic CIF: gemmi knows the syntax and the settings, this file what makes a structure.

ASE's reader takes origin choice 1 whatever the file says, knows no magnetic operations, and stumbles over occupancies
that are unknown.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.geometry import cellpar_to_cell
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.reading.content import Found, Options, good
from tribond.reading.elements import DEUTERIUM_MASS, element_of, is_deuterium, of_labels
from tribond.reading.formulas import compare, parse_formula, ratio, show
from tribond.reading.occupancy import Occupied, refuse_partial
from tribond.reading.settings import Setting, settings_of
from tribond.reading.symmetry import CRAMPED, SAME, Expanded, crowding, expand

FORMULA = "_chemical_formula_sum"
UNKNOWN = {"", "?", "."}
LARGEST_VOLUME_ERROR = 0.02  # relative


def read_cif(text: str, options: Options) -> tuple[list[Found], list[str]]:
    """All structures of a CIF, one for each block that has atoms; an error in the place of one that contradicts itself.

    Raises:
        StructureError: for what is no CIF, has no atoms, or whose only block contradicts itself.
    """
    del options
    import gemmi

    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError, UnicodeError) as error:
        msg = f"this is no sound CIF ({' '.join(str(error).removeprefix('string:').split())})"
        raise StructureError(msg) from error
    images: list[Found] = []
    notes: list[str] = []
    for block in document:
        try:
            found = _read_any_block(block)
        except StructureError as error:
            images.append(error)
            continue
        if found is not None:
            images.append(found[0])
            notes += found[1]
    if not images:
        msg = "there are no atoms in this CIF (no _atom_site_fract_x); it may hold reflections or a powder pattern"
        raise StructureError(msg)
    if len(images) == 1:
        good(images[0])
    return images, list(dict.fromkeys(notes))


def _read_any_block(block: Any) -> tuple[Atoms, list[str]] | None:
    """The structure and notes; None for a block without atoms."""
    if block.find_loop("_atom_site.Cartn_x") or block.find_value("_atom_site.Cartn_x"):
        from tribond.reading.macromolecules import read_block

        return read_block(block)
    if _column(block, "_atom_site_fract_x") or _column(block, "_atom_site_Cartn_x"):
        return _read_block(block)
    return None


@dataclass(frozen=True)
class _Sites:
    """The asymmetric unit."""

    labels: list[str]
    symbols: list[str]
    fractional: NDArray[np.float64]  # (sites, 3)
    multiplicities: list[float | None]  # atoms of each site in the cell, where the file says it
    deuterium: list[bool]  # hydrogen of twice the mass


def _read_block(block: Any) -> tuple[Atoms, list[str]]:
    cell = _cell(block)
    said = _formula(block)
    sites, notes = _sites(block, cell, set() if said is None else set(said[0]))
    candidates = settings_of(_names(block), _operations(block), cell)
    setting, expanded, more = _choose(candidates, sites, cell, said)
    notes += more
    symbols = [sites.symbols[site] for site in expanded.site]
    if said is not None:
        counts, times = said
        notes += compare(symbols, counts, FORMULA, times)
        read = {symbol: float(symbols.count(symbol)) for symbol in set(symbols)}
        if ratio(read, counts) != 1 and times is None and _crowded(symbols, expanded, cell):
            msg = (
                f"{FORMULA} is {show(counts)}, but atoms and symmetry give {show(read)}, too close together: the space "
                "group has another origin or setting than the coordinates; name it (F d -3 m :2) or list the operations"
            )
            raise StructureError(msg)
    if expanded.moved > SAME:
        notes.append(
            f"coordinates are rounded: images of one site up to {1000 * expanded.moved:.0f} mÅ apart were taken as one atom"
        )
    if setting.note:
        notes.append(setting.note)
    notes += _multiplicity_notes(sites, expanded)
    atoms = Atoms(symbols, scaled_positions=expanded.fractional, cell=cell, pbc=True)
    heavy = [sites.deuterium[site] for site in expanded.site]
    if any(heavy):
        atoms.set_masses(np.where(heavy, DEUTERIUM_MASS, atoms.get_masses()))
        notes.append(f"{sum(heavy)} atoms of hydrogen have the mass of deuterium, {DEUTERIUM_MASS:.3f} u")
    if _column(block, "_atom_site_moment.label") or _column(block, "_atom_site_moment_label"):
        notes.append("magnetic moments of the file are not read: the potential has no spins")
    return atoms, notes


def _multiplicity_notes(sites: _Sites, expanded: Expanded) -> list[str]:
    """A note where the file says another number of atoms for a site: programs leave the number as it was when they edit."""
    counts = np.bincount(expanded.site, minlength=len(sites.labels)).tolist()
    for label, said, count in zip(sites.labels, sites.multiplicities, counts, strict=True):
        if said is not None and said != count:
            return [f"the file says that {label} stands for {said:g} atoms of the cell, but its symmetry gives {count}"]
    return []


# ------------------------------------------------------------------------------------------ which setting


def _choose(
    candidates: list[Setting], sites: _Sites, cell: NDArray[np.float64], said: "_Said | None"
) -> tuple[Setting, Expanded, list[str]]:
    """The setting that the file means: of several origins the one that gives the composition and sensible distances."""
    tried: list[tuple[Setting, Expanded]] = []
    problems: list[StructureError] = []
    for candidate in candidates:
        try:
            tried.append((candidate, expand(sites.fractional, candidate.operations, cell, sites.labels)))
        except StructureError as error:
            problems.append(error)
    if not tried:
        raise problems[0]
    if len(candidates) == 1:
        return (*tried[0], [])
    left = tried
    if said is not None:
        left = [pair for pair in left if _exactly(pair[1], sites, said)] or left
    if len(left) > 1:
        symbols = [[sites.symbols[site] for site in pair[1].site] for pair in left]
        roomy = [pair for pair, own in zip(left, symbols, strict=True) if not _crowded(own, pair[1], cell)]
        left = roomy or left
    names = " and ".join(candidate.name for candidate in candidates)
    if len(left) > 1:
        msg = (
            f"the file does not say which origin its coordinates have, and {names} are both possible; add the choice to "
            "the name of the space group, or the list of operations"
        )
        raise StructureError(msg)
    setting, expanded = left[0]
    note = f"the file does not say which origin it has: {setting.name} agrees with composition and distances"
    return setting, expanded, [note]


def _exactly(expanded: Expanded, sites: _Sites, said: "_Said") -> bool:
    counts: dict[str, float] = {}
    for site in expanded.site:
        counts[sites.symbols[site]] = counts.get(sites.symbols[site], 0.0) + 1
    found = ratio(counts, said[0])
    return found is not None and min(abs(found - 1), abs(found / (said[1] or 1.0) - 1)) < 0.01


def _crowded(symbols: list[str], expanded: Expanded, cell: NDArray[np.float64]) -> bool:
    """Whether atoms are closer to each other than in any crystal."""
    return crowding(np.array([atomic_numbers[symbol] for symbol in symbols]), expanded.fractional, cell) < CRAMPED


# --------------------------------------------------------------------------------------------- what it says

_Said = tuple[dict[str, float], float | None]  # a unit, and how many of them are in the cell


def _formula(block: Any) -> _Said | None:
    """The composition that the file says it has."""
    text = _value(block, FORMULA)
    counts = None if text is None else parse_formula(text)
    if counts is None:
        return None
    units = _number(_value(block, "_cell_formula_units_Z"))
    return counts, units if units is not None and units > 0 else None


def _cell(block: Any) -> NDArray[np.float64]:
    names = [f"_cell_length_{axis}" for axis in "abc"] + [
        f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")
    ]
    values = [_number(_value(block, name)) for name in names]
    values[3:] = [90.0 if value is None else value for value in values[3:]]
    for name, value in zip(names, values, strict=True):
        if value is None or not value > 0 or not math.isfinite(value):
            wanted = "an angle, such as 90" if "angle" in name else "a length, such as 5.64"
            msg = f"{name} is {_value(block, name) or 'missing'}; a crystal needs {wanted}"
            raise StructureError(msg)
    try:
        with np.errstate(all="ignore"):
            cell = cellpar_to_cell(values)
    except (AssertionError, ValueError, ZeroDivisionError):
        cell = np.full((3, 3), np.nan)
    volume = float(np.linalg.det(cell)) if np.isfinite(cell).all() else 0.0
    lengths = np.array(values[:3], dtype=float)
    if not volume > 1e-6 * lengths.prod():
        angles = ", ".join(f"{value:g}" for value in values[3:] if value is not None)
        msg = f"the angles {angles}° span no cell; each must be less than the sum of the other two, and all three less than 360°"
        raise StructureError(msg)
    said = _number(_value(block, "_cell_volume"))
    if said is not None and said > 0 and abs(volume / said - 1) > LARGEST_VOLUME_ERROR:
        msg = f"the file contradicts itself: _cell_volume is {said:g} Å³, but lengths and angles give {volume:.2f} Å³"
        raise StructureError(msg)
    return np.asarray(cell, dtype=np.float64)


def _sites(block: Any, cell: NDArray[np.float64], among: set[str]) -> tuple[_Sites, list[str]]:
    fractional, notes = _coordinates(block, cell)
    count = len(fractional)
    types = _column(block, "_atom_site_type_symbol")
    labels = _column(block, "_atom_site_label") or types
    if not labels:
        msg = "the sites have neither _atom_site_label nor _atom_site_type_symbol: nothing says which elements they are"
        raise StructureError(msg)
    types = types or ["?"] * count
    flags = _column(block, "_atom_site_calc_flag") or ["."] * count
    fractions = _column(block, "_atom_site_occupancy") or ["?"] * count
    groups = _column(block, "_atom_site_disorder_group") or ["."] * count
    chosen = [number for number, flag in enumerate(flags) if flag.lower() != "dum"]
    symbols: list[str] = []
    deuterium: list[bool] = []
    for number in chosen:
        name = labels[number] if types[number] in UNKNOWN else types[number]
        symbol = element_of(name, among)
        symbols += [symbol] if symbol is not None else of_labels([labels[number]], among)
        deuterium.append(is_deuterium(name))
    if len(chosen) < count:
        notes.append(f"{count - len(chosen)} dummy sites (_atom_site_calc_flag dum) were left out")
    known = [not np.isnan(place).any() for place in fractional]
    lost = [(number, symbol) for number, symbol in zip(chosen, symbols, strict=True) if not known[number]]
    if lost:
        heavy = [labels[number] for number, symbol in lost if symbol != "H"]
        if heavy:
            msg = f"the site {heavy[0]} has no coordinates; write them or remove the site"
            raise StructureError(msg)
        notes.append(f"{len(lost)} hydrogen sites have no coordinates and were left out")
        symbols = [symbol for number, symbol in zip(chosen, symbols, strict=True) if known[number]]
        deuterium = [heavy for number, heavy in zip(chosen, deuterium, strict=True) if known[number]]
        chosen = [number for number in chosen if known[number]]
    occupied = [
        Occupied(labels[n], symbols[i], _number(fractions[n]), fractional[n], group=groups[n].strip("-"))
        for i, n in enumerate(chosen)
    ]
    refuse_partial(occupied)
    said = _column(block, "_atom_site_symmetry_multiplicity") or _column(block, "_atom_site_site_symmetry_multiplicity")
    multiplicities = [_number(said[n]) if said else None for n in chosen]
    return _Sites([labels[n] for n in chosen], symbols, fractional[chosen], multiplicities, deuterium), notes


def _coordinates(block: Any, cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """(sites, 3) fractional; NaN where the file says that it does not know."""
    for kind in ("fract", "Cartn"):
        columns = [_column(block, f"_atom_site_{kind}_{axis}") for axis in "xyz"]
        if all(columns):
            break
    else:
        msg = "the sites lack one of _atom_site_fract_x, _y and _z"
        raise StructureError(msg)
    rows: list[list[float | None]] = []
    for texts in zip(*columns, strict=True):
        row = [math.nan if text in UNKNOWN else _number(text) for text in texts]
        if None in row:
            msg = f"the coordinates {' '.join(texts)} of site {len(rows)} are no numbers"
            raise StructureError(msg)
        rows.append(row)
    values = np.array(rows, dtype=np.float64)
    return (values if kind == "fract" else values @ np.linalg.inv(cell)), []


def _names(block: Any) -> dict[str, str]:
    """What the file calls its space group."""
    tags = {
        "Hall": ("_space_group_name_Hall", "_symmetry_space_group_name_Hall"),
        "H-M": ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M"),
        "number": ("_space_group_IT_number", "_symmetry_Int_Tables_number"),
        "choice": ("_space_group_IT_coordinate_system_code",),
        "magnetic": (
            "_space_group_magn.name_BNS",
            "_space_group_magn_name_BNS",
            "_space_group_magn.number_BNS",
            "_space_group_magn_number_BNS",
            "_space_group.magn_name_BNS",
            "_space_group.magn_number_BNS",
        ),
    }
    found = {kind: next(filter(None, (_value(block, tag) for tag in names)), "") for kind, names in tags.items()}
    return {kind: text for kind, text in found.items() if text}


def _operations(block: Any) -> list[tuple[list[str], list[str]]]:
    """Operations and centrings, as the file lists them; the magnetic ones first, which are the structure's."""
    lists = []
    for operations, centrings in (
        (
            (
                "_space_group_symop_magn_operation.xyz",
                "_space_group_symop_magn_operation_xyz",
                "_space_group_symop.magn_operation_xyz",
            ),
            (
                "_space_group_symop_magn_centering.xyz",
                "_space_group_symop_magn_centering_xyz",
                "_space_group_symop.magn_centering_xyz",
            ),
        ),
        (("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"), ()),
    ):
        found = next(filter(None, (_column(block, tag) for tag in operations)), [])
        if found:
            lists.append((found, next(filter(None, (_column(block, tag) for tag in centrings)), [])))
    return lists


# -------------------------------------------------------------------------------------------------- syntax


def _column(block: Any, tag: str) -> list[str]:
    """All values of a tag, without quotes; empty where it is not there."""
    import gemmi

    return [gemmi.cif.as_string(text) or "?" for text in block.find_values(tag)]


def _value(block: Any, tag: str) -> str | None:
    import gemmi

    text = block.find_value(tag)
    if text is None or text in UNKNOWN:
        return None
    return str(gemmi.cif.as_string(text)).strip() or None


def _number(text: str | None) -> float | None:
    """1.000(4) as 1.0, 0.9999 as it is, ? and . as None."""
    if text is None or text.strip() in UNKNOWN:
        return None
    try:
        value = float(re.sub(r"\([^)]*\)?", "", text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
