"""The program of docs/validation.md: one crystal through each cheap section, and tables from canned results."""

import gzip
import json
from functools import partial

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa

from benchmarks.validation import cases, figures, lithium, sections, tables
from benchmarks.validation.bands import crystals
from benchmarks.validation.cases import Case
from benchmarks.validation.run import measure_all, read_results
from benchmarks.validation.statistics import reason
from tribond.errors import StructureError
from tribond.properties.phonons import phonons


def test_beginnings_are_spread_over_the_file_and_nothing_is_left_out():
    order = list(cases.spread(range(100)))
    assert order[:4] == [0, 32, 64, 96]
    assert order[4:7] == [16, 48, 80]
    assert sorted(order) == list(range(100))
    assert set(order[:25]) == set(range(0, 100, 4))


def test_a_run_goes_on_keeps_what_was_refused_and_tells_crashes(tmp_path, capsys):
    asked = []

    def measure(case, calculator, folder):
        asked.append(case.name)
        if case.name == "bad":
            raise StructureError("the crystal is no minimum of the energy: really")
        if case.name == "worse":
            raise ZeroDivisionError("oh")
        return {"value": 1.5}

    todo = [Case(name, bulk("Cu"), {"value": 1.0}) for name in ("good", "bad", "worse")]
    assert measure_all(todo[:1], measure, EMT(), tmp_path) == 1
    assert measure_all(todo, measure, EMT(), tmp_path) == 2
    assert measure_all(todo, measure, EMT(), tmp_path) == 0
    assert asked == ["good", "bad", "worse"]
    assert "worse crashed: ZeroDivisionError: oh" in capsys.readouterr().out
    found = read_results(tmp_path)
    assert found["good"]["value"] == 1.5
    assert reason(found["bad"]) == "no minimum"
    assert reason(found["worse"]) == "crashed (ZeroDivisionError)"
    assert "measure" in found["worse"]["crash"]["where"]


def test_one_crystal_goes_through_the_sections(tmp_path):
    case = Case("Cu", bulk("Cu", a=3.7))
    element = sections.measure_element(case, EMT(), tmp_path)
    moduli = sections.measure_moduli(case, EMT(), tmp_path)
    heat = sections.measure_heat_capacity(case, EMT(), tmp_path)
    assert element["V0_A3_per_atom"] == pytest.approx(11.57, rel=0.01)  # EMT: a = 3.59 Å
    assert moduli["bulk_modulus_GPa"] == pytest.approx(element["B0_GPa"], rel=0.02)
    assert moduli["volume_change_percent"] == pytest.approx(100 * (3.59 / 3.7) ** 3 - 100, abs=0.5)
    assert 23 < heat["heat_capacity_300K_J_per_K_per_mol_atoms"] < 3 * 8.3145
    assert heat["imaginary_modes"] == 0


def test_bands_have_the_frequencies_of_the_points_that_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "phonons", partial(phonons, min_length_A=7))
    copper = next(case for case in crystals() if case.name == "Cu")
    found = sections.measure_bands(copper, EMT(), tmp_path)
    transverse, longitudinal = found["points_THz"]["X"][:2], found["points_THz"]["X"][2]
    assert transverse[0] == pytest.approx(transverse[1], rel=1e-4)
    assert longitudinal > 1.2 * transverse[0]
    path = dict(zip(map(tuple, found["labels"]), found["frequencies_THz"], strict=True))
    assert path["Γ", "X"][-1] == pytest.approx(found["points_THz"]["X"], abs=1e-3)


def test_references_are_read_with_their_units(tmp_path):
    copper = bulk("Cu", a=3.6)
    row = {
        "sym": ["Cu"],
        "cell": copper.cell.array.tolist(),
        "pos": [[0, 0, 0]],
        "wien2k_volume": 11.9,
        "wien2k_B": 141.0,
    }
    (tmp_path / "prop_dcdft").mkdir()
    (tmp_path / cases.ELEMENTS).write_text(json.dumps({"Cu": row | {"wien2k_Bp": 4.9}}))
    (element,) = cases.elements(tmp_path)
    assert element.reference == {"V0_A3_per_atom": 11.9, "B0_GPa": 141.0, "B0_prime": 4.9}
    assert element.atoms.cell.volume == pytest.approx(3.6**3 / 4)
    sites = [{"species": [{"element": symbol}], "abc": abc} for symbol, abc in (("Na", [0, 0, 0]), ("Cl", [0.5] * 3))]
    record = {
        "mp_id": "mp-1",
        "formula": "NaCl",
        "heat_capacity": 49.2,
        "structure": {"lattice": {"matrix": np.eye(3).tolist()}, "sites": sites},
    }
    (tmp_path / "properties").mkdir()
    (tmp_path / cases.HEAT_CAPACITIES).write_bytes(gzip.compress(json.dumps([record]).encode()))
    (salt,) = cases.heat_capacities(tmp_path)
    assert salt.reference["heat_capacity_300K_J_per_K_per_mol_atoms"] == pytest.approx(24.6)
    assert str(salt.atoms.symbols) == "NaCl"


