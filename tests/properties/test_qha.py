import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from tribond.errors import ConfigError
from tribond.properties.qha import QuasiHarmonicError, quasi_harmonic

pytest.importorskip("phonopy")

SETTINGS = {"supercell": (3, 3, 3), "points": 6, "mesh_length_A": 40}


@pytest.fixture(scope="module")
def copper():
    return quasi_harmonic(bulk("Cu"), EMT(), **SETTINGS, max_temperature_K=600)


def test_the_expansion_is_the_slope_of_the_volume(copper):
    slope = np.gradient(copper.volumes_A3, copper.temperatures_K) / copper.volumes_A3
    assert copper.thermal_expansion_per_K[3:-1] == pytest.approx(slope[3:-1], rel=0.02, abs=1e-7)


def test_gruneisens_relation_holds(copper):
    """α B V = γ C_V, and C_P - C_V = α² B V T."""
    row = int(np.argmin(np.abs(copper.temperatures_K - 300)))
    alpha, volume = copper.thermal_expansion_per_K[row], copper.volumes_A3[row]
    modulus = copper.bulk_modulus_GPa[row] / 160.2176634
    difference = alpha**2 * modulus * volume * 300
    c_v = alpha * modulus * volume / copper.gruneisen[row]
    assert copper.heat_capacity_eV_per_K[row] == pytest.approx(c_v + difference, rel=0.01)


def test_copper_of_emt_grows_like_copper(copper):
    """Measured: 16.5e-6/K at room temperature; EMT was fitted to other properties and gives the right size."""
    at = copper.summary()["at_300_K"]
    assert 8e-6 < at["linear_expansion_per_K"] < 30e-6
    assert copper.bulk_modulus_GPa[-1] < copper.bulk_modulus_GPa[0]
    assert copper.summary()["zero_point_expansion"] > 0


def test_pressure_is_not_zero_point_expansion(copper):
    """What the zero point adds to the volume hardly changes at 5 GPa, which takes 3 % away."""
    pressed = quasi_harmonic(
        bulk("Cu"), EMT(), **SETTINGS, volume_range=(0.93, 1.04), max_temperature_K=100, pressure_GPa=5
    )
    assert pressed.volumes_A3[0] < 0.98 * copper.volumes_A3[0]
    free, under = (it.summary()["zero_point_expansion"] for it in (copper, pressed))
    assert under == pytest.approx(free, rel=0.25)
    assert 0.001 < free < 0.02


def test_imaginary_modes_are_refused():
    with pytest.raises(QuasiHarmonicError, match="imaginary modes .* THz at q = "):
        quasi_harmonic(bulk("Cu", "bcc", a=2.87), EMT(), **SETTINGS)


def test_too_few_volumes_are_refused():
    with pytest.raises(ConfigError, match="at least 5 volumes"):
        quasi_harmonic(bulk("Cu"), EMT(), points=4)


def test_the_table_ends_where_the_crystal_outgrows_the_volumes(caplog):
    found = quasi_harmonic(bulk("Cu"), EMT(), volume_range=(0.97, 1.015), **SETTINGS, max_temperature_K=600)
    assert found.temperatures_K[-1] < 500
    assert "outgrows the largest volume" in caplog.text


def test_the_figure_has_four_panels(copper):
    assert len(copper.figure().axes) == 4
