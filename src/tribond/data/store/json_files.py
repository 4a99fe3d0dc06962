"""MatPES, MPtrj and other JSON of pymatgen structures with labels."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tribond.data.labels import LABELS, STRESS_FACTORS, Seen, full, stress_of_virial
from tribond.data.store.json_stream import JsonError, values
from tribond.data.store.opening import DAMAGED, text_of, why
from tribond.data.store.record import Bad, Found, Reader, Record
from tribond.data.store.settings import ReadSettings
from tribond.errors import DataError

# Names of the labels, the first that is there counts. MPtrj: the energy as VASP gives it, without the corrections of the
# Materials Project, which are no function of the positions.
ENERGIES = ("uncorrected_total_energy", "energy", "total_energy")
FORCES = ("forces", "force")
STRESSES = ("stress",)
ASE_ROW = {"numbers", "positions"}


def read_json(path: Path, settings: ReadSettings, on_note: Callable[[str], object]) -> Reader:
    """The structures of a JSON file: records with `structure` in a list, in a dictionary, or one a line; or materials with several each, as MPtrj has them."""
    number = 0
    notes = set()
    seen = Seen.nothing()
    try:
        with text_of(path) as text:
            for key, value in values(text):
                for name, record in _records_in(key, value):
                    found = _found(number, name, record, settings, seen)
                    number += 1
                    if _is_unit_guessed(found, settings):
                        notes.add(_unit_note(record))
                    yield found
    except JsonError as error:
        yield Bad(number, f"the rest of the file cannot be read: it is no JSON: {error}", "lost")
    except DAMAGED as error:
        yield Bad(number, f"the rest of the file cannot be read: {why(error)}", "lost")
    for note in [*sorted(notes), *seen.notes(LABELS, settings.keys)]:
        on_note(note)


def _is_unit_guessed(found: Found, settings: ReadSettings) -> bool:
    has_stress = isinstance(found, Record) and found.stress is not None
    return has_stress and settings.stress_unit is None and settings.keys.virial is None


def _records_in(key: str | None, value: Any) -> Iterator[tuple[str | None, Any]]:
    """The records in a value, each with its name."""
    if isinstance(value, dict) and "structure" not in value and value and not ASE_ROW & value.keys():
        inner = list(value.items())
        if all(isinstance(it, dict) and "structure" in it for _, it in inner):
            yield from ((key, it) for _, it in inner)  # MPtrj: frames of one material
            return
    yield key, value


def _found(number: int, key: str | None, record: Any, settings: ReadSettings, seen: Seen) -> Found:
    name = key
    try:
        if not isinstance(record, Mapping) or not isinstance(record.get("structure"), Mapping):
            raise DataError("it has no structure")
        name = _id(record, settings) or key
        return _record(number, name, record, settings, seen)
    except (DataError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = (
            str(error)
            if isinstance(error, DataError)
            else f"it is not as it should be ({type(error).__name__}: {error})"
        )
        return Bad(number, what, id=name)


def _id(record: Mapping[str, Any], settings: ReadSettings) -> str | None:
    """What structures of one material share, so that a split by id keeps them together."""
    provenance = record.get("provenance")
    if settings.id_key is None and isinstance(provenance, Mapping) and provenance.get("original_mp_id"):
        return str(provenance["original_mp_id"])
    return next((str(record[key]) for key in settings.id_keys if record.get(key) is not None), None)


def _record(number: int, name: str | None, record: Mapping[str, Any], settings: ReadSettings, seen: Seen) -> Record:
    numbers, positions, cell, pbc = structure_of(record["structure"])
    keys = settings.keys
    energy = _label(record, ENERGIES if keys.energy is None else (keys.energy,), seen)
    forces = _label(record, FORCES if keys.forces is None else (keys.forces,), seen)
    if keys.virial is None:
        stress = _label(record, STRESSES if keys.stress is None else (keys.stress,), seen)
        stress = None if stress is None else full(stress) * STRESS_FACTORS[settings.unit("kbar")]
    else:
        virial = _label(record, (keys.virial,), seen)
        stress = None if virial is None or not pbc.all() else stress_of_virial(full(virial), cell)
    level = record.get("functional")
    return Record(
        number=number,
        numbers=numbers,
        positions=positions,
        cell=cell,
        pbc=pbc,
        energy=None if energy is None else float(energy.reshape(())),
        forces=forces,
        stress=stress,
        id=name,
        level=str(level) if level else None,
    )


def _label(record: Mapping[str, Any], names: tuple[str, ...], seen: Seen) -> NDArray[np.float64] | None:
    name = next((name for name in names if record.get(name) is not None), None)
    if name is None:
        return None
    seen.used.add(name)
    return np.array(record[name], dtype=np.float64)


def _unit_note(record: Mapping[str, Any]) -> str:
    kind = "MPtrj" if "uncorrected_total_energy" in record else "MatPES" if "matpes_id" in record else "this JSON"
    return f"stresses of {kind} are taken as VASP's kbar with VASP's sign; --stress-unit says otherwise"


def structure_of(
    content: Mapping[str, Any],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers, positions, cell and pbc of a structure (or molecule) as pymatgen writes it.

    Raises:
        DataError: if it is not ordered, or of no elements.
    """
    symbols = [_symbol(site) for site in content["sites"]]
    lattice = content.get("lattice")
    if lattice is None:
        positions = np.array([site["xyz"] for site in content["sites"]], dtype=np.float64).reshape(-1, 3)
        return _numbers(symbols), positions, np.zeros((3, 3)), np.zeros(3, dtype=bool)
    cell = np.array(lattice["matrix"], dtype=np.float64)
    inside = np.array([site["abc"] for site in content["sites"]], dtype=np.float64).reshape(-1, 3)
    return _numbers(symbols), inside @ cell, cell, np.array(lattice.get("pbc", (True,) * 3), dtype=bool)


def _symbol(site: Mapping[str, Any]) -> str:
    species = site["species"]
    if len(species) != 1 or float(species[0].get("occu", 1)) != 1.0:
        raise DataError("a site has several elements, or is not fully occupied: tribond wants ordered structures")
    return str(species[0]["element"])


def _numbers(symbols: list[str]) -> NDArray[np.int64]:
    unknown = sorted({symbol for symbol in symbols if symbol not in atomic_numbers or symbol == "X"})
    if unknown:
        raise DataError(f"{', '.join(unknown)} is no element")
    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)
