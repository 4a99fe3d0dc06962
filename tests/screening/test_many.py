"""Many structures: each computed once whatever happens, equal to what one process gives, in tables that say so."""

import csv
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from tribond.errors import ConfigError, StructureError
from tribond.results.schema import PREDICTED, SCHEMA
from tribond.results.tables import write_rows
from tribond.screening.many import compute, entries
from tribond.screening.store import Store
from tribond.screening.works import Computed


@dataclass(frozen=True)
class Count:
    """Puts down which structures it is given, and fails for gold, alone or in a batch."""

    diary: str
    batch_atoms: int = 0

    def prepare(self):
        """Nothing."""

    def __call__(self, structures):
        with Path(self.diary).open("a") as file:
            file.write(" ".join(atoms.get_chemical_formula() for atoms in structures) + "\n")
        if any("Au" in atoms.symbols for atoms in structures):
            raise StructureError("gold is dear")
        return [Computed({"status": "ok", "energy_eV": len(atoms) / 3}, atoms) for atoms in structures]


def crystals(*formulas):
    return [(f"{number}.cif", bulk(symbol) * (size, 1, 1)) for number, (symbol, size) in enumerate(formulas)]


def diary(path):
    return path.read_text().split("\n")[:-1]


def test_the_largest_come_first_and_the_bad_ones_have_their_rows(tmp_path):
    wanted = entries([*crystals(("Cu", 1), ("Al", 3), ("Au", 2), ("Cu", 2)), ("broken.cif", "no atoms in it")])
    with Store(tmp_path / "a.db") as store:
        found = compute(wanted, Count(str(tmp_path / "diary")), store, jobs=0)
    assert diary(tmp_path / "diary") == ["Al3", "Au2", "Cu2", "Cu"]
    assert found.counts == {"ok": 3, "failed": 2}
    rows = {row["label"]: row for row in Store(tmp_path / "a.db").rows()}
    assert rows["1.cif"]["energy_eV"] == 1.0
    assert rows["2.cif"]["error"] == "gold is dear"
    assert rows["2.cif"]["failure"] == "error"
    assert rows["broken.cif"]["error"] == "no atoms in it"
    assert "formula" not in rows["broken.cif"]


def test_what_is_there_is_not_computed_again_and_twins_are_two_rows(tmp_path):
    first = entries(crystals(("Cu", 1), ("Al", 1)))
    more = entries(crystals(("Cu", 1), ("Al", 1), ("Cu", 1), ("Al", 2)))
    with Store(tmp_path / "a.db") as store:
        compute(first, Count(str(tmp_path / "diary")), store, jobs=0)
    with Store(tmp_path / "a.db") as store:
        found = compute(more, Count(str(tmp_path / "diary")), store, jobs=0)
        assert len(store) == 4
    assert diary(tmp_path / "diary") == ["Cu", "Al", "Al2", "Cu"]
    assert (found.done, found.before) == (4, 2)


def test_a_batch_with_a_bad_structure_is_tried_one_by_one(tmp_path):
    wanted = entries(crystals(("Cu", 1), ("Au", 1), ("Al", 1), ("Al", 9)))
    with Store(tmp_path / "a.db") as store:
        found = compute(wanted, Count(str(tmp_path / "diary"), batch_atoms=9), store, jobs=0)
    assert diary(tmp_path / "diary") == ["Al9", "Cu Au Al", "Cu", "Au", "Al"]
    assert found.counts == {"ok": 3, "failed": 1}


def test_stopping_keeps_what_is_done(tmp_path):
    wanted = entries(crystals(*[("Cu", size) for size in range(1, 9)]))

    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Store(tmp_path / "a.db") as store:
        compute(wanted, Count(str(tmp_path / "diary")), store, jobs=0, on_progress=stop)
    with Store(tmp_path / "a.db") as store:
        assert len(store) == 3
        compute(wanted, Count(str(tmp_path / "diary")), store, jobs=0)
    assert sorted(diary(tmp_path / "diary")) == sorted(["Cu", *(f"Cu{size}" for size in range(2, 9))])


