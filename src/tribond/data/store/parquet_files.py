"""Tables in Parquet with one structure a row, a group of rows at a time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tribond.data.labels import LABELS, STRESS_FACTORS, Seen, full, stress_of_virial
from tribond.data.store.opening import why
from tribond.data.store.record import Bad, Found, Reader, Record
from tribond.data.store.settings import ReadSettings
from tribond.errors import DataError

AT_ONCE = 256  # rows
# What columns are called, the first that is there counts.
NUMBERS = ("atomic_numbers", "numbers")
SYMBOLS = ("symbols", "species", "elements_of_atoms", "species_at_sites")
POSITIONS = ("positions", "cartesian_site_positions", "pos", "coords")
CELLS = ("cell", "lattice_vectors", "lattice")
PERIODIC = ("pbc", "periodic")
ENERGIES = ("energy", "total_energy", "energy_eV")
FORCES = ("forces", "atomic_forces", "force")
STRESSES = ("stress", "stress_tensor", "cauchy_stress")
LEVELS = ("functional", "method", "level_of_theory")


def read_parquet(path: Path, settings: ReadSettings, on_note: Callable[[str], object]) -> Reader:
    """The structures of a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    seen = Seen.nothing()
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            columns = _columns(names, settings)
            missing = [what for what in ("positions", "cell") if what not in columns]
            if missing or not {"numbers", "symbols"} & columns.keys():
                yield Bad(
                    0,
                    f"the table has no column of {', '.join(missing or ['atomic_numbers'])}; it has {', '.join(sorted(names))}",
                    "lost",
                )
                return
            unused = {name for name in names - set(columns.values()) if _looks_like_label(name)}
            if unused:
                on_note(f"{', '.join(sorted(unused))} in the table and not used; --energy-key and the like name labels")
            if "stress" in columns and settings.stress_unit is None:
                on_note(f"{columns['stress']} is taken as eV/Å³ with ASE's sign; --stress-unit says otherwise")
            for batch in file.iter_batches(batch_size=AT_ONCE, columns=sorted(set(columns.values()))):
                for row in batch.to_pylist():
                    seen.used.update(name for name, value in row.items() if value is not None)
                    yield _found(number, {what: row[name] for what, name in columns.items()}, settings)
                    number += 1
    except (pa.ArrowException, OSError) as error:
        yield Bad(number, f"the rest of the file cannot be read: {why(error)}", "lost")
    for note in seen.notes(LABELS, settings.keys):
        on_note(note)


def _looks_like_label(name: str) -> bool:
    seen = Seen.nothing()
    seen.look([name])
    return bool(seen.names)


def _columns(names: set[str], settings: ReadSettings) -> dict[str, str]:
    keys = settings.keys
    wanted: dict[str, tuple[str, ...]] = {
        "numbers": NUMBERS,
        "symbols": SYMBOLS,
        "positions": POSITIONS,
        "cell": CELLS,
        "pbc": PERIODIC,
        "energy": ENERGIES if keys.energy is None else (keys.energy,),
        "forces": FORCES if keys.forces is None else (keys.forces,),
        "stress": () if keys.virial is not None else STRESSES if keys.stress is None else (keys.stress,),
        "virial": () if keys.virial is None else (keys.virial,),
        "level": LEVELS,
        "id": settings.id_keys,
    }
    found = {what: next((name for name in known if name in names), None) for what, known in wanted.items()}
    return {what: name for what, name in found.items() if name is not None}


def _found(number: int, row: Mapping[str, Any], settings: ReadSettings) -> Found:
    try:
        energy, forces = row.get("energy"), row.get("forces")
        cell = _array(row["cell"]).reshape(3, 3)
        pbc = np.ones(3, dtype=bool) if row.get("pbc") is None else np.array(row["pbc"], dtype=bool).reshape(3)
        stress = None if row.get("stress") is None else _stress(row["stress"]) * STRESS_FACTORS[settings.unit()]
        if row.get("virial") is not None and pbc.all():
            stress = stress_of_virial(_stress(row["virial"]), cell)
        return Record(
            number=number,
            numbers=_numbers(row),
            positions=_array(row["positions"]).reshape(-1, 3),
            cell=cell,
            pbc=pbc,
            energy=None if energy is None else float(energy),
            forces=None if forces is None else _array(forces).reshape(-1, 3),
            stress=stress,
            id=None if row.get("id") is None else str(row["id"]),
            level=None if row.get("level") is None else str(row["level"]),
        )
    except (DataError, ValueError, TypeError, KeyError) as error:
        return Bad(number, f"it is not as it should be ({error})", id=None if row.get("id") is None else str(row["id"]))


def _numbers(row: Mapping[str, Any]) -> NDArray[np.int64]:
    if row.get("numbers") is not None:
        return np.array(row["numbers"], dtype=np.int64)
    unknown = sorted({symbol for symbol in row["symbols"] if symbol not in atomic_numbers})
    if unknown:
        raise DataError(f"{', '.join(unknown)} is no element")
    return np.array([atomic_numbers[symbol] for symbol in row["symbols"]], dtype=np.int64)


def _stress(of_row: Any) -> NDArray[np.float64]:
    """Of a stress, or a virial."""
    values = _array(of_row)
    if values.size == 9:
        return values.reshape(3, 3)
    if values.shape != (6,):
        raise DataError(f"a stress of shape {values.shape}")
    return full(values)


def _array(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)
