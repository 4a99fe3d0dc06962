"""Every format gives the structures and labels that were written, and names what it cannot use."""

import gzip
import json
import shutil
import zlib
from pathlib import Path

import ase.test
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.db.row import atoms2dict
from ase.io import read, write

from tribond.data.labels import LabelKeys
from tribond.data.store.inputs import READERS, inputs_of, kind_of
from tribond.data.store.record import Bad, Record
from tribond.data.store.settings import ReadSettings
from tribond.data.store.vasprun import read_vasprun
from tribond.errors import DataError
from tribond.units import EV_PER_A3_TO_GPA

VASP = Path(ase.test.__file__).parent / "testdata" / "vasp"
KBAR = -10 * EV_PER_A3_TO_GPA  # VASP's kbar in one eV/Å³


def crystal(seed=0):
    random = np.random.default_rng(seed)
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.rattle(0.05, seed=seed)
    stress = random.normal(0, 0.01, 6)
    atoms.calc = SinglePointCalculator(atoms, energy=-6.0 - seed, forces=random.normal(0, 1, (2, 3)), stress=stress)
    return atoms


def pymatgen_dict(atoms):
    inside = atoms.get_scaled_positions(wrap=False)
    return {
        "@module": "pymatgen.core.structure",
        "lattice": {"matrix": atoms.cell.array.tolist(), "pbc": [True, True, True]},
        "sites": [
            {"species": [{"element": symbol, "occu": 1}], "abc": place.tolist(), "label": symbol}
            for symbol, place in zip(atoms.symbols, inside, strict=True)
        ],
    }


def read_all(path, settings=None):
    kind = kind_of(path)
    return kind, *read_all_as(kind, path, settings)


def read_all_as(kind, path, settings=None):
    notes = []
    return list(READERS[kind](path, settings or ReadSettings(), notes.append)), notes


def assert_is(record, atoms, tolerance=1e-12):
    assert isinstance(record, Record), record
    assert record.numbers.tolist() == atoms.numbers.tolist()
    assert np.abs(record.positions - atoms.positions).max() < tolerance
    assert np.abs(record.cell - atoms.cell.array).max() < tolerance
    assert record.pbc.tolist() == atoms.pbc.tolist()
    assert record.energy == pytest.approx(atoms.get_potential_energy(), abs=tolerance)
    assert np.abs(record.forces - atoms.get_forces()).max() < tolerance
    assert np.abs(record.stress - atoms.get_stress(voigt=False)).max() < tolerance


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz.gz", "a.traj"])
def test_files_of_ase(tmp_path, name):
    images = [crystal(seed) for seed in range(3)]
    for number, it in enumerate(images):
        it.info["material_id"] = f"m{number}"
    path = tmp_path / name
    write(path, images, format="traj" if name.endswith("traj") else "extxyz")
    kind, found, _ = read_all(path)
    assert kind == ("other" if name.endswith("traj") else "extxyz")
    for number, (record, atoms) in enumerate(zip(found, images, strict=True)):
        assert_is(record, atoms, 1e-7)
        assert record.number == number
        assert record.id == (None if kind == "other" else f"m{number}")


def test_a_damaged_structure_costs_no_other_one(tmp_path):
    path = tmp_path / "a.extxyz"
    write(path, [crystal(seed) for seed in range(4)])
    lines = path.read_text().splitlines()
    lines[4 * 1 + 2] = "Na 0.0 zero 0.0 0 0 0"  # an atom of the second
    lines[4 * 2] = "two"  # the number of atoms of the third
    path.write_text("\n".join(lines) + "\n")
    _, found, _ = read_all(path)
    assert [type(it) for it in found] == [Record, Bad, Bad, Record]
    assert "lines 9 to 12" in found[2].reason
    assert_is(found[3], crystal(3), 1e-7)
    assert [it.number for it in found] == [0, 1, 2, 3]


@pytest.mark.parametrize("ending", ["extxyz", "extxyz.gz"])
def test_a_file_that_was_cut_off_says_so(tmp_path, ending):
    path = tmp_path / "a.extxyz"
    write(path, [crystal(seed) for seed in range(600)])
    content = path.read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(gzip.compress(content)[:-100] if ending.endswith("gz") else content[:-100])
    _, found, _ = read_all(cut)
    assert all(isinstance(it, Record) for it in found[:-1])
    assert len(found) > 500
    assert isinstance(found[-1], Bad)
    assert found[-1].number == len(found) - 1
    assert ("rest of the file" in found[-1].reason) == ending.endswith("gz")


