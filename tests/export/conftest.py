import pytest
import torch

from tests.export.comparison import shapes_unchecked
from tests.small_models import random_model, small_config
from tribond.errors import ExportError
from tribond.export.package import export_potential, find_compiler
from tribond.models.potential import Potential

QUICK = {"aot_inductor.compile_wrapper_opt_level": "O0", "aot_inductor.precompile_headers": False}


@pytest.fixture(scope="session")
def tiny_potential() -> Potential:
    """As little to compile as there can be, with biases that would let a padded bond be seen, and an offset."""
    config = small_config("m3gnet_pytorch", num_blocks=1, max_l=2, max_n=2, node_features=8, edge_features=8)
    model = random_model(config)
    model.reference_energy.offset.fill_(0.7)
    return Potential(model, {"name": "tiny", "licence": "none", "training_data": ["nothing at all", "and more"]})


@pytest.fixture(scope="session")
def package(tiny_potential, tmp_path_factory):
    """The one package that the quick tests compile, in float64; it takes most of their time."""
    try:
        find_compiler()
    except ExportError as error:
        pytest.skip(f"exports need a C++ compiler: {error}")
    path = tmp_path_factory.mktemp("package") / "missing folder" / "tiny.pt2"
    with shapes_unchecked():
        export_potential(tiny_potential, path, settings=QUICK)
    assert [file.name for file in path.parent.iterdir()] == ["tiny.pt2"]
    return path


@pytest.fixture
def make_package(tmp_path):
    """(preset, dtype) -> a potential of one block in float64, and the path of its package in that precision."""

    def make(name: str, dtype: str):
        potential = Potential(random_model(small_config(name, num_blocks=1), dtype=torch.float64), {"name": name})
        with shapes_unchecked():
            export_potential(potential.to(dtype=dtype), tmp_path / f"{name}.pt2", settings=QUICK)
        return potential, tmp_path / f"{name}.pt2"

    return make
