"""What all properties share: the crystal at rest that they begin from."""

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from tests.small_models import random_model, small_config
from tribond.errors import StructureError
from tribond.integrations.ase import Calculator
from tribond.models.potential import Potential
from tribond.properties.elastic import elasticity
from tribond.properties.eos import equation_of_state
from tribond.properties.phonons import phonons
from tribond.properties.start import brought_to_rest
from tribond.properties.work import Work


@pytest.mark.parametrize("relax_first", [True, False])
@pytest.mark.parametrize("function", [equation_of_state, elasticity, phonons])
def test_a_crystal_whose_atoms_do_not_see_each_other_is_refused(function, relax_first):
    """Cesium's atoms are 5.3 Å apart: a cutoff of 5 Å gives no forces, any volume, and heat capacities of zero."""
    model = random_model(small_config("paper"))
    apart = bulk("Cu", "bcc", a=1.2 * 2 / 3**0.5 * model.config.cutoff)
    with pytest.raises(StructureError, match="1 of 1 atoms of this crystal have no neighbour in the model's reach"):
        function(apart, Calculator(Potential(model)), relax_first=relax_first)


def test_calculators_that_do_not_say_how_far_they_see_are_trusted():
    rest = brought_to_rest(bulk("Cu", a=3.7), EMT(), relax_first=True, fmax_eV_per_A=0.01, work=Work())
    assert rest.get_volume() == pytest.approx(11.57, rel=0.01)