def test_units_in_a_file_must_be_those_it_is_read_with(tmp_path):
    path = tmp_path / "a.extxyz"
    atoms = crystal()
    atoms.info["stress_unit"] = "GPa"
    write(path, atoms)
    with pytest.raises(DataError, match="stress_unit = GPa"):
        read_all(path)
    _, (record,), _ = read_all(path, ReadSettings(stress_unit="GPa"))
    assert np.allclose(record.stress * EV_PER_A3_TO_GPA, atoms.get_stress(voigt=False))


def mptrj(images):
    return {
        f"mp-{number}": {
            f"mp-{number}-{frame}-0": {
                "structure": pymatgen_dict(atoms),
                "uncorrected_total_energy": atoms.get_potential_energy(),
                "corrected_total_energy": atoms.get_potential_energy() - 1.0,
                "energy_per_atom": 0.0,
                "force": atoms.get_forces().tolist(),
                "stress": (KBAR * atoms.get_stress(voigt=False)).tolist(),
                "magmom": None,
                "mp_id": f"mp-{number}",
            }
            for frame in range(2)
        }
        for number, atoms in enumerate(images)
    }


def matpes(images, functional="r2SCAN"):
    return [
        {
            "nsites": 2,
            "structure": pymatgen_dict(atoms),
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces().tolist(),
            "stress": (KBAR * atoms.get_stress()).tolist(),
            "matpes_id": f"matpes-{number}",
            "functional": functional,
            "provenance": {"original_mp_id": f"mp-{number}"},
        }
        for number, atoms in enumerate(images)
    ]


def test_mptrj(tmp_path):
    images = [crystal(seed) for seed in range(3)]
    path = tmp_path / "MPtrj_2022.9_full.json"
    path.write_text(json.dumps(mptrj(images)))
    _, found, notes = read_all(path)
    assert [it.id for it in found] == ["mp-0", "mp-0", "mp-1", "mp-1", "mp-2", "mp-2"]
    for record, atoms in zip(found[::2], images, strict=True):
        assert_is(record, atoms)
    assert "VASP's kbar" in notes[0]


@pytest.mark.parametrize("form", ["list", "packed list", "lines"])
def test_matpes(tmp_path, form, monkeypatch):
    monkeypatch.setattr("tribond.data.store.json_stream.PIECE", 1000)  # values reach over the pieces that are read
    images = [crystal(seed) for seed in range(3)]
    records = matpes(images)
    path = tmp_path / ("MatPES.json.gz" if form == "packed list" else "MatPES.json")
    text = "\n".join(map(json.dumps, records)) if form == "lines" else json.dumps(records, indent=1)
    path.write_bytes(gzip.compress(text.encode()) if form == "packed list" else text.encode())
    _, found, _ = read_all(path)
    assert [(it.id, it.level) for it in found] == [("mp-0", "r2SCAN"), ("mp-1", "r2SCAN"), ("mp-2", "r2SCAN")]
    for record, atoms in zip(found, images, strict=True):
        assert_is(record, atoms)


@pytest.mark.parametrize("first", [matpes([crystal()]), [], mptrj([crystal()]), {}])
def test_what_follows_the_end_of_json_is_told(tmp_path, first):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(first, indent=1) + "\n")
    assert all(isinstance(it, Record) for it in read_all_as("json", path)[0])
    path.write_text(json.dumps(first, indent=1) + "\n" + json.dumps(matpes([crystal(1)])))  # cat a.json b.json
    last = read_all_as("json", path)[0][-1]
    assert (last.kind, "more follows after the end at character" in last.reason) == ("lost", True)


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_names_of_labels_in_json_and_parquet(tmp_path, kind):
    images = [crystal(seed) for seed in range(2)]
    records = matpes(images)
    for record, atoms in zip(records, images, strict=True):
        record["w"] = (-atoms.get_volume() * atoms.get_stress(voigt=False)).tolist()
        if kind == "parquet":
            record |= {"numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist()}
            record |= {"cell": atoms.cell.tolist()}
            del record["structure"]
    path = tmp_path / f"a.{kind}"
    if kind == "json":
        path.write_text(json.dumps(records))
    else:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist(records), path)
    found, notes = read_all_as(kind, path, ReadSettings(keys=LabelKeys(virial="w")))
    for record, atoms in zip(found, images, strict=True):
        assert_is(record, atoms)
    assert not any("taken as" in note or "no structure has" in note for note in notes)
    keys = LabelKeys(energy="enthalpy", forces="gradient", virial="pressure")
    found, notes = read_all_as(kind, path, ReadSettings(keys=keys))
    assert {(it.energy, it.forces, it.stress) for it in found} == {(None, None, None)}
    assert "no structure has energy_key enthalpy, forces_key gradient, virial_key pressure" in notes


