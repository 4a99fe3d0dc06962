import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from tribond.errors import ConfigError, StructureError
from tribond.properties import surface
from tribond.properties.surface import SurfaceError, surfaces
from tribond.properties.wulff import equivalent_faces, wulff_shape

pytest.importorskip("pymatgen")


@pytest.fixture(scope="module")
def bonds():
    """Bonds to nearest neighbours only: every surface energy is a number of broken bonds."""
    calculator = LennardJones(sigma=2.5, epsilon=0.3, rc=3.4)  # nearest at 2.8 Å, the next at 4
    return surfaces(bulk("Ar", "fcc", a=3.97), calculator, thickness_A=8, vacuum_A=8)


def energies(found):
    return {it.miller: it.energy_eV_per_A2 for it in found.surfaces}


def test_surface_energies_count_broken_bonds(bonds):
    """fcc: 3 bonds an atom of area √3/4 a² on (111), 4 of a²/2 on (100), 6 of a²/√2 on (110); half a bond a side."""
    a = bonds.crystal.cell.lengths()[0]
    atoms = bulk("Ar", "fcc", a=a)
    atoms.calc = LennardJones(sigma=2.5, epsilon=0.3, rc=3.4)
    bond = -atoms.get_potential_energy() / 6
    found = energies(bonds)
    assert found[1, 1, 1] == pytest.approx(3 * bond / 2 / (np.sqrt(3) / 4 * a**2), rel=1e-3)
    assert found[1, 0, 0] == pytest.approx(4 * bond / 2 / (a**2 / 2), rel=1e-3)
    assert found[1, 1, 0] == pytest.approx(6 * bond / 2 / (a**2 / np.sqrt(2)), rel=1e-3)


def test_the_wulff_shape_of_broken_bonds_is_a_truncated_octahedron(bonds):
    fractions = bonds.summary()["wulff"]["area_fractions"]
    assert set(fractions) == {"(1 1 1)", "(1 0 0)"}
    assert fractions["(1 1 1)"] == pytest.approx(0.77, abs=0.02)  # 3√3 / (3√3 + 3/2) for regular hexagons


def test_the_figure_shows_the_shape_and_all_energies(bonds):
    left, right = bonds.figure("Ar").axes
    assert len(left.collections) == 14  # 8 hexagons and 6 squares
    assert len(right.patches) == 3


def test_relaxation_lowers_and_thickness_hardly_matters():
    thin, thick = (surfaces(bulk("Cu"), EMT(), millers=[(1, 0, 0)], thickness_A=t, fmax_eV_per_A=1e-4) for t in (9, 18))
    (a,), (b,) = thin.surfaces, thick.surfaces
    assert len(b.slab) > len(a.slab)
    assert a.energy_eV_per_A2 == pytest.approx(b.energy_eV_per_A2, rel=0.02)
    assert a.energy_eV_per_A2 < a.unrelaxed_eV_per_A2
    assert a.symmetric
    assert a.slab.pbc.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("atoms", "settings", "error", "message"),
    [
        (fcc111("Cu", (1, 1, 3), vacuum=8), {}, StructureError, "a surface energy needs a crystal"),
        (bulk("Cu"), {"millers": [(0, 0, 0)]}, ConfigError, "not all of them 0"),
        (bulk("Cu"), {"max_index": 9}, ConfigError, "from 1 to 5"),
        (bulk("Cu"), {"vacuum_A": 1}, ConfigError, "see each other"),
        (bulk("CuAu", "zincblende", a=5.5), {"millers": [(1, 0, 0)], "thickness_A": 3}, SurfaceError, "composition"),
    ],
)
def test_what_makes_no_sense_is_refused(atoms, settings, error, message, monkeypatch):
    if error is SurfaceError:
        monkeypatch.setattr("tribond.properties.surface._cut", lambda crystal, *_: (crystal, [], 2))
    with pytest.raises(error, match=message):
        surfaces(atoms, EMT(), **settings)


def test_one_pair_of_faces_has_no_shape_and_the_figure_says_so():
    hexagonal = surfaces(bulk("Cu", "hcp", a=2.55, c=4.2), EMT(), millers=[(0, 0, 1)], relax_slabs=False)
    assert hexagonal.wulff is None
    assert "no Wulff shape" in [text.get_text() for text in hexagonal.figure().axes[0].texts]


def test_the_shape_has_the_symmetry_of_the_crystal_not_of_its_lattice():
    """Antimony is trigonal in a hexagonal cell: (1 0 1) makes a rhombohedron of 6 faces, not a bipyramid of 12."""
    antimony = Atoms("Sb2", scaled_positions=[(0.233,) * 3, (-0.233,) * 3], cell=bulk("Sb").cell, pbc=True)
    hexagonal = crystal_of(antimony)
    assert len(equivalent_faces(hexagonal, (1, 0, 1))) == 6
    assert (0, 1, 1) not in equivalent_faces(hexagonal, (1, 0, 1))
    found = wulff_shape(hexagonal, {(1, 0, 1): 1.0, (0, 1, 1): 2.0})
    assert found.area_fraction_dict == pytest.approx({(1, 0, 1): 1.0, (0, 1, 1): 0.0})
    assert len(found.facets) == 12
    swapped = wulff_shape(hexagonal, {(1, 0, 1): 2.0, (0, 1, 1): 1.0})
    assert swapped.area_fraction_dict == pytest.approx({(1, 0, 1): 0.0, (0, 1, 1): 1.0})


def crystal_of(atoms):
    """pymatgen's conventional cell, as surfaces have it."""
    return surface._cut(atoms, [(0, 0, 1)], 1, 8, 8)[0]
