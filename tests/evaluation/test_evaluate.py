from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from tribond.data.frames import Frame
from tribond.evaluation import evaluate
from tribond.evaluation.evaluate import evaluate_frames
from tribond.units import EV_PER_A3_TO_GPA


def test_a_potential_agrees_with_itself(potential, frames):
    report = evaluate_frames(potential, frames, name="self")
    assert report.name == "self"
    assert report.frames == len(frames)
    for errors in (report.energy, report.forces, report.stress):
        assert errors.largest == pytest.approx(0, abs=1e-8)
    assert not report.skipped


def test_known_errors_are_found(potential, frames, noisy):
    report = evaluate_frames(potential, noisy)
    pairs = list(zip(frames, noisy, strict=True))
    energy = [abs(b.energy - a.energy) / len(a.atoms) * 1000 for a, b in pairs]
    forces = np.concatenate([b.forces - a.forces for a, b in pairs]) * 1000
    stress = np.array([b.stress - a.stress for a, b in pairs if a.stress is not None]) * EV_PER_A3_TO_GPA
    assert report.energy.mae == pytest.approx(np.mean(energy))
    assert report.forces.rmse == pytest.approx(np.sqrt(np.mean(forces**2)))
    assert report.stress.mae == pytest.approx(np.mean(np.abs(stress)))


def test_what_cannot_be_evaluated_is_counted(potential, frames, caplog, monkeypatch):
    monkeypatch.setattr(evaluate, "CHUNK", 3)
    collapsed = Frame(Atoms("H2", positions=np.zeros((2, 3))), 0.0, None, None, "collapsed.xyz#7")
    strange = Frame(Atoms("XeCu", positions=[[0, 0, 0], [0, 0, 3]]), 0.0, None, None, "x")
    unlabelled = replace(frames[0], energy=None, forces=None, stress=None)
    empty = Frame(Atoms(), 0.0, None, None, "empty")
    done = []
    mixed = [frames[0], collapsed, strange, unlabelled, *frames[1:], empty]
    report = evaluate_frames(potential, mixed, on_progress=done.append)
    assert report.frames == len(frames)
    assert report.skipped == {
        "not a valid structure": 1,
        "unknown to the model: Xe": 1,
        "no label": 1,
        "no atoms": 1,
    }
    assert sum(done) == len(mixed)
    assert "collapsed.xyz#7 is left out: " in caplog.text
    assert [result.frame for result in report.results] == frames


def test_no_frames(potential):
    assert evaluate_frames(potential, []).frames == 0


def test_some_labels(potential, frames):
    report = evaluate_frames(potential, [replace(frame, energy=None, stress=None) for frame in frames])
    assert report.energy is None
    assert report.stress is None
    assert report.forces.largest == pytest.approx(0, abs=1e-8)
