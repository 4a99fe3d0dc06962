import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from tribond.errors import ConfigError
from tribond.properties.conductivity import ConductivityError, conductivity

pytest.importorskip("phono3py")


def test_a_cubic_crystal_conducts_the_same_everywhere_and_like_1_over_T():
    """Above the Debye temperature, without isotopes to speak of: κ T is constant."""
    found = conductivity(bulk("Al"), EMT(), supercell=(3, 3, 3), mesh_length_A=18, temperatures_K=(300, 1000, 2000))
    tensor = found.tensor_W_per_m_K
    assert tensor[:, 1:3] == pytest.approx(tensor[:, :1].repeat(2, axis=1), rel=1e-3)
    assert tensor[:, 3:] == pytest.approx(np.zeros((3, 3)), abs=1e-3 * tensor[0, 0])
    assert tensor[2, 0] * 2000 == pytest.approx(tensor[1, 0] * 1000, rel=0.03)
    assert 0.1 < tensor[0, 0] < 1000
    assert found.summary()["temperature_K"] == 300
    assert found.figure().axes[0].get_xscale() == "log"


def test_a_supercell_in_which_third_derivatives_cancel_is_refused():
    """Each neighbour of an fcc atom is in the middle between two of its images: forward and back is the same."""
    with pytest.raises(ConductivityError, match=r"nothing scatters phonons here \(.*e\+.* W/m K\)"):
        conductivity(bulk("Al"), EMT(), supercell=(2, 2, 2), mesh_length_A=18)


def test_an_unstable_crystal_is_refused():
    with pytest.raises(ConductivityError, match="imaginary mode of .* THz at q"):
        conductivity(bulk("Cu", "bcc", a=2.87), EMT(), supercell=(3, 3, 3))


def test_absolute_zero_is_refused():
    with pytest.raises(ConfigError, match="above 0 K"):
        conductivity(bulk("Cu"), EMT(), temperatures_K=(0, 300))


def test_the_displacement_hardly_matters():
    found = [
        conductivity(bulk("Al"), EMT(), supercell=(3, 3, 3), mesh_length_A=18, temperatures_K=(300,), distance_A=d)
        for d in (0.002, 0.01, 0.03)
    ]
    values = np.array([it.mean_W_per_m_K[0] for it in found])
    assert values == pytest.approx(values[:1].repeat(3), rel=0.03)


def test_a_mass_of_its_own_is_one_isotope():
    """Copper has two isotopes, and scatters more than 63Cu alone would with the same mean of masses."""
    natural = bulk("Cu")
    pure = bulk("Cu")
    pure.set_masses([62.9296])
    settings = {"supercell": (3, 3, 3), "mesh_length_A": 18, "temperatures_K": (100,)}
    found = [conductivity(it, EMT(), **settings).tensor_W_per_m_K[0, 0] for it in (natural, pure)]
    # Lighter atoms alone change κ by a per cent or two.
    assert found[1] > 1.05 * found[0]


def test_a_cutoff_below_all_bonds_is_refused():
    with pytest.raises(ConfigError, match="no two atoms are closer than 2 Å"):
        conductivity(bulk("Cu"), EMT(), supercell=(2, 2, 2), cutoff_pair_A=2.0)