def test_wrong_records_in_json(tmp_path):
    records = matpes([crystal(seed) for seed in range(5)])
    records[1]["structure"]["sites"][0]["species"].append({"element": "K", "occu": 0.5})
    records[2]["forces"] = "none"
    records[3]["structure"]["sites"][0]["species"][0]["element"] = "Qq"
    path = tmp_path / "a.json"
    path.write_text(json.dumps(records))
    _, found, _ = read_all(path)
    assert [type(it) for it in found] == [Record, Bad, Bad, Bad, Record]
    assert "fully occupied" in found[1].reason
    assert (found[2].number, found[2].id) == (2, "mp-2")
    assert "Qq is no element" in found[3].reason
    path.write_text(json.dumps(records)[:-3000])
    _, found, _ = read_all(path)
    assert found[-1].kind == "lost"
    assert "no JSON" in found[-1].reason
    assert "at character" in found[-1].reason


def test_parquet(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [crystal(seed) for seed in range(3)]
    rows = [
        {
            "material_id": f"m{number}",
            "atomic_numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.tolist(),
            "pbc": [True, True, True],
            "energy": atoms.get_potential_energy(),
            "atomic_forces": atoms.get_forces().tolist(),
            "cauchy_stress": atoms.get_stress(voigt=False).tolist(),
            "energy_corrected": 0.0,
        }
        for number, atoms in enumerate(images)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    kind, found, notes = read_all(tmp_path / "a.parquet")
    assert kind == "parquet"
    for record, atoms in zip(found, images, strict=True):
        assert_is(record, atoms)
    assert found[2].id == "m2"
    assert "energy_corrected" in notes[0]
    assert "cauchy_stress is taken as eV/Å³" in notes[1]
    pq.write_table(pa.table({"energy": [1.0]}), tmp_path / "b.parquet")
    assert "no column of positions, cell" in read_all(tmp_path / "b.parquet")[1][0].reason


def test_databases_of_ase(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    images = [crystal(seed) for seed in range(3)]
    with connect(tmp_path / "a.db") as database:
        for number, atoms in enumerate(images):
            database.write(atoms, material_id=f"m{number}")
    with (
        lmdb.open(str(tmp_path / "a.aselmdb"), subdir=False, map_size=1 << 20) as environment,
        environment.begin(write=True) as transaction,
    ):
        for number, atoms in enumerate(images, 1):
            row = atoms2dict(atoms) | {
                "cell": atoms.cell.array,
                "energy": atoms.get_potential_energy(),
                "calculator": "unknown",
            }
            row |= {"forces": atoms.get_forces(), "stress": atoms.get_stress(), "calculator_parameters": {}}
            plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()}
            plain |= {"key_value_pairs": {"material_id": f"m{number - 1}"}, "data": {}}
            transaction.put(str(number).encode(), zlib.compress(json.dumps(plain).encode()))
        transaction.put(b"nextid", zlib.compress(b"5"))
        transaction.put(b"deleted_ids", zlib.compress(b"[]"))
    for name, expected in (("a.db", "db"), ("a.aselmdb", "aselmdb")):
        kind, found, _ = read_all(tmp_path / name)
        assert kind == expected
        for number, atoms in enumerate(images):
            assert_is(found[number], atoms)
            assert found[number].id == f"m{number}"
    assert "row 4: the row is missing" in found[3].reason  # nextid says that there were four


@pytest.mark.parametrize("name", ["vasprun_pstress.xml", "OUTCAR_example_1"])
def test_vasp_as_ase_reads_it(tmp_path, name):
    run = tmp_path / "run-7"
    run.mkdir()
    path = run / ("vasprun.xml" if name.endswith("xml") else "OUTCAR")
    shutil.copy(VASP / name, path)
    (only,) = inputs_of([str(tmp_path)], lambda _: None)
    assert (only.path, only.kind) == (path, "vasprun" if name.endswith("xml") else "outcar")
    _, (record,), _ = read_all(path)
    assert_is(record, read(path), 1e-8)
    assert record.id == run.as_posix()
    assert record.level == ("VASP LDA" if name.endswith("xml") else "VASP PBE")


def test_folders_of_workflows(tmp_path, monkeypatch):
    """One id a run, and the files that workflows leave beside it are no data."""
    monkeypatch.chdir(tmp_path)
    for place in ("runs/mp-1/relax1", "runs/mp-2/relax1"):
        Path(place).mkdir(parents=True)
        shutil.copy(VASP / "vasprun_pstress.xml", Path(place) / "vasprun.xml")
        for name in ("custodian.json", "FW.json", "OUTCAR"):
            (Path(place) / name).write_text('{"a": 1}')
    notes = []
    inputs = inputs_of(["runs"], notes.append)
    assert [(it.kind, next(read_vasprun(it.path, ReadSettings(), print)).id) for it in inputs] == [
        ("vasprun", "runs/mp-1/relax1"),
        ("vasprun", "runs/mp-2/relax1"),
    ]
    assert notes == [
        "runs: 4 files beside runs of VASP are not read (first runs/mp-1/relax1/FW.json); name them one by one if they are data"
    ]
    assert inputs[0].unit(ReadSettings(stress_unit="GPa")) == "kbar"  # as it is read


def test_unconverged_and_missing_steps_of_vasp(tmp_path):
    text = (VASP / "vasprun_pstress.xml").read_text(encoding="latin-1")
    head, step = text.partition(" <calculation>")[0], text.partition(" <calculation>")[2].partition("</calculation>")[0]
    once = step.partition("</scstep>")[0] + "</scstep>"
    stuck = once * 60 + step.rpartition("</scstep>")[2]
    path = tmp_path / "vasprun.xml"
    whole = [f"<calculation>{it}</calculation>" for it in (step, stuck, step)]
    path.write_text(head + "".join(whole) + "<calculation><scstep>", encoding="latin-1")
    _, found, _ = read_all(path)
    assert [getattr(it, "kind", "good") for it in found] == ["good", "unconverged", "good", "lost"]
    assert "after 3 ionic steps" in found[3].reason
    outcar = (VASP / "OUTCAR_example_1").read_text()
    marker = "aborting loop because EDIFF is reached"
    begin = outcar.index("- Iteration") if "- Iteration" in outcar else outcar.index(marker)
    again = outcar[begin:].replace(marker, "aborting loop EDIFF was not reached (unconverged)")
    path = tmp_path / "OUTCAR"
    path.write_text(outcar + again + outcar[begin:])
    _, found, _ = read_all(path)
    assert [getattr(it, "kind", "good") for it in found] == ["good", "unconverged", "good"]


def test_pickles_are_refused_unread(tmp_path):
    for name, content in (("block_0.p", b"x"), ("data.json", b"\x80\x04cos\nsystem\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="pickle"):
            inputs_of([str(tmp_path / name)], lambda _: None)


def test_levels_and_folders(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "one.extxyz", crystal())
    (tmp_path / "a" / "README").write_text("x")
    write(tmp_path / "b=c.extxyz", crystal())
    notes = []
    found = inputs_of([f"PBE={tmp_path / 'a'}", str(tmp_path / "b=c.extxyz")], notes.append)
    assert [(it.level, it.path.name, it.source) for it in found] == [("PBE", "one.extxyz", 0), (None, "b=c.extxyz", 1)]
    assert "1 other files are not read" in notes[0]


def test_a_molecule_needs_no_cell(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-14.0, forces=np.zeros((3, 3)))
    write(tmp_path / "a.extxyz", atoms)
    _, (record,), _ = read_all(tmp_path / "a.extxyz")
    assert (record.energy, record.stress, record.pbc.tolist()) == (-14.0, None, [False] * 3)
