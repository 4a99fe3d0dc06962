"""What all tests share: small models with random weights in float64, and one structure of every kind."""

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from ase import Atoms
from hypothesis import settings

from tests.small_models import random_model, small_config
from tests.structures import BONDED, PERIODIC, STRUCTURES
from tribond.backends.triton.availability import triton_runs_on
from tribond.models.potential import Potential
from tribond.nn.config import PRESETS, M3GNetConfig
from tribond.nn.m3gnet import M3GNet

# Small models are fastest on one thread, and other work on the machine does not stall it. For commands started, too.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time, however slow the machine, and no files left behind.
settings.register_profile("tribond", derandomize=True, deadline=None, max_examples=10, database=None)
settings.load_profile("tribond")


def pytest_configure(config: pytest.Config) -> None:
    """Triton kernels run in its interpreter, on a machine with a GPU, too, unless the GPU is asked for: `-m gpu`.

    Triton reads this when it is first imported, so a run has one or the other.
    """
    if on_gpu(config):
        os.environ.pop("TRITON_INTERPRET", None)
    else:
        os.environ["TRITON_INTERPRET"] = "1"


def on_gpu(config: pytest.Config) -> bool:
    """Whether tests marked `gpu` were asked for."""
    words = str(config.option.markexpr).split()
    return any(word.strip("()") == "gpu" and before != "not" for before, word in pairwise(["", *words]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a GPU, say so and skip; with the kernels compiled for it, leave out tests of the interpreter."""
    if not on_gpu(config):
        return
    missing = pytest.mark.skip(reason="needs an NVIDIA GPU, Triton and a C compiler")
    if not triton_runs_on(torch.device("cuda")):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(missing)


@pytest.fixture(scope="session")
def make_config() -> Callable[..., M3GNetConfig]:
    """(preset, **changes) -> a small config."""
    return small_config


@pytest.fixture(scope="session")
def make_model() -> Callable[..., M3GNet]:
    """(preset, seed=..., dtype=..., **changes) -> a small model with random weights."""

    def make(name: str = "paper", *, seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any) -> M3GNet:
        return random_model(small_config(name, **changes), seed, dtype)

    return make


@pytest.fixture(scope="session")
def make_potential(make_model: Callable[..., M3GNet]) -> Callable[..., Potential]:
    """(preset, seed=..., dtype=..., **changes) -> a small potential with random weights."""

    def make(name: str = "paper", **settings: Any) -> Potential:
        return Potential(make_model(name, **settings), {"name": f"random {name}"})

    return make


@pytest.fixture(scope="session")
def potential(make_potential: Callable[..., Potential]) -> Potential:
    """The paper's M3GNet, small."""
    return make_potential()


@pytest.fixture(scope="session", params=[*PRESETS, "four_body"])
def every_potential(request: pytest.FixtureRequest, make_potential: Callable[..., Potential]) -> Potential:
    """Every published dialect, and the paper's with terms of four bodies, small."""
    return make_potential(bodies=4) if request.param == "four_body" else make_potential(request.param)


@pytest.fixture
def structures() -> dict[str, Atoms]:
    """One structure of every kind, by name."""
    return {name: build() for name, build in STRUCTURES.items()}


@pytest.fixture(params=STRUCTURES)
def every_structure(request: pytest.FixtureRequest) -> Atoms:
    """Crystals, slabs, wires, molecules, atoms and nothing at all."""
    return STRUCTURES[request.param]()


@pytest.fixture(params=BONDED)
def bonded_structure(request: pytest.FixtureRequest) -> Atoms:
    """Those with at least one bond."""
    return STRUCTURES[request.param]()


@pytest.fixture(params=PERIODIC)
def periodic_structure(request: pytest.FixtureRequest) -> Atoms:
    """Those with a stress."""
    return STRUCTURES[request.param]()


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is computed by the modules of `nn`, so that a test may change what these do."""
    monkeypatch.setattr("tribond.backends.choose.Evaluator.energy_and_gradient", lambda *_: None)
