import pytest

from tribond.errors import StructureError
from tribond.reading.elements import element_of, of_labels


@pytest.mark.parametrize(
    ("label", "element"),
    [
        ("Na1", "Na"),
        ("Na+", "Na"),
        ("Fe3+", "Fe"),
        ("O2-", "O"),
        ("Cl1-", "Cl"),
        ("H1", "H"),
        ("D", "H"),
        ("D12", "H"),
        ("Ow2", "O"),
        ("Hw1", "H"),
        ("OXT", "O"),
        ("HW1", "H"),
        ("Fe_pv", "Fe"),
        ("FeA", "Fe"),
        ("ZN", "Zn"),
        ("na", "Na"),
        ("11", "Na"),
        ("Si4+", "Si"),
    ],
)
def test_labels_that_are_plain(label, element):
    assert element_of(label) == element


@pytest.mark.parametrize(
    "label", ["Wat1", "X", "Du", "M1", "T1", "Q1", "Vac", "Bq", "H2O", "NH4", "CL", "CA", "0", "", "?"]
)
def test_labels_that_are_a_guess(label):
    assert element_of(label) is None


def test_the_formula_decides_between_two_readings():
    assert element_of("CL1", {"C", "H"}) == "C"
    assert element_of("CL1", {"Na", "Cl"}) == "Cl"


def test_the_message_names_atom_and_label():
    with pytest.raises(StructureError, match=r"label 'Wat1' of atom 1"):
        of_labels(["Na", "Wat1"])
    assert of_labels(["FE", "CL"], capitals=True) == ["Fe", "Cl"]
