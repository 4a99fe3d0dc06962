"""The symmetry operations that a file means: those that it lists, or those of the space group that it names."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.geometry import cell_to_cellpar
from numpy.typing import NDArray

from tribond.errors import StructureError
from tribond.reading.symmetry import Operation, check_metric


@dataclass(frozen=True)
class Setting:
    """A space group in one setting."""

    name: str
    operations: list[Operation]
    note: str = ""


def settings_of(
    names: dict[str, str], lists: list[tuple[list[str], list[str]]], cell: NDArray[np.float64]
) -> list[Setting]:
    """All settings that agree with what a file says of its space group; several where it leaves the origin open.

    Args:
        names: of the group, by kind: Hall, H-M, number, choice, magnetic.
        lists: operations and centrings as triplets; the first list counts.
        cell: (3, 3) Å, which decides between axes.

    Raises:
        StructureError: for a group that is named but unknown, and for a magnetic group without operations.
    """
    for triplets, centrings in lists:
        operations = [parse(text) for text in triplets]
        if centrings:
            operations = with_centrings(operations, [parse(text).translation for text in centrings])
        operations = unique(operations)
        return [Setting("the operations listed", operations, _note_on_order(names, len(operations)))]
    if "magnetic" in names:
        msg = (
            f"the file names the magnetic space group {names['magnetic']} but lists no operations "
            "(_space_group_symop_magn_operation.xyz), without which its atoms are not known; write them out"
        )
        raise StructureError(msg)
    if "Hall" in names:
        import gemmi

        try:
            return [Setting(f"Hall symbol {names['Hall']}", _operations(gemmi.symops_from_hall(names["Hall"])))]
        except (RuntimeError, ValueError):
            pass  # misspelt; the other names may say it
    if "H-M" in names:
        found_by_name = _by_name(names["H-M"], names.get("choice", ""), cell)
        if found_by_name:
            _check_number(names["H-M"], names.get("number", ""))
            return found_by_name
    if "number" in names and names["number"].strip().isdigit():
        return _by_number(int(names["number"]), names.get("H-M"), cell)
    if names:
        shown = ", ".join(names.values())
        msg = f"the space group {shown} is unknown and no operations are listed; name it as in the International Tables"
        raise StructureError(msg)
    note = "the file names no space group and lists no operations: its atoms were taken as they are"
    return [Setting("P 1", [Operation(np.eye(3), np.zeros(3))], note)]


def _by_name(name: str, choice: str, cell: NDArray[np.float64]) -> list[Setting]:
    import gemmi

    plain = re.sub(r"\s+", " ", name.replace("_", "").replace("'", "").strip())
    plain = re.sub(r"\s*:\s*", ":", plain)
    plain = re.sub(r"(?i)\s*\(?origin choice\s*(\d)\)?|(?<=\S) ([SZ])$", _origin, plain)
    if choice.strip() in {"1", "2", "h", "H", "r", "R"} and ":" not in plain:
        plain = f"{plain}:{choice.strip().upper()}"
    alpha, _, gamma = cell_to_cellpar(cell)[3:]
    found: Any = gemmi.find_spacegroup_by_name(plain, alpha, gamma)
    if found is None and re.search(r"(?<=[A-Za-z0-9]) [HR]$", plain):
        found = gemmi.find_spacegroup_by_name(f"{plain[:-2]}:{plain[-1]}")
    if found is None:
        return []
    if ":" in plain or ":" not in found.xhm():
        return [_setting(found)]
    return _alternatives(found, cell)


def _note_on_order(names: dict[str, str], listed: int) -> str:
    """A note where a file lists another number of operations than the space group that it names has."""
    import gemmi

    if "magnetic" in names:  # the other names are those of the parent
        return ""
    found: Any = gemmi.find_spacegroup_by_name(re.sub(r"\s*:.*|[_']", "", names.get("H-M", "")))
    number = found.number if found is not None else _whole(names.get("number", ""))
    orders = {len(list(group.operations())) for group in gemmi.spacegroup_table() if group.number == number}
    if not orders or listed in orders:
        return ""
    return (
        f"the file lists {listed} symmetry operations, but its space group {names.get('H-M', number)} has {max(orders)}: the "
        "operations listed were taken"
    )


def _whole(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


def _check_number(name: str, number: str) -> None:
    """Raise StructureError where a file gives its space group the number of another one."""
    import gemmi

    found: Any = gemmi.find_spacegroup_by_name(re.sub(r"\s*:.*|[_']", "", name))
    if found is not None and _whole(number) not in (0, found.number):
        msg = (
            f"the file contradicts itself: its space group is {name}, which has the number {found.number}, but it says "
            f"number {number.strip()}; mend one of the two"
        )
        raise StructureError(msg)


def _origin(match: "re.Match[str]") -> str:
    return ":" + (match[1] or {"S": "1", "Z": "2"}[match[2]])


def _by_number(number: int, name: str | None, cell: NDArray[np.float64]) -> list[Setting]:
    import gemmi

    found: Any = gemmi.find_spacegroup_by_number(number)
    if found is None:
        msg = f"there is no space group number {number}; they go from 1 to 230"
        raise StructureError(msg)
    settings = _alternatives(found, cell)
    if name:
        note = f"the name {name!r} of the space group is unknown; its number, {number}, was taken"
        settings = [Setting(setting.name, setting.operations, note) for setting in settings]
    return settings


def _alternatives(found: Any, cell: NDArray[np.float64]) -> list[Setting]:
    """The same group with its other origins, and its other axes where the cell has them."""
    import gemmi

    same = [group for group in gemmi.spacegroup_table() if group.hm == found.hm] or [found]
    settings = [_setting(group) for group in same]
    fitting = []
    for setting in settings:
        try:
            check_metric(cell, setting.operations)
        except StructureError:
            continue
        fitting.append(setting)
    return fitting or settings[:1]


def _setting(group: Any) -> Setting:
    return Setting(group.xhm(), _operations(group.operations()))


def _operations(group: Any) -> list[Operation]:
    return [
        Operation(np.array(op.rot, dtype=np.float64) / op.DEN, np.array(op.tran, dtype=np.float64) / op.DEN)
        for op in group
    ]


def parse(triplet: str) -> Operation:
    """An operation from 'x,y,z', '-y+1/2,x,z+0.3333' or a magnetic 'x,y,z,+1'.

    Raises:
        StructureError: for what is none.
    """
    text = triplet.strip().strip("'\"").lower().replace(" ", "")
    parts = text.split(",")
    if len(parts) == 4 and parts[3] in {"+1", "-1", "1", "+", "-", "m", "mx,my,mz"}:
        parts = parts[:3]
    if len(parts) > 4:  # magnetic moments are written behind
        parts = parts[:3]
    if len(parts) != 3:
        msg = f"{triplet!r} is no symmetry operation; one looks like -x,y+1/2,-z"
        raise StructureError(msg)
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    for row, part in enumerate(parts):
        terms = re.findall(r"([+-]?)(\d*\.?\d*(?:/\d+)?)\*?([xyz]?)", part)
        if "".join(a + b + c for a, b, c in terms) != part.replace("*", "") or not part:
            msg = f"{triplet!r} is no symmetry operation; one looks like -x,y+1/2,-z"
            raise StructureError(msg)
        for sign, size, axis in terms:
            if not (size or axis):
                continue
            value = (-1.0 if sign == "-" else 1.0) * (_fraction(size, triplet) if size else 1.0)
            if axis:
                rotation[row, "xyz".index(axis)] += value
            else:
                translation[row] += _snapped(value)
    if abs(abs(np.linalg.det(rotation)) - 1) > 1e-6:
        msg = f"{triplet!r} is no symmetry operation: it changes the volume"
        raise StructureError(msg)
    return Operation(rotation, translation)


def _fraction(text: str, triplet: str) -> float:
    top, _, bottom = text.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        msg = f"{triplet!r} is no symmetry operation: {text} is no number"
        raise StructureError(msg) from None


def _snapped(value: float) -> float:
    """0.3333 as one third: translations of space groups are multiples of 1/24; others stay as they are."""
    nearest = round(value * 24) / 24
    return nearest if abs(value - nearest) < 2e-3 else value


def with_centrings(operations: list[Operation], centrings: list[NDArray[np.float64]]) -> list[Operation]:
    """Every operation with every translation of the lattice, the one by nothing included."""
    shifts = [np.zeros(3), *(shift for shift in centrings if np.abs(shift - np.round(shift)).max() > 1e-6)]
    return [Operation(op.rotation, op.translation + shift) for op in operations for shift in shifts]


def unique(operations: list[Operation]) -> list[Operation]:
    """Each operation once, whatever whole translations are added; the identity is always among them."""
    found: dict[tuple[float, ...], Operation] = {}
    for operation in [Operation(np.eye(3), np.zeros(3)), *operations]:
        shift = operation.translation - np.floor(operation.translation + 1e-6)
        key = (*np.round(operation.rotation, 4).ravel(), *np.round(shift, 3))
        found.setdefault(tuple(key), operation)
    return list(found.values())