def test_a_store_gives_back_every_bit(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    atoms.calc = SinglePointCalculator(atoms, **results)
    row = {"key": "k", "status": "ok", "energy_eV": 1 / 3, "steps": 7, "error": None, "formula": "Cu4"}
    with Store(tmp_path / "a.db") as store:
        store.add(row, atoms, {"atomic": np.arange(4) / 7})
    again = Store(tmp_path / "a.db")
    found, back = again.get("k")
    assert found == row
    assert "k" in again
    assert "other" not in again
    assert (back.positions == atoms.positions).all()
    assert (back.cell.array == atoms.cell.array).all()
    assert all((back.calc.results[name] == value).all() for name, value in results.items() if name != "energy")
    assert back.get_potential_energy() == results["energy"]
    assert (again.array("k", "atomic") == np.arange(4) / 7).all()


def test_magnetic_moments_of_the_input_cost_no_results(tmp_path):
    atoms = bulk("Fe")
    atoms.set_initial_magnetic_moments([2.2])
    atoms.calc = SinglePointCalculator(atoms, energy=-8.0, forces=np.zeros((1, 3)))
    with Store(tmp_path / "a.db") as store:
        store.add({"key": "k", "status": "ok"}, atoms)
        assert store.get("k")[1].get_potential_energy() == -8.0


@dataclass(frozen=True)
class Moody(Count):
    """Kills its process for silver, and takes its time for copper, until it is told otherwise."""

    def __call__(self, structures):
        is_calm = Path(self.diary).exists()
        if "Ag" in structures[0].symbols and not is_calm:
            os._exit(9)
        if "Cu" in structures[0].symbols and not is_calm:
            time.sleep(30)
        return super().__call__(structures) if is_calm else [Computed({"status": "ok"}, structures[0])]


def test_crashes_are_tried_again_and_slow_ones_with_more_time(tmp_path):
    wanted = entries([*crystals(("Al", 3), ("Ag", 2), ("Cu", 1)), ("broken.cif", "no atoms in it")])
    work = Moody(str(tmp_path / "diary"))
    with Store(tmp_path / "a.db") as store:
        first = compute(wanted, work, store, jobs=1, time_limit_s=1.0)
        assert first.counts == {"ok": 1, "failed": 3}
        (tmp_path / "diary").touch()
        second = compute(wanted, work, store, jobs=0, time_limit_s=1.0)
        assert (second.before, second.counts) == (3, {"ok": 2, "failed": 2})
        other = [*wanted[:3], *entries([("broken.cif", "it is empty")])]
        third = compute(other, work, store, jobs=0, time_limit_s=2.0)
        assert (third.before, third.counts) == (3, {"ok": 3, "failed": 1})
        assert store.get(other[3].key)[0]["error"] == "it is empty"
    assert diary(tmp_path / "diary") == ["Ag2", "Cu"]
    assert len(list(Store(tmp_path / "a.db").rows())) == 4


def test_a_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "a.db").write_text("not a database, whatever its name is\n" * 100)
    with pytest.raises(ConfigError, match=r"a\.db holds no results of tribond, or is damaged"):
        Store(tmp_path / "a.db")


def test_constraints_make_another_structure():
    free, held = bulk("Cu", cubic=True), bulk("Cu", cubic=True)
    held.set_constraint(FixAtoms([0]))
    keys = [entry.key for entry in entries([("a", free), ("b", held), ("c", free), ("d", Atoms("H"))])]
    assert len(set(keys)) == 4
    assert keys[0].split()[0] == keys[2].split()[0]


def test_tables_have_all_digits_and_say_where_they_come_from(tmp_path):
    rows = [
        {"label": "a.cif", "status": "ok", "energy_eV": 1 / 3, "num_atoms": 4},
        {"label": "b.cif", "status": "failed", "error": 'a "comma", here'},
    ]
    about = {"model": {"name": "tiny"}}
    write_rows(tmp_path / "t.csv", rows, PREDICTED, about)
    with (tmp_path / "t.csv").open() as file:
        first, second = csv.DictReader(file)
    assert float(first["energy_eV"]) == 1 / 3
    assert (first["num_atoms"], second["error"], second["energy_eV"]) == ("4", 'a "comma", here', "")

    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "t.parquet", iter(rows), PREDICTED, about)
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table.column_names == [column.name for column in PREDICTED]
    assert table["energy_eV"].to_pylist() == [1 / 3, None]
    said = json.loads(table.schema.metadata[b"tribond"])
    assert said == {"schema": SCHEMA, "model": {"name": "tiny"}}
    assert table.schema.field("energy_eV").metadata[b"meaning"] == b"potential energy of the cell"


def test_a_lock_that_a_killed_process_left_stops_nobody(tmp_path):
    (tmp_path / "a.db.lock").touch()  # ASE's own
    with Store(tmp_path / "a.db") as store:
        store.add({"key": "k", "status": "ok"}, bulk("Cu"))
    assert "k" in Store(tmp_path / "a.db")
