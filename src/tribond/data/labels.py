"""Where energies, forces and stresses stand in a structure that was read, under whatever name."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tribond.errors import DataError
from tribond.units import EV_PER_A3_TO_GPA

Label = Literal["energy", "forces", "stress"]
StressUnit = Literal["eV/A^3", "GPa", "kbar"]
LABELS: tuple[Label, ...] = ("energy", "forces", "stress")

# eV/Å³ of one unit. VASP prints kbar, and pressure positive where tension is positive here: hence the sign.
STRESS_FACTORS: dict[str, float] = {"eV/A^3": 1.0, "GPa": 1 / EV_PER_A3_TO_GPA, "kbar": -0.1 / EV_PER_A3_TO_GPA}
LIKELY = re.compile(r"energ|forc|stress|virial|gradient", re.IGNORECASE)
SPREADS = {
    "energy_std_eV_per_atom",
    "max_force_spread_eV_per_A",
    "forces_std",
    "force_spread",
}  # tribond's, of ensembles
# Names that look like labels and are known to be something else, or to say the same again.
NO_LABELS = {"energies", "stresses", "energy_per_atom", "magnetic_forces"} | SPREADS
AGAIN = "free_energy"  # VASP's, beside the energy that is extrapolated to no smearing
# What a file says of its units, and how it may spell those that tribond wants.
DECLARED = re.compile(r"(energy|force|stress|virial)s?_units?", re.IGNORECASE)
SPELLINGS = {"eV": {"ev"}, "eV/A": {"ev/a"}, "eV/A^3": {"ev/a3"}, "GPa": {"gpa"}, "kbar": {"kbar", "kb"}}
HUGE_STRESS = 1.0  # eV/Å³, 160 GPa | no set of structures has more than half of them beyond
HUGE_FORCE = 50.0  # eV/Å | the same


@dataclass(frozen=True)
class LabelKeys:
    """Names of the labels in a file; None: ASE's names, and `force` and `virial` where those are missing."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None

    def given(self) -> dict[str, str]:
        """Those that the user named, by option."""
        named = {"energy_key": self.energy, "forces_key": self.forces, "stress_key": self.stress}
        return {option: name for option, name in (named | {"virial_key": self.virial}).items() if name is not None}

    def check(self) -> None:
        """Raise DataError for two names of one label."""
        if self.stress is not None and self.virial is not None:
            msg = f"stress_key {self.stress} and virial_key {self.virial} name the same label; leave one out"
            raise DataError(msg)


@dataclass
class Seen:
    """Names in a file that look like labels, and those that were used."""

    names: set[str]
    used: set[str]
    taken: set[str]  # said in words: 'force' as forces
    units: set[tuple[str, str]]  # as the file says: ("stress_unit", "GPa")

    @classmethod
    def nothing(cls) -> "Seen":
        """Of a file that is still to be read."""
        return cls(set(), set(), set(), set())

    def look(self, names: Iterable[str]) -> None:
        """Remember those that look like labels."""
        self.names.update(
            name for name in names if name not in NO_LABELS and LIKELY.search(name) and DECLARED.fullmatch(name) is None
        )

    def look_for_units(self, values: Mapping[str, Any]) -> None:
        """Remember what the file says of its units."""
        self.units.update(
            (name, value) for name, value in values.items() if isinstance(value, str) and DECLARED.fullmatch(name)
        )

    def check_units(self, wanted: Collection[str], stress_unit: StressUnit, file: str) -> None:
        """Refuse labels in other units than they were taken for.

        Raises:
            DataError: names what the file says, and what to do.
        """
        for name, said in sorted(self.units):
            kind = DECLARED.fullmatch(name)[1].lower()  # type: ignore[index]  # only such names are kept
            label, unit = {
                "energy": ("energy", "eV"),
                "force": ("forces", "eV/A"),
                "stress": ("stress", stress_unit),
                "virial": ("stress", "eV"),
            }[kind]
            if label not in wanted or _plain_unit(said) in SPELLINGS[unit]:
                continue
            other = next(
                (u for u in get_args(StressUnit) if kind == "stress" and _plain_unit(said) in SPELLINGS[u]), None
            )
            advice = (
                f"convert the file to {unit}"
                if other is None
                else f"--stress-unit {other} (in training files stress_unit: {other}) reads it so"
            )
            msg = f"{file} says {name} = {said}, and it would be read as {unit}: {advice}"
            raise DataError(msg)

    def notes(self, wanted: Collection[str], keys: LabelKeys) -> list[str]:
        """What the user should know."""
        notes = sorted(self.taken)
        again = {AGAIN} if any(option_of(name) == "energy_key" for name in self.used) else set()
        unused = sorted(name for name in self.names - self.used - again if self._wanted(name, wanted))
        if unused:
            notes.append(
                f"{', '.join(unused)} {'are' if len(unused) > 1 else 'is'} in the file and not used; {hint(unused)}"
            )
        missing = [f"{option} {name}" for option, name in keys.given().items() if name not in self.used]
        if missing:
            notes.append(f"no structure has {', '.join(missing)}")
        return notes

    def _wanted(self, name: str, wanted: Collection[str]) -> bool:
        return option_of(name).removesuffix("_key").replace("virial", "stress") in wanted


