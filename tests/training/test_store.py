"""A training on a store is that on its files, bit for bit: also when it is stopped, and with batches made ahead."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from ase.io import write
from safetensors.torch import load_file

from tribond.data.loader import LoaderAhead
from tribond.data.store import build as store_build
from tribond.data.store.build import BuildSettings, build
from tribond.errors import ConfigError, DataError
from tribond.interrupt import Interrupted
from tribond.training import run
from tribond.training.config import TrainingConfig
from tribond.training.module import PotentialTraining


@pytest.fixture
def data(save, alloys, tmp_path):
    """Two levels of theory as files, and the same in one store."""
    files = {"low": save("low.xyz", alloys(14)), "high": save("high.xyz", alloys(8, seed=1, zero=3.0))}
    build(tmp_path / "store", [f"{name}={file}" for name, file in files.items()])
    return {
        "files": [{"name": name, "files": [f"{name}.xyz"]} for name in files],
        "store": [{"name": name, "store": "store", "level": name} for name in files],
    }


def train(config, folder):
    return run.train(config, folder, progress=False)


def weights(output):
    checkpoint = torch.load(output / "checkpoints" / "last.ckpt", weights_only=True)
    return {**checkpoint["current_model_state"], **load_file(output / "model.safetensors")}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stages": [{"name": "a", "steps": 3, "sources": {"high": {"share": 0.5}}}, {"name": "b", "steps": 3}]},
    ],
)
def test_the_same_weights_as_from_files(data, tmp_path, make_training, settings):
    settings = {"steps": 6, **settings}
    if "stages" in settings:
        settings["steps"] = None
        settings = {key: value for key, value in settings.items() if value is not None}
    made = {}
    for kind, sources in data.items():
        config = make_training(train=sources, output=kind, **settings)
        if "stages" in settings:
            config = TrainingConfig.model_validate(
                {key: value for key, value in config.model_dump(exclude_unset=True).items() if key != "steps"}
            )
        result = train(config, tmp_path)
        made[kind] = weights(tmp_path / kind), [frame.energy for frame in result.validation]
    assert_same(made["files"][0], made["store"][0])
    assert made["files"][1] == made["store"][1]


def test_files_and_a_store_in_one_training(data, tmp_path, make_training):
    mixed = [data["files"][0], data["store"][1]]
    train(make_training(train=mixed, output="mixed"), tmp_path)
    train(make_training(train=data["files"], output="files"), tmp_path)
    assert_same(weights(tmp_path / "mixed"), weights(tmp_path / "files"))


@pytest.mark.parametrize("step", [2, 5])
def test_stopped_it_goes_on_to_the_same_weights(data, tmp_path, make_training, monkeypatch, step):
    train(make_training(train=data["store"], steps=8, output="whole"), tmp_path)
    config = make_training(train=data["store"], steps=8)
    whole = PotentialTraining.training_step
    pending = [step]

    def training_step(self, batch):
        if pending == [self.global_step + 1]:
            pending.clear()
            os.kill(os.getpid(), signal.SIGINT)
        return whole(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(PotentialTraining, "training_step", training_step)
        with pytest.raises(Interrupted):
            train(config, tmp_path)
    train(config, tmp_path)
    assert_same(weights(tmp_path / "out"), weights(tmp_path / "whole"))


def test_another_store_is_other_data(data, tmp_path, make_training, alloys, save):
    config = make_training(train=data["store"], steps=2)
    train(config, tmp_path)
    save("low.xyz", alloys(14, zero=0.1))
    build(tmp_path / "store", [f"low={tmp_path / 'low.xyz'}", f"high={tmp_path / 'high.xyz'}"], restart=True)
    with pytest.raises(ConfigError, match="data has changed"):
        train(config, tmp_path)


def test_bonds_for_another_cutoff_are_counted_and_kept(save, alloys, tmp_path, make_training, monkeypatch):
    build(tmp_path / "store", [str(save("a.xyz", alloys(10)))], BuildSettings(cutoffs=(4.0,)))
    monkeypatch.setattr("tribond.training.data_module.WORTH_KEEPING", 1)
    config = make_training(train=[{"name": "a", "store": "store"}], steps=2)
    train(config, tmp_path)
    kept = list((tmp_path / "out" / "cache").glob("bonds-*.npz"))
    assert len(kept) == 2  # to train and to validate


def test_a_split_by_id_keeps_ids_together(save, alloys, tmp_path, make_training):
    images = alloys(30)
    for number, atoms in enumerate(images):
        atoms.info["material_id"] = f"m{number // 3}"
    write(tmp_path / "a.xyz", images, format="extxyz")
    store = build(tmp_path / "store", [str(tmp_path / "a.xyz")])
    config = make_training(train=[{"name": "a", "store": "store"}], data={"split_by": "id"}, steps=2)
    result = train(config, tmp_path)
    held_out = {round(frame.energy, 6) for frame in result.validation}
    assert 0 < len(held_out) < 30
    of = [round(frame.energy, 6) in held_out for frame in store]
    assert all(len(set(of[first : first + 3])) == 1 for first in range(0, 30, 3))
    save("b.xyz", alloys(6))
    with pytest.raises(DataError, match="no ids to split by"):
        train(make_training(train=[{"name": "b", "files": ["b.xyz"]}], data={"split_by": "id"}, output="b"), tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"name": "a"}, "name either files or a store"),
        ({"name": "a", "files": ["x"], "store": "y"}, "name either files or a store"),
        ({"name": "a", "files": ["x"], "level": "y"}, "level chooses from a store"),
        ({"name": "a", "store": "y", "stress_unit": "GPa"}, "a store knows its stress_unit"),
    ],
)
def test_sources_that_say_too_much_or_too_little(make_training, source, message):
    with pytest.raises(ValueError, match=message):
        make_training(train=[source])


def test_batches_made_ahead_are_those_made_when_asked_for():
    made = []

    class Numbers(torch.utils.data.Dataset):
        def __getitem__(self, index):
            made.append(index)
            if index == 7:
                raise DataError("the seventh")
            return index

    loader = LoaderAhead(Numbers(), batch_sampler=[[number] for number in (3, 1, 4, 1, 5)], collate_fn=lambda it: it)
    assert [batch for (batch,) in loader] == [3, 1, 4, 1, 5]
    batches = iter(LoaderAhead(Numbers(), batch_sampler=[[n] for n in range(100)], collate_fn=lambda it: it))
    made.clear()
    assert next(batches) == [0]
    batches.close()  # as at the end of a training
    assert len(made) <= 4
    with pytest.raises(DataError, match="the seventh"):
        list(LoaderAhead(Numbers(), batch_sampler=[[6], [7], [8]], collate_fn=lambda it: it))


MANY = 30_000
CHILD = """
import json, resource, sys, time
from pathlib import Path
import torch
from tribond.training.config import TrainingConfig
from tribond.training.sources import read_training_frames
from tribond.training.data_module import TrainingData
from tribond.nn.config import preset
from tribond.training.zero_of_energy import reference_energies_of_sources
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
config = TrainingConfig.read(sys.argv[1])
frames = read_training_frames(config.data, Path(sys.argv[1]).parent)
model = preset("paper", elements=("Al", "Cu", "Ni"))
references = reference_energies_of_sources(frames.train, config.data, model)
data = TrainingData(frames, config, model, references)
batch = next(iter(data.train_dataloader()))
print(json.dumps({"MB": peak() - before, "frames": len(frames.train), "systems": batch.graph.num_systems}))
"""


@pytest.fixture
def many(tmp_path, alloys, monkeypatch):
    """A store of tens of thousands of frames: a few, again and again, as one reads them from a file of that length."""
    real = store_build.READERS["extxyz"]

    def again(path, settings, on_note):
        found = list(real(path, settings, on_note))
        for number in range(MANY):
            it = found[number % len(found)]
            yield type(it)(**{**it.__dict__, "number": number, "energy": it.energy + 0.01 * (number % 97)})

    rows = {}
    whole = store_build.make_row

    def make_row(record, cutoffs):
        key = record.number % 50
        rows[key] = rows.get(key) or whole(record, cutoffs)
        return replace(rows[key], columns=rows[key].columns | {"number": record.number, "energy": record.energy})

    monkeypatch.setitem(store_build.READERS, "extxyz", again)
    monkeypatch.setattr(store_build, "make_row", make_row)
    write(tmp_path / "a.extxyz", alloys(50), format="extxyz")
    return build(tmp_path / "many", [str(tmp_path / "a.extxyz")])


def test_a_large_store_is_not_read_to_start(many, tmp_path, make_training):
    """On a million structures benchmarks/data_store.py does the same."""
    config = make_training(train=[{"name": "many", "store": str(many.path)}], model={"preset": "paper"})
    (tmp_path / "train.json").write_text(json.dumps(config.model_dump(mode="json", exclude_none=True)))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "train.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["frames"] > MANY / 2
    assert found["systems"] > 1
    # 30,000 atoms objects alone would be more than 100 MB.
    assert found["MB"] < 60, found
