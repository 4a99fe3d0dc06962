"""Ensembles: means and standard deviations of what the members say, from one graph."""

import numpy as np
import pytest
import torch
from ase.build import bulk

import tribond
from tests.small_models import random_model, small_config
from tests.structures import crystal
from tribond.checkpoints.ensemble import write_ensemble
from tribond.checkpoints.native import save_model
from tribond.checkpoints.registry import load_network
from tribond.cli.output import model_record
from tribond.errors import CheckpointError, ConfigError, StructureError
from tribond.integrations.describe import describe_calculator
from tribond.models.dispersion import with_dispersion
from tribond.models.ensemble import Ensemble
from tribond.models.force_field import ForceField, TakesState
from tribond.models.potential import Potential
from tribond.terms.d3 import Dispersion


@pytest.fixture(scope="module")
def members():
    """With different cutoffs, as any two potentials may have."""
    return [
        Potential(random_model(small_config(), 0)),
        Potential(random_model(small_config(cutoff=4.5, threebody_cutoff=3.5), 1)),
        Potential(random_model(small_config(), 2)),
    ]


def test_it_is_the_mean_and_standard_deviation_of_its_members(members):
    structures = [crystal(), bulk("Si", cubic=True), crystal().repeat((2, 1, 1))]
    structures[1].pbc = [True, True, False]
    ensemble = Ensemble(members)
    assert isinstance(ensemble, ForceField)
    assert not isinstance(ensemble, TakesState)
    alone = [member.predict(structures) for member in members]
    for index, found in enumerate(ensemble.predict(structures)):
        each = [predictions[index] for predictions in alone]
        energies, forces = [it.energy for it in each], np.array([it.forces for it in each])
        assert found.energy == pytest.approx(np.mean(energies), abs=1e-10)
        assert found.spread.energy_std == pytest.approx(np.std(energies, ddof=1), abs=1e-10)
        np.testing.assert_allclose(found.forces, forces.mean(axis=0), atol=1e-10)
        np.testing.assert_allclose(found.spread.forces_std, forces.std(axis=0, ddof=1), atol=1e-10)
        away = np.linalg.norm(forces - forces.mean(axis=0), axis=2)  # of each member, each atom
        np.testing.assert_allclose(found.spread.force_spread, np.sqrt((away**2).sum(axis=0) / 2), atol=1e-10)
        assert found.atomic_energies.sum() == pytest.approx(found.energy, abs=1e-8)
        assert (found.stress is None) == (found.spread.stress_std is None) == (index == 1)
    assert found.spread.max_force_spread > 0.01
    batch = ensemble.evaluate(ensemble.graph(structures))
    np.testing.assert_allclose(batch.energy_std[2].item(), found.spread.energy_std, atol=1e-10)
    stress = np.array([predictions[2].stress for predictions in alone])
    np.testing.assert_allclose(found.stress, stress.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.spread.stress_std, stress.std(axis=0, ddof=1), atol=1e-12)


def test_a_calculator_gives_spreads_beside_what_ase_knows(members):
    atoms = crystal()
    atoms.calc = tribond.Calculator(Ensemble(members))
    (expected,) = atoms.calc.potential.predict(atoms)
    np.testing.assert_array_equal(atoms.calc.get_property("forces_std", atoms), expected.spread.forces_std)
    assert atoms.get_potential_energy() == expected.energy
    assert atoms.calc.results["energy_std"] == expected.spread.energy_std
    assert "energy" in atoms.calc.export_properties()
    assert "forces_std" not in tribond.Calculator(members[0]).implemented_properties


def test_elements_are_those_that_all_know_and_the_others_are_told(members, caplog):
    few = Potential(random_model(small_config(elements=("O", "Si")), 3))
    ensemble = Ensemble([members[0], few])
    assert set(ensemble.elements) == {"Si", "O"} & set(members[0].elements)
    assert "leaves out" in caplog.text
    left = next(symbol for symbol in members[0].elements if symbol not in ("Si", "O"))
    with pytest.raises(StructureError, match=left):
        ensemble.predict(bulk(left, "fcc", a=4.0))


