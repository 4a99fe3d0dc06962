from ase.calculators.lj import LennardJones

import tribond
from tribond.integrations.describe import describe_calculator


def test_a_potential_is_known_by_its_weights(make_potential):
    one, same, other = (make_potential(seed=seed) for seed in (0, 0, 1))
    hashes = [describe_calculator(tribond.Calculator(it))["weights_sha256"] for it in (one, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert describe_calculator(tribond.Calculator(one))["name"] == "random paper"


def test_any_calculator_is_described():
    assert describe_calculator(LennardJones(sigma=2.5)) == {
        "name": "LennardJones",
        "parameters": {"epsilon": 1.0, "sigma": 2.5, "rc": 7.5, "ro": 4.95, "smooth": False},
    }
