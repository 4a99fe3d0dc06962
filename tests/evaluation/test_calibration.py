"""Calibration against errors whose distribution is known."""

import csv
import json

import numpy as np
import pytest
from ase.io import read
from scipy.integrate import quad
from scipy.stats import norm

from tests.small_models import random_model, small_config
from tribond.evaluation.calibration import calibration_of
from tribond.evaluation.evaluate import evaluate_frames
from tribond.evaluation.files import write_reports
from tribond.models.ensemble import Ensemble
from tribond.models.potential import Potential


def gaussian(factor, count=200_000):
    """Errors that are `factor` times as large as the spreads say."""
    random = np.random.default_rng(0)
    sigmas = np.exp(random.normal(size=count))
    return calibration_of(factor * sigmas * random.normal(size=count), sigmas)


def area(factor):
    """The same of infinitely many: ∫ |2 Φ(z(p) / factor) - 1 - p| dp."""
    return quad(lambda p: abs(2 * norm.cdf(norm.ppf((1 + p) / 2) / factor) - 1 - p), 0, 1)[0]


@pytest.mark.parametrize("factor", [1.0, 0.5, 3.0])
def test_area_and_scale_of_normal_errors(factor):
    found = gaussian(factor)
    assert found.area == pytest.approx(area(factor), abs=3e-3)
    assert found.scale == pytest.approx(factor, rel=0.01)
    assert found.scaled_area < 3e-3
    assert np.sign(found.observed[50] - found.expected[50]) == np.sign(1 - factor) or factor == 1
    assert 0.3 < found.rank_correlation < 0.8


def test_zeros_and_wild_errors_do_not_decide():
    random = np.random.default_rng(1)
    sigmas = np.ones(1000)
    errors = 2 * random.normal(size=1000)
    wild = calibration_of(np.append(errors, [1e6, 0.0]), np.append(sigmas, [1e-12, 0.0]))
    assert wild.scale == pytest.approx(calibration_of(errors, sigmas).scale, rel=0.02)
    assert calibration_of([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).scale is None
    assert calibration_of([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).area == pytest.approx(0.5, abs=0.01)
    assert calibration_of([1.0], [1.0]) is None


def test_an_evaluation_of_an_ensemble_has_it_in_all_tables(frames, tmp_path):
    ensemble = Ensemble([Potential(random_model(small_config(), seed)) for seed in range(3)])
    report = evaluate_frames(ensemble, frames, name="all.xyz")
    names = [path.name for path in write_reports([report], tmp_path, {}, predictions=True)]
    kept = read(tmp_path / "predictions_all.extxyz.gz", 0)
    np.testing.assert_allclose(kept.arrays["forces_std"], report.results[0].prediction.spread.forces_std, atol=1e-7)
    assert "calibration_all.png" in names
    assert (tmp_path / "calibration_all.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((tmp_path / "summary.json").read_text())["reports"][0]["calibration"]
    errors = np.concatenate([it.prediction.forces - it.frame.forces for it in report.results])
    spreads = np.concatenate([it.prediction.spread.forces_std for it in report.results])
    assert written["forces"]["miscalibration_area"] == calibration_of(errors, spreads).area
    assert written["energy"]["count"] == len(report.results)
    rows = list(csv.DictReader((tmp_path / "frames.csv").read_text().splitlines()))
    expected = 1000 * report.results[0].prediction.spread.max_force_spread
    assert float(rows[0]["max_force_spread_meV_per_A"]) == pytest.approx(expected)


def test_one_model_has_none(frames, potential, tmp_path):
    report = evaluate_frames(potential, frames[:2], name="two.xyz")
    names = [path.name for path in write_reports([report], tmp_path, {})]
    assert not any(name.startswith("calibration") for name in names)
    assert "calibration" not in json.loads((tmp_path / "summary.json").read_text())["reports"][0]