def test_the_cell_of_the_lithium_conductor_is_one():
    atoms = lithium.li10gep2s12()
    assert atoms.symbols.formula.count() == {"Li": 20, "Ge": 2, "P": 4, "S": 24}
    distances = atoms.get_all_distances(mic=True) + 9 * np.eye(50)
    is_lithium, is_sulfur = atoms.symbols == "Li", atoms.symbols == "S"
    assert distances[is_lithium][:, is_lithium].min() > 2.2
    centres = np.isin(atoms.symbols, ["Ge", "P"])
    assert np.sort(distances[centres][:, is_sulfur], axis=1)[:, :4] == pytest.approx(2.1, abs=0.15)  # tetrahedra


def canned(tmp_path):
    """Two potentials: the first off by 10, 20 and 15 %, and no number for two crystals; the second by 30 % everywhere."""
    folders = [tmp_path / "first", tmp_path / "second"]
    factors = {"first": {"a": 0.9, "b": 1.2, "e": 0.85, "c": None, "u": 1.0}, "second": dict.fromkeys("abecud", 0.7)}
    for folder in folders:
        for name, factor in factors[folder.name].items():
            row = {"reference": {"formula": name.upper(), "bulk_modulus_GPa": 100.0, "shear_modulus_GPa": 50.0}}
            if factor is None:
                row["error"] = {"kind": "RelaxationError", "sentence": "the structure did not come to rest in 9 steps"}
            else:
                row |= {
                    "bulk_modulus_GPa": 100 * factor,
                    "shear_modulus_GPa": 50 * factor,
                    "mechanically_stable": factor != 1,
                }
            (folder / "moduli").mkdir(parents=True, exist_ok=True)
            (folder / "moduli" / f"{name}.json").write_text(json.dumps(row))
    return folders


def test_the_table_compares_the_same_crystals_and_counts_what_has_no_number(tmp_path):
    table = tables.markdown(canned(tmp_path))
    lines = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in table.splitlines()}
    assert "elastic moduli of 5 binary crystals" in lines  # d was tried with one of them only
    assert lines["without a number"] == ["2 (not relaxed 1, unstable 1)", "0 |"]
    assert lines["bulk modulus, median error"] == ["20.0 %", "30.0 % |"]  # of 10, 20, 15 and two without a number
    assert lines["bulk modulus, mean error (3)"] == ["15.0 GPa", "30.0 GPa |"]
    assert lines["shear modulus, bias (3)"] == ["-0.8 GPa", "-15.0 GPa |"]
    assert lines["shear modulus within 20 %"] == ["40 %", "0 % |"]


def test_figures_are_small(tmp_path):
    figures.draw_all(canned(tmp_path), tmp_path / "images")
    (picture,) = (tmp_path / "images").iterdir()
    assert picture.name == "validation_moduli.png"
    assert 5_000 < picture.stat().st_size < 150_000


def test_the_area_between_the_same_curves_is_nothing():
    row = {"V0_A3_per_atom": 12.0, "B0_GPa": 140.0, "B0_prime": 5.0}
    other = row | {"V0_A3_per_atom": 12.06}
    rows = {"same": row | {"reference": row}, "other": other | {"reference": row}}
    same, shifted = tables._deltas(rows, ["same", "other"])
    assert same == pytest.approx(0, abs=1e-4)
    # E = B (ΔV)² / 2 V0 between the parabolas: their difference is B ΔV V / V0, its RMS over ±6 % of the volume about
    assert shifted == pytest.approx(1000 * 140 * GPa * 0.06 * 0.06 / np.sqrt(3), rel=0.05)
