"""The usual extended XYZ, several times as fast as ASE reads it, and to the same numbers.

Only what is plain is read here: `key=value` comments, known columns. Of anything else, also of every mistake, the file
is left to ASE, which knows the whole format and says what is wrong.
"""

import re
from array import array
from itertools import chain

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tribond.data.frame_table import FrameTable
from tribond.data.labels import LabelKeys, Seen, full, stress_of_virial

_PAIR = r'([A-Za-z_][A-Za-z0-9_-]*)=(?:"([^"\\{}\[\]]*)"|([^\s"\'\\{}\[\]=]+))(?:\s+|$)'
PAIR = re.compile(_PAIR)
COMMENT = re.compile(rf"\s*(?:{_PAIR})+")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
FLAG = {"T": True, "F": False}
WIDEST = 10_000  # numbers in a column
# Properties that mean something to ASE beyond what is read here.
TOO_MUCH = {"Z", "numbers", "move_mask", "stress", "energy", "symbols", "positions"}


class NotPlainError(Exception):
    """The file is for ASE."""


def read_plain(text: str, origin: str, keys: LabelKeys | None = None, seen: Seen | None = None) -> FrameTable | None:
    """All frames of an extended XYZ file, with every label it has and stresses in its own unit.

    Args:
        text: the file.
        origin: its name, for messages.
        keys: names of the labels.
        seen: gets the names that look like labels.

    Returns:
        None if it is not plain: ASE must read it.
    """
    try:
        return _read(text.split("\n"), origin, keys or LabelKeys(), seen or Seen.nothing())
    except (NotPlainError, ValueError, KeyError, IndexError):
        return None


