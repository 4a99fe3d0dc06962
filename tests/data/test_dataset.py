import numpy as np
import pytest
import torch

from tribond.data.dataset import FrameDataset, LabeledGraph, count_edges
from tribond.data.frames import Frame, read_frames
from tribond.errors import DataError


@pytest.fixture
def frames(tmp_path, labelled_crystal, labelled_molecule):
    from ase.io import write

    write(tmp_path / "a.extxyz", [labelled_crystal, labelled_molecule])
    return read_frames(str(tmp_path / "a.extxyz"))


@pytest.fixture
def config(make_config):
    return make_config(elements=("Al", "Cu"))


def test_labels_and_shift(frames, config):
    moved = [Frame(**(vars(frame) | {"source": 1})) for frame in frames]
    shift = np.array([[0.0, 0.0], [0.5, 2.0]])  # Al, Cu
    here, there = (FrameDataset(chosen, config, shift) for chosen in (frames, moved))
    assert [float(there[i].energy - here[i].energy) for i in (0, 1)] == pytest.approx([8.0, 2.5])
    assert float(here[1].energy) == 1.5
    assert torch.equal(here[0].forces, torch.from_numpy(frames[0].forces))
    assert torch.equal(here[0].stress[0], torch.from_numpy(frames[0].stress))


def test_missing_labels_are_nan(frames, config):
    bare = [Frame(frame.atoms, None, None, None, frame.origin) for frame in frames]
    dataset = FrameDataset(bare, config, np.zeros((1, 2)))
    batch = LabeledGraph.batch([dataset[0], dataset[1]])
    assert batch.energy.shape == (2,)
    assert batch.forces.shape == (6, 3)
    assert batch.stress.shape == (2, 3, 3)
    for name in ("energy", "forces", "stress"):
        assert getattr(batch, name).isnan().all()
        assert getattr(batch, name).dtype == torch.float64


def test_batch(frames, config):
    dataset = FrameDataset(frames, config, np.zeros((1, 2)))
    batch = LabeledGraph.batch([dataset[1], dataset[0]]).to("cpu")
    assert batch.graph.num_systems == 2
    assert torch.equal(batch.energy, torch.cat([dataset[1].energy, dataset[0].energy]))
    assert batch.stress[0].isnan().all()
    assert torch.isfinite(batch.stress[1]).all()
    assert count_edges(dataset, [1, 0]).tolist() == [2, dataset[0].graph.num_edges]


def test_errors_name_file_and_structure(frames, config, make_config):
    unknown = FrameDataset(frames, make_config(elements=("Cu",)), np.zeros((1, 1)))
    with pytest.raises(DataError, match="a.extxyz#1: this model does not know Al"):
        unknown[1]
    frames[0].atoms.positions[1] = frames[0].atoms.positions[0]
    with pytest.raises(DataError, match="a.extxyz#0: "):
        FrameDataset(frames, config, np.zeros((1, 2)))[0]
