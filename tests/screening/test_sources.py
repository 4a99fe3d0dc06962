"""Sources of a screening: every structure once, what cannot be read with its reason, substitutions by hand."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write

pytest.importorskip("pydantic")
pytest.importorskip("pyarrow")
pytest.importorskip("pymatgen")

from tribond.errors import ConfigError
from tribond.screening import sources
from tribond.screening.packing import pack, unpack
from tribond.screening.settings import Source
from tribond.screening.sources import Place, fingerprint, structures


def found(folder, **source):
    return list(structures(Place(Source(**source), folder)))


def test_files_folders_databases_and_frames_are_all_read(tmp_path):
    (tmp_path / "crystals").mkdir()
    write(tmp_path / "crystals" / "b.cif", bulk("Cu"))
    write(tmp_path / "crystals" / "a.vasp", bulk("Al"))
    (tmp_path / "crystals" / "bad.cif").write_text("data_x\nnothing\n")
    write(tmp_path / "several.extxyz", [bulk("Au"), bulk("Ag"), bulk("Pt")])
    with connect(str(tmp_path / "some.db")) as database:
        database.write(bulk("Ni"))
        database.write(bulk("Pd"))
    got = found(tmp_path, files=["crystals", "several.extxyz", "several.extxyz@-1", "some.db"])
    labels = {label: it if isinstance(it, str) else it.get_chemical_formula() for label, it in got}
    bad = labels.pop("crystals/bad.cif")
    assert "no sound CIF" in bad
    assert labels == {
        "crystals/a.vasp": "Al",
        "crystals/b.cif": "Cu",
        "several.extxyz@0": "Au",
        "several.extxyz@1": "Ag",
        "several.extxyz@2": "Pt",
        "some.db@0": "Ni",
        "some.db@1": "Pd",
    }
    assert len(got) == 9  # the last frame twice, as it was asked for twice


def test_large_files_of_frames_are_read_one_by_one_and_say_the_same(tmp_path, monkeypatch):
    frames = [bulk("Cu", a=3.6 + 0.01 * number) for number in range(7)]
    write(tmp_path / "many.extxyz", frames)
    whole = found(tmp_path, files="many.extxyz")
    monkeypatch.setattr(sources, "LARGE", 0)
    single = found(tmp_path, files="many.extxyz")
    assert [label for label, _ in whole] == [label for label, _ in single]
    assert all((a.cell == b.cell).all() for (_, a), (_, b) in zip(whole, single, strict=True))
    with (tmp_path / "many.extxyz").open("a") as file:
        file.write("what is this\n")
    assert found(tmp_path, files="many.extxyz")[-1] == (
        "many.extxyz@7",
        "a frame must begin with its number of atoms, not 'what is this'",
    )


def test_optimades_entries_and_what_is_no_ordered_structure(tmp_path):
    site = {"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]}
    good = {
        "dimension_types": [1, 1, 1],
        "lattice_vectors": [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]],
        "cartesian_site_positions": [[0, 0, 0], [2.8, 0, 0]],
        "species_at_sites": ["Na", "Cl"],
        "species": [site, {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]}],
    }
    shared = good | {
        "species": [site | {"chemical_symbols": ["Na", "K"], "concentration": [0.5, 0.5]}, good["species"][1]]
    }
    entries = [
        {"id": "1", "type": "structures", "attributes": good},
        {"id": "2", "type": "structures", "attributes": shared},
        {"id": "3", "type": "structures", "attributes": {"species_at_sites": ["H"]}},
    ]
    (tmp_path / "answer.json").write_text(json.dumps({"data": entries, "meta": {}}, indent=1))
    (tmp_path / "lines.jsonl").write_text('{"x-optimade": {}}\n' + "\n".join(json.dumps(it) for it in entries))
    for name in ("answer.json", "lines.jsonl"):
        (one, atoms), (two, why), (_, incomplete) = found(tmp_path, optimade=name)
        assert (one, two) == (f"{name}@1", f"{name}@2")
        assert atoms.get_chemical_formula() == "ClNa"
        assert atoms.pbc.all()
        assert "are shared or not full (Na, K)" in why
        assert "incomplete" in incomplete


def test_substitutions_are_those_that_one_counts_by_hand(tmp_path):
    write(tmp_path / "rock.cif", bulk("NaCl", "rocksalt", a=5.64))
    lists = {"Na": ["Li", "Na", "Mg"], "Cl": ["F", "O", "Cl"]}
    everything = found(tmp_path, prototypes="rock.cif", substitute=lists, charge_balance=False)
    assert len(everything) == 9
    # Li and Na go with F and Cl, Mg with O.
    balanced = [label for label, _ in found(tmp_path, prototypes="rock.cif", substitute=lists)]
    assert balanced == [
        f"rock.cif Na→{cation} Cl→{anion}"
        for cation, anion in (("Li", "F"), ("Li", "Cl"), ("Na", "F"), ("Na", "Cl"), ("Mg", "O"))
    ]
    same = {"Na": ["Li", "F"], "Cl": ["F"]}
    assert len(found(tmp_path, prototypes="rock.cif", substitute=same, charge_balance=False)) == 1
    assert len(found(tmp_path, prototypes="rock.cif", substitute=same, charge_balance=False, same_element=True)) == 2


def test_a_substituted_cell_is_scaled_by_covalent_radii(tmp_path):
    write(tmp_path / "rock.cif", bulk("NaCl", "rocksalt", a=5.64))
    lists = {"Na": ["Na", "Mg"], "Cl": ["Cl", "O"]}
    cells = {
        label[-9:]: it.cell.lengths()[0] * np.sqrt(2)
        for label, it in found(tmp_path, prototypes="rock.cif", substitute=lists)
    }
    assert cells["Na→Na Cl→Cl"[-9:]] == pytest.approx(5.64)
    assert cells["Na→Mg Cl→O"[-9:]] == pytest.approx(5.64 * (1.41 + 0.66) / (1.66 + 1.02))
    (_, large), (_, small) = found(tmp_path, prototypes="rock.cif", substitute={"Na": ["Cs", "Li"], "Cl": ["F"]})
    # By the bond, not by the large cations, which are closer to each other than covalent radii want.
    assert large.cell.lengths()[0] / small.cell.lengths()[0] == pytest.approx((2.44 + 0.57) / (1.28 + 0.57))
    fixed = found(tmp_path, prototypes="rock.cif", substitute=lists, scale_volume=False)
    assert {round(it.cell.lengths()[0] * np.sqrt(2), 6) for _, it in fixed} == {5.64}


def sources_and_fingerprints(folder, source):
    fingerprint(Place(Source(**source), folder))
    found(folder, **source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"files": "nothing.cif"}, "no such file|no file"),
        ({"files": "*.cif"}, "no file matches"),
        ({"prototypes": "x.cif", "substitute": {"Na": ["Qq"]}}, "Qq is no element"),
        ({"prototypes": "x.cif", "substitute": {"Na": ["Li"]}}, "holds none of Na"),
        ({"prototypes": "x.cif", "substitute": {"Cu": ["Ag"], "Na": ["Li"]}}, "no prototype holds Na"),
        ({"prototypes": "h2o.xyz", "substitute": {"O": ["S"]}}, "must be a crystal"),
    ],
)
def test_sources_that_stand_for_nothing_are_refused(tmp_path, source, said):
    if "prototypes" in source:
        write(tmp_path / "x.cif", bulk("Cu"))
        write(tmp_path / "h2o.xyz", molecule("H2O"))
    with pytest.raises(ConfigError, match=said):
        sources_and_fingerprints(tmp_path, source)


def test_columns_give_structures_back_to_the_last_bit():
    atoms = bulk("NaCl", "rocksalt", a=5.64) * (1, 1, 2)
    atoms.rattle(0.1, seed=3)
    atoms.pbc = (True, True, False)
    atoms.set_constraint(FixAtoms([1]))
    back = unpack(pack(atoms))
    assert (back.positions == atoms.positions).all()
    assert (back.cell.array == atoms.cell.array).all()
    assert (back.pbc == atoms.pbc).all()
    assert (back.numbers == atoms.numbers).all()
    assert back.constraints[0].index.tolist() == [1]
