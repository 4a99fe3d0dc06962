"""Every ionic step of an OUTCAR, which has fewer digits than a vasprun.xml."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from ase.data import atomic_numbers

from tribond.data.labels import STRESS_FACTORS, full
from tribond.data.store.opening import DAMAGED, text_of, why
from tribond.data.store.record import Bad, Found, Reader, Record
from tribond.data.store.settings import ReadSettings
from tribond.data.store.vasprun import run_name

NUMBER = re.compile(r"[-+]?\d+\.\d*(?:[eE][-+]?\d+)?")  # columns may run into each other: -12.345-67.890
ELEMENT = re.compile(r"[A-Z][a-z]?")
WRONG = (KeyError, ValueError, TypeError, IndexError)


@dataclass
class _Step:
    converged: bool = False
    cell: list[list[float]] = field(default_factory=list)
    stress: list[float] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)  # positions and forces
    free: float | None = None


@dataclass
class _Run:
    titles: dict[str, list[str]] = field(default_factory=dict)  # of the potentials, as TITEL and as POTCAR
    counts: list[int] = field(default_factory=list)
    plus_u: bool = False
    functional: str = ""
    cell: list[list[float]] = field(default_factory=list)  # of the last step: with a fixed cell it may be said once

    def symbols(self) -> list[str]:
        names = [next(word for word in title.split()[1:] if ELEMENT.match(word)) for title in self.potentials()]
        elements = [re.split(r"[_.]", name)[0] for name in names]
        return [symbol for symbol, count in zip(elements, self.counts, strict=True) for _ in range(count)]

    def potentials(self) -> list[str]:
        """POTCAR has all of them twice."""
        return (self.titles.get("TITEL") or self.titles.get("POTCAR") or [])[: len(self.counts)]

    def level(self) -> str:
        kinds = {title.split()[0] for title in self.potentials()}
        functional = {"PAW_PBE": "PBE", "PAW_GGA": "PW91", "PAW": "LDA"}.get(kinds.pop() if len(kinds) == 1 else "", "")
        return f"VASP {self.functional or functional or 'unknown'}{'+U' if self.plus_u else ''}"


def read_outcar(path: Path, settings: ReadSettings, on_note: Callable[[str], object]) -> Reader:  # noqa: ARG001
    """The ionic steps; those whose electrons did not converge in their place, as what is wrong with them."""
    number = 0
    run, step = _Run(), _Step()
    try:
        with text_of(path) as text:
            for line in text:
                energies = _look(line, text, run, step)
                if energies is None:
                    continue
                try:
                    yield _found(number, run, step, energies, settings, path)
                except (*WRONG, StopIteration) as error:
                    yield Bad(number, f"ionic step {number} is incomplete ({error})")
                number, step = number + 1, _Step()
    except DAMAGED as error:
        yield Bad(number, f"the rest of the file cannot be read: {why(error)}", "lost")
        return
    if step.rows or step.free is not None:
        yield Bad(number, f"the file ends in ionic step {number}", "lost")
    elif not number:
        yield Bad(0, "it has no ionic step", "lost")


def _look(line: str, text: IO[str], run: _Run, step: _Step) -> float | None:
    """Take in what a line says; the energy without smearing is the last thing of a step."""
    if "aborting loop" in line:
        step.converged = "because EDIFF is reached" in line
    elif line.startswith("  in kB"):
        step.stress = _numbers(line)
    elif "direct lattice vectors" in line and "reciprocal" in line:
        run.cell = [_numbers(next(text, ""))[:3] for _ in range(3)]
    elif "TOTAL-FORCE (eV/Angst)" in line:
        next(text, "")
        step.rows = list(_rows(text))
    elif line.startswith("  free  energy   TOTEN"):
        step.free = _numbers(line)[0]
    elif line.startswith("  energy  without entropy"):
        return _numbers(line)[-1]
    else:
        _look_at_head(line, run)
    return None


def _look_at_head(line: str, run: _Run) -> None:
    if line.startswith(("   TITEL  =", " POTCAR:")):
        kind, title = ("TITEL", line.partition("=")[2]) if "TITEL" in line else ("POTCAR", line.partition(":")[2])
        run.titles.setdefault(kind, []).append(title.strip())
    elif "ions per type" in line:
        run.counts = [int(word) for word in line.partition("=")[2].split()]
    elif line.startswith("   GGA     ="):
        run.functional = {"PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91", "CA": "LDA"}.get(
            line.split()[2].upper(), run.functional
        )
    elif line.startswith("   METAGGA="):
        name = line.partition("=")[2].split()[0].upper()
        run.functional = run.functional if name in ("F", "NONE", "--", "T") else name
    elif "LDA+U is selected" in line:
        run.plus_u = True


def _rows(text: IO[str]) -> Iterator[list[float]]:
    for line in text:
        if line.lstrip().startswith("---"):
            return
        yield _numbers(line)


def _found(number: int, run: _Run, step: _Step, without_smearing: float, settings: ReadSettings, path: Path) -> Found:
    if not step.converged:
        return Bad(number, f"ionic step {number}: the electrons did not converge", "unconverged")
    symbols = run.symbols()
    rows = np.array(step.rows, dtype=np.float64).reshape(len(symbols), 6)
    energy = step.free if settings.vasp_energy == "free" else without_smearing
    xx, yy, zz, xy, yz, zx = step.stress or [np.nan] * 6
    stress = full(np.array([xx, yy, zz, yz, zx, xy])) * STRESS_FACTORS["kbar"] if step.stress else None
    return Record(
        number=number,
        numbers=np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64),
        positions=rows[:, :3],
        cell=np.array(run.cell, dtype=np.float64).reshape(3, 3),
        pbc=np.ones(3, dtype=bool),
        energy=energy,
        forces=rows[:, 3:],
        stress=stress,
        id=run_name(path),
        level=run.level(),
    )


def _numbers(line: str) -> list[float]:
    return [float(word) for word in NUMBER.findall(line)]