def test_what_makes_no_ensemble_is_refused(members):
    with pytest.raises(ConfigError, match="two members or more"):
        Ensemble(members[:1])
    with pytest.raises(ConfigError, match="members 0 and 2 of the ensemble are the same model"):
        Ensemble([members[0], members[1], Potential(members[0].model)])
    with pytest.raises(ConfigError, match="in one precision; these are float64, float32"):
        Ensemble([members[0], members[1].to(dtype="float32")])
    with pytest.raises(ConfigError, match="member 1 of an ensemble must be a Potential"):
        Ensemble([members[0], "model.safetensors"])
    with pytest.raises(ConfigError, match="takes no state input"):
        Ensemble(members).predict(crystal(), state=0)


def test_members_add_the_same_terms_and_the_ensemble_says_which(members):
    first, second = (
        Potential(it.model, {"energy_terms": ["d3bj:pbe"], "level_of_theory": "PBE"}) for it in members[:2]
    )
    with pytest.raises(ConfigError, match="member 0 adds d3bj:pbe; member 1 adds nothing"):
        Ensemble([first, members[1]])
    with pytest.raises(ConfigError, match="member 1 adds d3bj:pbesol"):
        Ensemble([first, Potential(members[1].model, {"energy_terms": ["d3bj:pbesol"]})])
    ensemble = Ensemble([first, second]).to(dtype="float64")
    assert ensemble.metadata["energy_terms"] == ["d3bj:pbe"]
    for told in (describe_calculator(tribond.Calculator(ensemble)), model_record(ensemble)):
        assert (told["energy_terms"], told["level_of_theory"], told["members"]) == (["d3bj:pbe"], "PBE", 2)
    assert "energy_terms" not in Ensemble(members, {"energy_terms": ["d3bj:pbe"]}).metadata


def test_terms_are_in_the_mean_and_not_in_the_spread(members):
    pytest.importorskip("dftd3")
    (plain,) = Ensemble(members[:2]).predict(crystal())
    (found,) = Ensemble([with_dispersion(it, "pbe") for it in members[:2]]).predict(crystal())
    more = Dispersion("pbe").contribution(members[0].graph(crystal()))
    assert more.energy.item() < -1e-2
    assert found.energy - plain.energy == pytest.approx(more.energy.item(), abs=1e-9)
    np.testing.assert_allclose(found.forces - plain.forces, more.forces, atol=1e-9)
    np.testing.assert_allclose(found.spread.forces_std, plain.spread.forces_std, atol=1e-9)


def test_an_ensemble_can_be_moved_to_another_precision(members):
    single = Ensemble(members).to(dtype="float32")
    assert single.dtype == torch.float32
    assert single.predict(crystal())[0].energy == pytest.approx(
        Ensemble(members).predict(crystal())[0].energy, abs=1e-3
    )


@pytest.fixture
def saved(members, tmp_path):
    files = [tmp_path / f"member-{index}" / "model.safetensors" for index in range(3)]
    for file, member in zip(files, members, strict=True):
        file.parent.mkdir()
        save_model(file, member.model, {"name": "one"})
    write_ensemble(tmp_path / "ensemble.json", files, {"name": "three"})
    return tmp_path


def test_an_ensemble_is_loaded_by_its_file_or_folder_wherever_it_was_moved(saved, members, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "it"
    saved.rename(moved)
    for path in (moved, moved / "ensemble.json"):
        found = tribond.load(path, device="cpu")
        assert isinstance(found, Ensemble)
        assert found.metadata["name"] == "three"
        expected = Ensemble(members).predict(crystal())[0]
        np.testing.assert_array_equal(found.predict(crystal())[0].forces, expected.forces)
    with pytest.raises(ConfigError, match="is an ensemble, and this takes one potential"):
        tribond.load_potential(moved, device="cpu")
    with pytest.raises(ConfigError, match="is an ensemble, and this takes a single model"):
        load_network(moved / "ensemble.json")


def test_a_member_that_changed_or_is_missing_is_named(saved):
    file = saved / "member-1" / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes((saved / "member-0" / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="member-1/model.safetensors is not the file"):
        tribond.load(saved)
    file.unlink()
    with pytest.raises(CheckpointError, match="names member-1/model.safetensors, which is not there"):
        tribond.load(saved)
    file.write_bytes(content)
    (saved / "ensemble.json").write_text('{"tribond_ensemble": 1, "members": 3}')
    with pytest.raises(CheckpointError, match="is not the file of an ensemble"):
        tribond.load(saved)
