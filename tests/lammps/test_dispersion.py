"""Dispersion in LAMMPS: its own D3 laid over the network is tribond's sum, and a file that holds both is refused."""

import numpy as np
import pytest
from ase.build import bulk

from tests.lammps.conftest import dump, thermo
from tests.structures import rattled
from tribond.integrations.lammps.find import LammpsError, run_lammps
from tribond.models.dispersion import with_dispersion, without_dispersion

pytest.importorskip("dftd3")
ELEMENTS = "C Si"
DECK = """
units metal
newton on
read_data atoms.data
neigh_modify one 20000 page 400000
{style}
thermo_style custom step pe pxx pyy pzz
thermo_modify format float %.15g
dump d all custom 1 forces.dump id fx fy fz
dump_modify d sort id format float %.15g
run 0
"""
OVERLAY = f"""pair_style hybrid/overlay tribond precision double dispersion/d3 bj pbe 31.7506 21.1671
pair_coeff * * tribond model.safetensors {ELEMENTS}
pair_coeff * * dispersion/d3 {ELEMENTS}"""


@pytest.fixture
def dispersed(make_potential):
    return with_dispersion(make_potential(), "pbe")


def test_lammps_own_d3_over_the_network_is_the_sum(deck, dispersed):
    (deck.folder / "in.d3").write_text("units metal\npair_style dispersion/d3 bj pbe 31.7506 21.1671\n")
    try:
        run_lammps(deck.folder / "in.d3", 1)
    except LammpsError:
        pytest.skip("this LAMMPS has no pair style dispersion/d3: package EXTRA-PAIR")
    deck.save(without_dispersion(dispersed))
    atoms = deck.structure(rattled(bulk("SiC", "zincblende", a=4.5, cubic=True) * (2, 2, 2)))
    ((_, energy, *pressures),) = thermo(deck.run(DECK.format(style=OVERLAY)))
    (expected,) = dispersed.predict(atoms)
    # Both libraries round the units and cut at 31.75 Å by their own; D3 is 14 eV here.
    assert energy == pytest.approx(expected.energy, abs=2e-6 * len(atoms))
    np.testing.assert_allclose(dump(deck.folder / "forces.dump")[0][:, 1:], expected.forces, rtol=0, atol=1e-6)
    np.testing.assert_allclose(pressures, -1.602176634e6 * expected.stress.diagonal(), rtol=1e-4, atol=5)


def test_a_file_with_dispersion_is_refused(deck, dispersed):
    deck.save(dispersed)
    deck.structure(bulk("SiC", "zincblende", a=4.5, cubic=True))
    style = f"pair_style tribond\npair_coeff * * model.safetensors {ELEMENTS}"
    with pytest.raises(LammpsError, match="adds d3bj:pbe to the energy of its network"):
        deck.run(DECK.format(style=style))
