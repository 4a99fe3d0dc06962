"""Every ionic step of a vasprun.xml, also of a run that was cut off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tribond.data.labels import STRESS_FACTORS
from tribond.data.store.opening import DAMAGED, OPENERS, why
from tribond.data.store.record import Bad, Found, Reader, Record
from tribond.data.store.settings import ReadSettings
from tribond.units import EV_PER_A3_TO_GPA

KEPT = {"NELM", "PSTRESS", "GGA", "METAGGA", "LDAU", "LHFCALC"}  # parameters that matter here
WRONG = (KeyError, ValueError, TypeError, AttributeError, IndexError)


@dataclass
class _Run:
    """What the file says before its first step."""

    settings: dict[str, str] = field(default_factory=dict)
    symbols: list[str] = field(default_factory=list)
    potentials: list[str] = field(default_factory=list)


def read_vasprun(path: Path, settings: ReadSettings, on_note: Callable[[str], object]) -> Reader:  # noqa: ARG001
    """The ionic steps; those whose electrons did not converge in their place, as what is wrong with them."""
    run = _Run()
    number = 0
    try:
        for step in _calculations(path, run):
            try:
                yield _step(step, number, run, settings, path)
            except WRONG as error:
                yield Bad(number, f"ionic step {number} is incomplete ({error})")
            number += 1
    except ET.ParseError as error:
        yield Bad(number, f"the file is cut off or damaged after {number} ionic steps ({error})", "lost")
        return
    except DAMAGED as error:
        yield Bad(number, f"the rest of the file cannot be read: {why(error)}", "lost")
        return
    if not number:
        yield Bad(0, "it has no ionic step", "lost")


def _calculations(path: Path, run: _Run) -> Iterator[ET.Element]:
    with path.open("rb") as stream:
        head = stream.read(8)
    opener: Any = next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), open)
    with opener(path, "rb") as stream:
        depth = 0
        for event, element in ET.iterparse(stream, events=("start", "end")):  # noqa: S314 - expat limits what entities unfold to
            depth += 1 if event == "start" else -1
            if event == "start":
                continue
            if element.tag == "calculation":
                yield element
            elif element.tag == "parameters":
                run.settings |= {
                    i.get("name", ""): (i.text or "").strip() for i in element.iter("i") if i.get("name") in KEPT
                }
            elif element.tag == "atominfo":
                run.symbols = [_text(row[0]) for row in element.iterfind("array[@name='atoms']/set/rc")]
                run.potentials = [_text(row[4]) for row in element.iterfind("array[@name='atomtypes']/set/rc")]
            if depth == 1:  # everything right below the root is done with
                element.clear()


def _step(step: ET.Element, number: int, run: _Run, settings: ReadSettings, path: Path) -> Found:
    iterations = len(step.findall("scstep"))
    limit = int(run.settings.get("NELM", 60))
    if iterations >= limit:
        return Bad(
            number, f"ionic step {number}: the electrons did not converge in NELM = {limit} steps", "unconverged"
        )
    cell = _matrix(step, "structure/crystal/varray[@name='basis']")
    inside = _matrix(step, "structure/varray[@name='positions']")
    forces = _matrix(step, "varray[@name='forces']") if step.find("varray[@name='forces']") is not None else None
    stress = _matrix(step, "varray[@name='stress']") if step.find("varray[@name='stress']") is not None else None
    return Record(
        number=number,
        numbers=np.array([atomic_numbers[symbol] for symbol in run.symbols], dtype=np.int64),
        positions=inside @ cell,
        cell=cell,
        pbc=np.ones(3, dtype=bool),
        energy=_energy(step, cell, run, settings),
        forces=forces,
        stress=None if stress is None else stress * STRESS_FACTORS["kbar"],
        id=run_name(path),
        level=_level(run),
    )


def _energy(step: ET.Element, cell: NDArray[np.float64], run: _Run, settings: ReadSettings) -> float:
    """As ASE takes it: the e_0_energy of the step itself is wrong, and under PSTRESS it is an enthalpy."""
    free = _number(step, "energy/i[@name='e_fr_energy']")
    pressure = float(run.settings.get("PSTRESS", 0)) / 10 / EV_PER_A3_TO_GPA  # of kbar
    free -= pressure * abs(float(np.linalg.det(cell)))
    if settings.vasp_energy == "free":
        return free
    last = step.findall("scstep/energy")[-1]
    return free + _number(last, "i[@name='e_0_energy']") - _number(last, "i[@name='e_fr_energy']")


def _level(run: _Run) -> str:
    """What tells the zero of energy: functional and U, as far as the file says it."""
    chosen = run.settings
    functional = chosen.get("METAGGA", "").strip("-").upper()
    if functional in ("", "NONE", "F"):
        functional = {"PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91", "CA": "LDA"}.get(
            chosen.get("GGA", "--").upper(), ""
        )
    if not functional:
        kinds = {name.split()[0] for name in run.potentials if name}
        functional = {"PAW_PBE": "PBE", "PAW_GGA": "PW91", "PAW": "LDA"}.get(kinds.pop() if len(kinds) == 1 else "", "")
    hybrid = " hybrid" if chosen.get("LHFCALC", "F").startswith("T") else ""
    plus_u = "+U" if chosen.get("LDAU", "F").startswith("T") else ""
    return f"VASP {functional or 'unknown'}{plus_u}{hybrid}"


def run_name(path: Path) -> str:
    """The folder of a run, as the user wrote it with what is below: its steps belong together.

    Its own name alone would not do: workflows have a folder of the same name in that of every material.
    """
    folder = path.parent.as_posix()
    return folder if folder != "." else path.resolve().parent.name


def _matrix(element: ET.Element, where: str) -> NDArray[np.float64]:
    found = element.find(where)
    if found is None:
        raise KeyError(f"no {where}")
    return np.array([[float(word) for word in _text(row).split()] for row in found], dtype=np.float64)


def _number(element: ET.Element, where: str) -> float:
    found = element.find(where)
    if found is None:
        raise KeyError(f"no {where}")
    return float(_text(found))


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()