def _plain_unit(text: str) -> str:
    """eV/Å³, ev/Ang^3 and eV/A**3 are the same."""
    text = text.strip().lower().replace("³", "3").replace("å", "a").replace(" ", "")
    return re.sub(r"ang(strom)?", "a", re.sub(r"[\^*()]", "", text))


def option_of(name: str) -> str:
    """The setting that would name this."""
    lower = name.lower()
    if "virial" in lower:
        return "virial_key"
    if "stress" in lower:
        return "stress_key"
    return "energy_key" if "energ" in lower else "forces_key"


def hint(names: Collection[str]) -> str:
    """How to use labels of these names."""
    settings = {option_of(name): name for name in sorted(names)}
    flags = " ".join(f"--{option.replace('_', '-')} {name}" for option, name in settings.items())
    lines = ", ".join(f"{option}: {name}" for option, name in settings.items())
    return f"name what is meant: {flags} (in training files {lines})"


def without_labels(atoms: Atoms) -> Atoms:
    """A copy without calculator and without anything whose name says energy, force, stress or virial.

    More than what is taken for a label goes: what is known to be none says the same again, or is of another model, and units
    of what is gone would be taken for those of labels to come.
    """
    bare = atoms.copy()
    for place in (bare.info, bare.arrays):
        for name in [name for name in place if LIKELY.search(str(name))]:
            del place[name]
    if isinstance(pairs := bare.info.get("key_value_pairs"), Mapping):  # of a database
        bare.info["key_value_pairs"] = {name: it for name, it in pairs.items() if not LIKELY.search(str(name))}
    return bare


def find(atoms: Atoms, keys: LabelKeys, wanted: Collection[str], seen: Seen, origin: str) -> dict[str, Any]:
    """Energy, forces and stress of a structure, stresses as in the file but with ASE's sign where they were virials.

    Raises:
        DataError: for labels of the wrong shape under a name that the user gave.
    """
    results: Mapping[str, Any] = atoms.calc.results if atoms.calc is not None else {}
    pairs = atoms.info.get("key_value_pairs") or {}  # of a database
    places: tuple[Mapping[str, Any], ...] = (atoms.info, pairs, atoms.arrays, results)
    seen.look([*results, *atoms.info, *pairs, *(name for name in atoms.arrays if name not in ("numbers", "positions"))])
    for place in (atoms.info, pairs):
        seen.look_for_units(place)
    found: dict[str, Any] = {}
    if "energy" in wanted:
        found["energy"] = _take("energy", keys.energy, ["energy"], places, results, ((),), seen, origin)
    if "forces" in wanted:
        shape = ((len(atoms), 3),)
        found["forces"] = _take("forces", keys.forces, ["forces", "force"], places, results, shape, seen, origin)
    if "stress" in wanted:
        shapes = ((3, 3), (6,), (9,))
        value = None
        if keys.virial is None:
            value = _take("stress", keys.stress, ["stress"], places, results, shapes, seen, origin)
        if value is None and keys.stress is None:
            virial = _take("virial", keys.virial, ["virial"], places, results, shapes, seen, origin)
            if virial is not None and atoms.pbc.all():
                value = stress_of_virial(full(virial), atoms.cell.array)
                seen.taken.add("virials were turned into stresses: stress = -virial / volume")
                found["is_virial"] = True
        elif value is not None and keys.stress is None and "virial" in atoms.info:
            _check_sign(full(value), atoms, seen)
        found["stress"] = None if value is None else full(value)
    return found


