import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from tribond.errors import ConfigError
from tribond.properties.conductivity import ConductivityError, conductivity

pytest.importorskip("phono3py")


def test_a_cubic_crystal_conducts_the_same_everywhere_and_like_1_over_T():
    """Above the Debye temperature, without isotopes to speak of: κ T is constant."""
    found = conductivity(bulk("Al"), EMT(), supercell=(2, 2, 2), mesh_length_A=18, temperatures_K=(300, 1000, 2000))
    tensor = found.tensor_W_per_m_K
    assert tensor[:, 1:3] == pytest.approx(tensor[:, :1].repeat(2, axis=1), rel=1e-3)
    assert tensor[:, 3:] == pytest.approx(np.zeros((3, 3)), abs=1e-3 * tensor[0, 0])
    assert tensor[2, 0] * 2000 == pytest.approx(tensor[1, 0] * 1000, rel=0.03)
    assert found.summary()["temperature_K"] == 300
    assert found.figure().axes[0].get_xscale() == "log"


def test_an_unstable_crystal_is_refused():
    with pytest.raises(ConductivityError, match="imaginary mode of .* THz at q"):
        conductivity(bulk("Cu", "bcc", a=2.87), EMT(), supercell=(3, 3, 3))


def test_absolute_zero_is_refused():
    with pytest.raises(ConfigError, match="above 0 K"):
        conductivity(bulk("Cu"), EMT(), temperatures_K=(0, 300))


def test_a_cutoff_below_all_bonds_is_refused():
    with pytest.raises(ConfigError, match="no two atoms are closer than 2 Å"):
        conductivity(bulk("Cu"), EMT(), supercell=(2, 2, 2), cutoff_pair_A=2.0)
