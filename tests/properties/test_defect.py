"""Point defects: sites that crystallography knows, and energies that can be counted."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.spacegroup import crystal

from tribond.errors import ConfigError, StructureError
from tribond.properties.chemical_potentials import chemical_potentials, standard_form
from tribond.properties.defect import defects
from tribond.properties.defect_sites import distinct_atoms, distinct_voids
from tribond.properties.work import Work


def nearest_only():
    """Bonds to nearest neighbours only: every unrelaxed energy is a number of bonds."""
    return LennardJones(sigma=2.5, epsilon=0.3, rc=3.4)


def test_voids_of_crystals_are_where_books_have_them():
    a = 4.0
    octahedral, tetrahedral = distinct_voids(bulk("Cu", a=a))
    np.testing.assert_allclose(octahedral.fractional, 0.5, atol=1e-6)
    assert (octahedral.radius_A, octahedral.neighbours) == (pytest.approx(a / 2), 6)
    assert (tetrahedral.radius_A, tetrahedral.neighbours) == (pytest.approx(a * np.sqrt(3) / 4), 4)
    assert (octahedral.multiplicity, tetrahedral.multiplicity) == (1, 2)
    (void,) = distinct_voids(bulk("Fe", a=a))
    assert (void.radius_A, void.multiplicity) == (pytest.approx(a * np.sqrt(5) / 4), 6)
    tetrahedral, hexagonal = distinct_voids(bulk("Si", a=a))
    assert tetrahedral.radius_A == pytest.approx(a * np.sqrt(3) / 4)
    assert hexagonal.radius_A == pytest.approx(a * np.sqrt(11) / 8)
    assert (tetrahedral.multiplicity, hexagonal.multiplicity) == (2, 4)


def test_voids_are_those_of_the_crystal_whatever_its_cell():
    small, large = bulk("Si"), bulk("Si", cubic=True) * (2, 1, 1)
    large.rotate(37, (1, 2, 3), rotate_cell=True)
    large.positions += 0.37
    for one, other in zip(distinct_voids(small), distinct_voids(large), strict=True):
        assert other.radius_A == pytest.approx(one.radius_A, abs=1e-3)
        assert other.multiplicity == 8 * one.multiplicity


def test_atoms_that_symmetry_tells_apart():
    rutile = crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90])
    assert [(it.element, it.multiplicity, it.wyckoff) for it in distinct_atoms(rutile)] == [
        ("Ti", 2, "a"),
        ("O", 4, "f"),
    ]


def test_a_vacancy_breaks_twelve_bonds_and_the_atom_finds_six():
    calculator = nearest_only()
    found = defects(bulk("Ar", "fcc", a=3.97), calculator, min_length_A=7)
    (vacancy,) = found.defects
    bond = -found.crystal.get_potential_energy() / 6
    assert vacancy.plan.name == "V_Ar"
    assert len(vacancy.final) == 31
    assert found.image_distance_A == pytest.approx(2 * found.crystal.cell.lengths()[0] * np.sqrt(2))
    assert vacancy.unrelaxed_eV == pytest.approx(6 * bond, rel=1e-3)
    assert vacancy.formation_eV == pytest.approx(
        vacancy.unrelaxed_eV, abs=1e-3
    )  # bonds to the others have their length
    np.testing.assert_allclose(vacancy.final.cell, 2 * np.diag([found.crystal.cell.lengths()[0] * np.sqrt(2)] * 3))


def test_what_is_given_is_what_the_atoms_cost(caplog):
    shift = {"Cu": -1.0, "Au": 2.0}
    settings = {"vacancies": None, "substitutions": [("Cu", "Au")], "interstitials": ["Cu"], "repeats": (2, 2, 2)}
    settings |= {"relax_first": False, "fmax_eV_per_A": 0.05}
    own = defects(bulk("Cu", a=3.59), EMT(), **settings)
    other = defects(
        bulk("Cu", a=3.59),
        EMT(),
        potentials_eV={symbol: own.potentials[symbol].eV + value for symbol, value in shift.items()},
        **settings,
    )
    changes = {
        it.plan.name: it.formation_eV - before.formation_eV
        for before, it in zip(own.defects, other.defects, strict=True)
    }
    assert changes == pytest.approx({"V_Cu": -1.0, "Au_Cu": -3.0, "Cu_i #1": 1.0, "Cu_i #2": 1.0})
    assert other.potentials["Cu"].source == "given"
    assert "negative formation energies (Au_Cu)" in caplog.text
    assert own.potentials["Au"].source == "fcc Au, relaxed by the potential"
    assert own.potentials["Cu"].source == "of this crystal"


def test_emt_copper_forms_vacancies_and_hardly_interstitials():
    found = defects(bulk("Cu"), EMT(), interstitials=["Cu"], repeats=(3, 3, 3))
    energies = {it.plan.name: it.formation_eV for it in found.defects}
    assert 1.0 < energies["V_Cu"] < 1.4  # 1.28 measured
    assert min(energies["Cu_i #1"], energies["Cu_i #2"]) > 2
    assert found.converged
    assert all(it.formation_eV < it.unrelaxed_eV for it in found.defects)


def test_an_atom_leaves_a_site_where_only_symmetry_holds_it(tmp_path):
    """The tetrahedral interstitial of fcc copper is no minimum; the atom ends in another place of lower energy."""
    work, settings = Work(tmp_path / "steps"), {"vacancies": (), "interstitials": ["Cu"], "repeats": (2, 2, 3)}
    first, second = defects(bulk("Cu"), EMT(), work=work, **settings).defects
    assert second.moved_A > 0.3
    assert second.formation_eV < second.unrelaxed_eV - 0.5
    again = defects(bulk("Cu"), EMT(), work=work, **settings)
    assert [it.formation_eV for it in again.defects] == [it.formation_eV for it in (first, second)]


def test_images_that_are_near_are_told(caplog):
    defects(bulk("Cu"), EMT(), repeats=(2, 2, 2))
    assert "5.1 Å from its own images" in caplog.text


def test_a_defect_that_does_not_come_to_rest_is_named_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr("tribond.properties.defect.MOST_STEPS", 1)
    found = defects(bulk("Cu"), EMT(), interstitials=["Cu"], repeats=(2, 2, 2))
    problems = {it.plan.name: it.problem for it in found.defects}
    assert "did not come to rest in 1 steps" in problems["Cu_i #1"]
    assert not found.converged
    row = next(row for row in found.summary()["defects"] if row["name"] == "Cu_i #1")
    assert row["formation_energy_eV"] is None
    assert "not at rest" in [text.get_text() for text in found.figure("Cu").axes[0].texts]


def test_elements_come_as_the_simplest_form_they_have():
    assert standard_form("O")[1] == "molecule O2"
    assert standard_form("Fe")[1] == "bcc Fe"
    for symbol in ("S", "U"):  # ASE would build uranium with one atom in an orthorhombic cell
        with pytest.raises(ConfigError, match=f"the crystal of the element {symbol} is not a simple one"):
            standard_form(symbol)
    found = chemical_potentials(["Al"], EMT(), references=[bulk("Al", "bcc", a=3.2)])
    assert found["Al"].source == "Al as given, relaxed by the potential"
    assert found["Al"].eV > chemical_potentials(["Al"], EMT())["Al"].eV


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"vacancies": ["O"]}, ConfigError, "no O in this crystal of Cu"),
        ({"substitutions": [("Cu", "Cu")]}, ConfigError, "changes nothing"),
        ({"substitutions": [("Cu", "Xx")]}, ConfigError, "'Xx' is no element"),
        ({"interstitials": ["Q"]}, ConfigError, "'Q' is no element"),
        ({"vacancies": ()}, ConfigError, "no defect to compute"),
        ({"interstitials": ["Ga"]}, ConfigError, "--mu Ga=ENERGY"),
        ({"potentials_eV": {"Cu": float("nan")}}, ConfigError, "must be an energy"),
        ({"potentials_eV": {"Kupfer": 1.0}}, ConfigError, "no element"),
        ({"repeats": (1, 1, 1)}, ConfigError, "empty without it"),
        ({"references": [bulk("NaCl", "rocksalt", a=5.6)]}, StructureError, "a structure of one element"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        defects(bulk("Cu", a=3.59), EMT(), relax_first=False, **({"repeats": (2, 2, 2)} | settings))


@pytest.mark.parametrize("atoms", [fcc111("Cu", (1, 1, 3), vacuum=8), Atoms("Cu", cell=[20] * 3, pbc=True)])
def test_what_is_no_crystal_is_refused(atoms):
    with pytest.raises(StructureError, match="a point defect needs a crystal"):
        defects(atoms, EMT())