class _Rows:
    """What has been read so far."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.numbers = array("B")
        self.positions, self.forces = array("d"), array("d")
        self.cells, self.energies, self.stresses = array("d"), array("d"), array("d")
        self.pbc: list[bool] = []
        self.has_forces: list[bool] = []


def _read(lines: list[str], origin: str, keys: LabelKeys, seen: Seen) -> FrameTable:
    rows = _Rows()
    names: set[str] = set()
    layouts: dict[str, list[tuple[str, int]]] = {}
    line = 0
    while line < len(lines) and lines[line].strip():  # ASE stops at an empty line too
        size = int(lines[line])
        if size < 1 or line + 2 + size > len(lines):
            raise NotPlainError
        values = _comment(lines[line + 1])
        properties = values["Properties"]
        if properties not in layouts:
            layouts[properties] = _layout(properties, keys, seen)
        _read_atoms(rows, lines[line + 2 : line + 2 + size], layouts[properties])
        _read_frame(rows, values, keys, seen)
        names.update(values)
        line += 2 + size
    if any(rest.strip() for rest in lines[line:]):  # structures behind an empty line would be lost
        raise NotPlainError
    seen.look(names)
    count = len(rows.sizes)
    table = FrameTable(
        offsets=np.concatenate([[0], np.cumsum(rows.sizes, dtype=np.int64)]).astype(np.int64),
        numbers=np.array(rows.numbers, dtype=np.uint8),
        positions=_floats(rows.positions, -1, 3),
        forces=_floats(rows.forces, -1, 3),
        cells=_floats(rows.cells, count, 3, 3),
        pbc=np.array(rows.pbc, dtype=bool).reshape(count, 3),
        energies=_floats(rows.energies, count),
        stresses=_floats(rows.stresses, count, 3, 3),
        has_forces=np.array(rows.has_forces, dtype=bool),
        sources=np.zeros(count, dtype=np.int64),
        files=np.zeros(count, dtype=np.int64),
        indices=np.arange(count),
        origins=(origin,),
    )
    if not np.isfinite(table.forces[table.has_forces[table.frame_of_atom]]).all():
        raise NotPlainError
    return table


def _floats(values: "array[float]", *shape: int) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64).reshape(shape)


def _comment(line: str) -> dict[str, str]:
    if not COMMENT.fullmatch(line):
        raise NotPlainError
    return {key: quoted or bare for key, quoted, bare in PAIR.findall(line)}


def _layout(properties: str, keys: LabelKeys, seen: Seen) -> list[tuple[str, int]]:
    """Name and type of every column, as one letter: of one name there may be several."""
    fields = properties.split(":")
    columns = []
    for name, kind, count in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if kind not in ("S", "R", "I", "L") or name in TOO_MUCH or int(count) > WIDEST:
            raise NotPlainError
        columns += [name] * int(count)
    forces = keys.forces or ("forces" if "forces" in columns else "force")
    wanted = {"species": "S:1", "pos": "R:3"} | ({forces: "R:3"} if forces in columns else {})
    if any(f":{name}:{form}:" not in f":{properties}:" for name, form in wanted.items()):
        raise NotPlainError
    if len(set(fields[::3])) != len(fields[::3]):
        raise NotPlainError
    seen.look(fields[::3])
    if forces in columns:
        seen.used.add(forces)
        if forces == "force" and keys.forces is None:
            seen.taken.add("force was taken as forces")
    labels = ["species", "pos", *(["forces"] if forces in columns else [])]
    return [(label, columns.index(name)) for label, name in zip(labels, wanted, strict=True)] + [("", len(columns))]


def _read_atoms(rows: _Rows, lines: list[str], layout: list[tuple[str, int]]) -> None:
    *wanted, (_, width) = layout
    words = " ".join(lines).split()
    if len(words) != width * len(lines):
        raise NotPlainError
    first = dict(wanted)
    symbols = words[first["species"] :: width]
    rows.numbers.extend([atomic_numbers[symbol] for symbol in symbols])  # another spelling is a KeyError: ASE's
    _extend(rows.positions, words, first["pos"], width)
    if "forces" in first:
        _extend(rows.forces, words, first["forces"], width)
    else:
        rows.forces.extend([np.nan] * (3 * len(lines)))
    rows.has_forces.append("forces" in first)
    rows.sizes.append(len(lines))


def _extend(target: "array[float]", words: list[str], first: int, width: int) -> None:
    """Three neighbouring columns, row by row."""
    x, y, z = (words[first + axis :: width] for axis in range(3))
    target.extend(map(float, chain.from_iterable(zip(x, y, z, strict=True))))


def _read_frame(rows: _Rows, values: dict[str, str], keys: LabelKeys, seen: Seen) -> None:
    lattice = values.get("Lattice")
    cell = [0.0] * 9 if lattice is None else _nine(lattice)
    rows.cells.extend(cell)
    pbc = [FLAG[word] for word in values["pbc"].split()] if "pbc" in values else [lattice is not None] * 3
    if len(pbc) != 3 or (lattice is not None and _is_odd(cell, pbc)):  # no cell: the other reader has words for it
        raise NotPlainError
    rows.pbc += pbc
    name = keys.energy or "energy"
    energy, stress = values.get(name), values.get(keys.stress or "stress")
    virial = values.get(keys.virial or "virial")
    seen.used.update({name} & values.keys())
    rows.energies.append(np.nan if energy is None else _number(energy))
    if virial is not None and keys.stress is None:
        if stress is not None and keys.virial is None:
            raise NotPlainError  # both: they are compared
        _read_virial(rows, _nine(virial), cell, all(pbc))
        seen.used.add(keys.virial or "virial")
        seen.taken.add("virials were turned into stresses: stress = -virial / volume")
        return
    if stress is None or keys.virial is not None:
        rows.stresses.extend([np.nan] * 9)
        return
    seen.used.add(keys.stress or "stress")
    numbers = _nine(stress)
    if keys.stress is not None and keys.stress != "stress":
        rows.stresses.extend(full(np.array(numbers)).ravel())
        return
    # Columns first, as the format has it; then ASE keeps the upper half.
    xx, _, _, xy, yy, _, xz, yz, zz = numbers
    rows.stresses.extend([xx, xy, xz, xy, yy, yz, xz, yz, zz])


def _is_odd(cell: list[float], pbc: list[bool]) -> bool:
    """Whether a cell may be none: no larger than 1 Å, or with a vector of zero along a periodic axis."""
    rows = [cell[:3], cell[3:6], cell[6:]]
    return max(map(abs, cell)) < 1.1 or any(on and not any(row) for row, on in zip(rows, pbc, strict=True))


def _read_virial(rows: _Rows, numbers: list[float], cell: list[float], periodic: bool) -> None:  # noqa: FBT001
    """As a stress in eV/Å³."""
    virial = np.array(numbers).reshape(3, 3).T
    stress = stress_of_virial(virial, np.array(cell).reshape(3, 3)) if periodic else np.full((3, 3), np.nan)
    rows.stresses.extend(stress.ravel())


def _nine(words: str) -> list[float]:
    numbers = [_number(word) for word in words.split()]
    if len(numbers) != 9:
        raise NotPlainError
    return numbers


def _number(word: str) -> float:
    if not NUMBER.fullmatch(word):  # among them nan and inf
        raise NotPlainError
    return float(word)
