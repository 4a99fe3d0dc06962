"""A network that learns what dispersion leaves, and a model file that adds it again."""

import numpy as np
import pytest

import tribond
from tests.training.conftest import TINY
from tribond.checkpoints.native import read_header
from tribond.data.array_cache import ArrayCache
from tribond.errors import ConfigError, DataError
from tribond.evaluation.evaluate import evaluate_frames
from tribond.graph.build import atom_graph
from tribond.terms.d3 import Dispersion
from tribond.training import run
from tribond.training.config import TrainingConfig
from tribond.training.sources import read_training_frames
from tribond.training.start import make_start
from tribond.training.terms import without_terms

pytest.importorskip("dftd3")
PBE = Dispersion("pbe")
WITH_D3 = {"elements": "data", "settings": TINY, "terms": ["d3bj:pbe"]}


@pytest.fixture
def data(save, alloys, dimer):
    return save("alloys.xyz", [*alloys(11), dimer])


def test_labels_are_without_the_term_and_missing_ones_stay_missing(data, make_training, tmp_path):
    frames = read_training_frames(make_training().data, tmp_path)
    rest = without_terms(frames, [PBE], ArrayCache(None))
    for before, after in ((frames.train, rest.train), (frames.validation, rest.validation)):
        for old, new in zip(before, after, strict=True):
            term = PBE.contribution(atom_graph(old.atoms, 5.0, 4.0))
            assert old.energy - new.energy == pytest.approx(term.energy.item(), abs=1e-9)
            np.testing.assert_allclose(old.forces - new.forces, term.forces, atol=1e-12)
            assert (old.stress is None) == (new.stress is None)
            if old.stress is not None:
                np.testing.assert_allclose(old.stress - new.stress, term.virial[0] / old.atoms.get_volume(), atol=1e-12)


def test_the_model_file_adds_what_was_taken_off(data, make_training, tmp_path):
    """Errors of the whole potential on whole labels are those of the network on what it was trained on."""
    config = make_training(steps=4, validate_every=4, model=WITH_D3)
    result = run.train(config, tmp_path, progress=False)
    header = read_header(result.model_file)
    assert header["metadata"]["energy_terms"] == ["d3bj:pbe"]
    potential = tribond.load(result.model_file)
    whole = evaluate_frames(potential, result.validation, name="whole")
    start = make_start(config, read_training_frames(config.data, tmp_path), tmp_path)
    network = evaluate_frames(tribond.without_dispersion(potential), list(start.frames.validation), name="network")
    assert whole.forces.mae == pytest.approx(network.forces.mae, rel=1e-6)
    assert whole.energy.mae == pytest.approx(network.energy.mae, rel=1e-6)
    assert whole.stress.mae == pytest.approx(network.stress.mae, rel=1e-6)


def test_what_is_fine_tuned_keeps_its_terms(data, make_training, tmp_path):
    first = run.train(make_training(steps=2, model=WITH_D3), tmp_path, progress=False)
    changes = {"steps": 2, "output": "second", "model": {"start_from": str(first.model_file)}}
    second = run.train(tuned(make_training, **changes), tmp_path, progress=False)
    assert [term.name for term in tribond.load(second.model_file).terms] == ["d3bj:pbe"]
    assert [term.name for term in second.before.terms] == ["d3bj:pbe"]
    changes = changes | {"output": "third", "model": changes["model"] | {"terms": []}}
    third = run.train(tuned(make_training, **changes), tmp_path, progress=False)
    assert tribond.load(third.model_file).terms == ()


def tuned(make_training, model, **changes):
    """The training of `make_training` with a model that brings its own settings."""
    content = make_training(**changes).model_dump(mode="json")
    return TrainingConfig.model_validate(content | {"model": model})


def test_terms_that_there_are_not_and_metadata_that_name_them_are_refused(make_training):
    with pytest.raises((ConfigError, ValueError), match="'d3zero:pbe' is no term"):
        make_training(model={"terms": ["d3zero:pbe"]})
    with pytest.raises((ConfigError, ValueError), match="write model.terms instead"):
        make_training(metadata={"energy_terms": ["d3bj:pbe"]})


def test_a_frame_that_a_term_cannot_describe_is_named(data, make_training, tmp_path, monkeypatch):
    monkeypatch.setattr("tribond.terms.d3.LAST_ELEMENT", 13)
    with pytest.raises(DataError, match=r"alloys.xyz.*D3 has no numbers for"):
        run.train(make_training(steps=1, model=WITH_D3), tmp_path, progress=False)
