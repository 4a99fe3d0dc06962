"""Energies against references: by hand, and against pymatgen's own entries."""

import pytest
from ase import Atoms

pytest.importorskip("pymatgen")
pytest.importorskip("pyarrow")

from tribond.screening.hull import Entry, MissingReferenceError, References, read_entries, write_entries

# Li -2, O -5 (of O2), Li2O 2 eV/atom below the elements, Li2O2 1.75 eV/atom below.
ELEMENTS = [Entry("li", "Li", -2.0), Entry("o2", "O", -5.0), Entry("metastable", "O", -4.0)]
LI2O = Entry("li2o", "Li2O", (2 * -2.0 + -5.0) / 3 - 2.0)
LI2O2 = Entry("li2o2", "LiO", (-2.0 + -5.0) / 2 - 1.75)
REFERENCES = References([*ELEMENTS, LI2O, LI2O2])


def test_formation_energies_are_those_from_the_most_stable_elements():
    assert REFERENCES.formation_energy(Atoms("Li2O"), 3 * LI2O.energy) == pytest.approx(-2.0)
    assert REFERENCES.formation_energy(Atoms("O3"), -12.0) == pytest.approx(1.0)


def test_the_hull_is_the_line_between_its_neighbours():
    # LiO2 lies between LiO (1/2) and O (1): two thirds O, so that 2/3 of its atoms are LiO and 1/3 are O.
    # On the hull it has 2/3 of LiO's formation energy, -1.75 * 2/3.
    on_hull = (-2.0 - 10.0) / 3 - 1.75 * 2 / 3
    above, phases = REFERENCES.above_hull(Atoms("LiO2"), 3 * (on_hull + 0.1))
    assert above == pytest.approx(0.1)
    assert phases == "0.667 Li2O2 + 0.333 O2"
    # Li2O2 is on the hull (1.75 is below the line of Li2O to O, which is 2 * 3/4 = 1.5 there); below it, negative.
    assert REFERENCES.above_hull(Atoms("Li2O2"), 4 * LI2O2.energy)[0] == pytest.approx(0.0)
    assert REFERENCES.above_hull(Atoms("Li2O2"), 4 * (LI2O2.energy - 0.2))[0] == pytest.approx(-0.2)


def test_the_same_comes_of_pymatgens_own_entries():
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    entries = [
        PDEntry(it.formula, it.energy * (3 if it is LI2O else 2 if it is LI2O2 else 1))
        for it in [*ELEMENTS, LI2O, LI2O2]
    ]
    diagram = PhaseDiagram(entries)
    for formula, energy in (("Li3O", -11.0), ("LiO2", -16.0), ("Li4O3", -30.0)):
        theirs = diagram.get_e_above_hull(PDEntry(formula, energy), allow_negative=True, check_stable=False)
        assert REFERENCES.above_hull(Atoms(formula), energy)[0] == pytest.approx(theirs, abs=1e-12)


def test_an_element_without_reference_is_named():
    with pytest.raises(MissingReferenceError, match="no reference of the element Na; add a structure of it"):
        REFERENCES.above_hull(Atoms("Na2O"), -3.0)
    with pytest.raises(MissingReferenceError, match="no reference of the element Na"):
        REFERENCES.formation_energy(Atoms("Na"), -3.0)


def test_entries_come_back_from_their_file(tmp_path):
    write_entries(tmp_path / "e.parquet", [*ELEMENTS, LI2O])
    back = read_entries(tmp_path / "e.parquet")
    assert len(back) == 3  # the metastable one is no reference
    assert back.formation_energy(Atoms("Li2O"), 3 * LI2O.energy) == pytest.approx(-2.0)