def _take(
    label: str,
    key: str | None,
    standard: list[str],
    places: tuple[Mapping[str, Any], ...],
    results: Mapping[str, Any],
    shapes: tuple[tuple[int, ...], ...],
    seen: Seen,
    origin: str,
) -> Any:
    names = standard if key is None else [key]
    for name in names:
        for place in (results, *places):
            if name not in place or place[name] is None:
                continue
            try:
                value = np.asarray(place[name], dtype=np.float64)
            except (TypeError, ValueError):
                value = np.zeros((0,))
            if value.shape in shapes or (value.size == 1 and () in shapes and value.ndim <= 1):
                seen.used.add(name)
                if name != standard[0] and key is None and label != "virial":
                    seen.taken.add(f"{name} was taken as {label}")
                return float(value.reshape(())) if () in shapes else value
            if key is not None:
                msg = f"{origin}: {name} has the shape {value.shape}, which is no {label}"
                raise DataError(msg)
            if value.ndim and value.size and (label != "forces" or len(value) == shapes[0][0]):
                seen.taken.add(f"{name} is there for each atom, which is no {label} of the structure; it was not used")
                seen.used.add(name)
    return None


def full(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voigt (xx, yy, zz, yz, xz, xy), nine numbers or (3, 3) to (3, 3)."""
    if stress.shape == (3, 3):
        return stress
    if stress.shape == (9,):
        return stress.reshape(3, 3).T
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def stress_of_virial(virial: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) eV/Å³ with ASE's sign from (3, 3) eV: a compressed crystal has a positive virial and a negative stress."""
    volume = abs(float(np.linalg.det(cell)))
    return -virial / volume if volume > 0 else np.full((3, 3), np.nan)


def _check_sign(stress: NDArray[np.float64], atoms: Atoms, seen: Seen) -> None:
    """Stress and virial of one structure must agree."""
    virial = np.asarray(atoms.info["virial"], dtype=np.float64)
    seen.used.add("virial")
    if virial.shape not in ((3, 3), (6,), (9,)) or not atoms.pbc.all():
        return
    other = stress_of_virial(full(virial), atoms.cell.array)
    size = np.abs(other).max()
    if size > 1e-6 and np.abs(stress + other).max() < 0.1 * size:
        seen.taken.add(
            "stress and virial have the same sign, but stress = -virial / volume: one of the two has another sign"
        )


def size_notes(stresses: NDArray[np.float64], largest_forces: NDArray[np.float64], unit: str) -> list[str]:
    """Notes on units that cannot be, by the size of the numbers.

    Args:
        stresses: (frames, 3, 3) eV/Å³; NaN where there is none.
        largest_forces: (frames,) eV/Å, the largest component of each; NaN where there is none.
        unit: of the stresses, as it was given.
    """
    notes = []
    known = stresses[~np.isnan(stresses).any(axis=(1, 2))]
    if len(known):
        typical = float(np.median(np.abs(known).max(axis=(1, 2))))
        if typical > HUGE_STRESS:
            notes.append(
                f"stresses of {typical:.3g} eV/Å³ ({typical * EV_PER_A3_TO_GPA:.0f} GPa), as half of the structures have, are no "
                f"{unit} ({HUGE_STRESS * EV_PER_A3_TO_GPA:.0f} GPa are rare): they may be GPa (stress_unit GPa), VASP's kbar (stress_unit "
                "kbar, which turns the sign too), or virials in eV (virial_key)"
            )
    forced = largest_forces[~np.isnan(largest_forces)]
    if len(forced):
        typical = float(np.median(forced))
        if typical > HUGE_FORCE:
            notes.append(
                f"forces of {typical:.3g} eV/Å, as half of the structures have, are rare: they may be kcal/mol/Å, kJ/mol/nm or "
                "another unit; tribond wants eV/Å"
            )
    return notes
