import csv
import json
from dataclasses import replace

import pytest
from ase.io import read

from tribond.evaluation.evaluate import evaluate_frames
from tribond.evaluation.files import write_reports
from tribond.evaluation.plots import parity_plot


@pytest.fixture
def report(potential, noisy):
    return evaluate_frames(potential, noisy, name="data/some.extxyz.gz")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_files(tmp_path, report):
    written = write_reports([report], tmp_path / "out", {"model": {"name": "x"}}, predictions=True)
    assert [path.name for path in written] == [
        "summary.json",
        "summary.csv",
        "elements.csv",
        "frames.csv",
        "parity_some.png",
        "predictions_some.extxyz.gz",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in written)
    content = json.loads(written[0].read_text())
    assert content["model"] == {"name": "x"}
    (record,) = content["reports"]
    assert record["energy_errors_meV_per_atom"]["mae"] == report.energy.mae
    assert record["elements"]["Cu"]["forces_errors_meV_per_A"]["count"] > 0
    (summary,) = rows(written[1])
    assert float(summary["stress_RMSE_GPa"]) == report.stress.rmse
    assert [row["element"] for row in rows(written[2])] == [element.symbol for element in report.elements]
    frames = rows(written[3])
    assert [row["frame"] for row in frames] == [result.frame.origin for result in report.results]
    assert frames[-1]["stress_MAE_GPa"] or frames[0]["stress_MAE_GPa"]
    assert written[4].read_bytes().startswith(b"\x89PNG")


def test_predictions_can_be_read_back(tmp_path, report):
    write_reports([report], tmp_path, {}, predictions=True)
    images = read(tmp_path / "predictions_some.extxyz.gz", index=":")
    for image, result in zip(images, report.results, strict=True):
        assert image.get_potential_energy() == pytest.approx(result.prediction.energy, abs=1e-6)
        assert image.get_forces() == pytest.approx(result.prediction.forces, abs=1e-6)
        assert image.info["reference_energy"] == pytest.approx(result.frame.energy, abs=1e-6)
        assert image.arrays["reference_forces"] == pytest.approx(result.frame.forces, abs=1e-6)
        if result.frame.stress is not None:
            assert image.info["reference_stress"] == pytest.approx(result.frame.stress, abs=1e-6)


def test_names_that_clash(tmp_path, report):
    written = write_reports([report, report], tmp_path, {})
    plots = [path.name for path in written if path.suffix == ".png"]
    assert plots == ["parity_some.png", "parity_some-2.png"]
    assert len(rows(tmp_path / "summary.csv")) == 2


@pytest.mark.parametrize(
    ("name", "plot"),
    [
        ("folder/Li[Ni0.5Mn1.5]O4.extxyz", "parity_Li_Ni0.5Mn1.5_O4.png"),
        ("mptrj.extxyz.gz", "parity_mptrj.png"),
        ("run.2.traj@0:3", "parity_run.2.png"),
    ],
)
def test_points_in_names_stay(tmp_path, report, name, plot):
    written = write_reports([replace(report, name=name)], tmp_path, {})
    assert plot in [path.name for path in written]


def test_an_empty_report(tmp_path, potential):
    written = write_reports([evaluate_frames(potential, [], name="nothing")], tmp_path, {})
    assert [path.name for path in written] == ["summary.json", "summary.csv", "elements.csv", "frames.csv"]


def test_panels_have_equal_axes(report, frames, potential):
    for some in (report, evaluate_frames(potential, frames[:1], name="one point $5")):
        figure = parity_plot(some, "model_with_$_in_it")
        figure.draw_without_rendering()
        panels = figure.axes[:3]
        assert [panel.get_title() for panel in panels] == ["energy", "forces", "stress"]
        for panel in panels:
            assert panel.get_xlim() == panel.get_ylim()
            assert "RMSE" in panel.texts[0].get_text()


def test_no_panel_without_labels(report, potential, frames):
    from dataclasses import replace

    only_forces = [replace(frame, energy=None, stress=None) for frame in frames]
    figure = parity_plot(evaluate_frames(potential, only_forces))
    assert [panel.get_title() for panel in figure.axes if panel.get_title()] == ["forces"]
