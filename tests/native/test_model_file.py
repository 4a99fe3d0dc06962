"""What the library reads from a model file, and how it refuses what is not in order."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from tests.native import binding
from tests.small_models import random_model, small_config
from tribond.checkpoints.native import load_model, save_model
from tribond.checkpoints.registry import BUILT_IN_FOLDER
from tribond.errors import CheckpointError
from tribond.nn.basis import SmoothBessel, SphericalBessel

pytestmark = pytest.mark.skipif(not binding.PATH.exists(), reason="tribond was installed without a C++ compiler")
NATIVE = Path(__file__).parents[2] / "native"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, random_model(small_config()), {"name": "small"})
    return path.read_bytes()


def refused(content: bytes, code: int, words: str) -> None:
    with pytest.raises(binding.LibraryError, match=words) as caught:
        binding.Model(content)
    assert caught.value.code == code
    assert str(caught.value).startswith("bytes: ")


def rewritten(content: bytes, change, tensors=None) -> bytes:
    """The file with another description, without checksum unless the change makes one."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["tribond"])
    del header["checksum"]
    changed = change(header) or header
    from safetensors.torch import load

    return save(tensors(load(content)) if tensors else load(content), metadata={"tribond": json.dumps(changed)})


def test_the_built_in_model_and_files_without_checksum(content):
    (built_in,) = BUILT_IN_FOLDER.glob("*.safetensors")
    assert binding.Model(built_in).num_elements == 89
    assert binding.Model(rewritten(content, lambda header: None)).name == b"small"
    assert binding.Model(rewritten(content, lambda header: header | {"format_version": 1})).name == b"small"


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.9, 0.9999])
def test_a_bit_that_changed_is_noticed_by_both(content, tmp_path, place):
    damaged = bytearray(content)
    damaged[int(place * len(content))] ^= 2
    with pytest.raises(binding.LibraryError):
        binding.Model(bytes(damaged))
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(CheckpointError):
        load_model(tmp_path / "damaged.safetensors")


def test_the_checksum_is_what_notices_a_changed_weight(content, tmp_path):
    damaged = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    refused(damaged, binding.BAD_FILE, "damaged .its checksum is another one.; download or copy it again")
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(CheckpointError, match="checksum is another one"):
        load_model(tmp_path / "damaged.safetensors")


def test_files_that_end_too_early(content):
    for end in (0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(binding.LibraryError) as caught:
            binding.Model(content[:end])
        assert caught.value.code == binding.BAD_FILE
    refused(content + b"\0", binding.BAD_FILE, "damaged")


def test_what_is_no_model_file(tmp_path):
    for other in (b"{}", b"PK\x03\x04" + bytes(100), b"\xff" * 1000, bytes(1000)):
        with pytest.raises(binding.LibraryError, match="no model file|damaged"):
            binding.Model(other)
    with pytest.raises(binding.LibraryError, match="cannot be opened: No such file"):
        binding.Model(tmp_path / "missing")
    with pytest.raises(binding.LibraryError, match="cannot be"):
        binding.Model(tmp_path)
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(binding.LibraryError, match="not one that tribond wrote"):
        binding.Model(tmp_path / "other.safetensors")


def _setting(name, value):
    return lambda header: header | {"config": header["config"] | {name: value}}


SETTINGS = [
    (
        lambda header: header | {"format_version": 3},
        binding.UNSUPPORTED,
        "format version 3; this tribond reads up to 2",
    ),
    (
        lambda header: header | {"format_version": 3, "metadata": {"energy_terms": ["d3bj:pbe"]}},
        binding.UNSUPPORTED,
        "adds d3bj:pbe to the energy of its network",
    ),
    (_setting("bodies", 4), binding.UNSUPPORTED, "terms of four bodies"),
    (lambda header: header | {"format_version": 0}, binding.BAD_FILE, "format version"),
    (lambda header: header | {"format_version": "2"}, binding.BAD_FILE, "format version"),
    (lambda header: header | {"config": []}, binding.BAD_FILE, "no settings"),
    (lambda header: header | {"checksum": "sha256:1"}, binding.UNSUPPORTED, "checksum of another kind"),
    (_setting("readout", "set2set"), binding.UNSUPPORTED, "a model of a property"),
    (_setting("state", "continuous"), binding.UNSUPPORTED, "needs a state input"),
    (_setting("new_feature", 1), binding.UNSUPPORTED, "setting new_feature is unknown"),
    (_setting("update_hidden", []), binding.UNSUPPORTED, "no hidden layer"),
    (_setting("max_n", 0), binding.BAD_FILE, "max_n must be a whole number from 1 to 100"),
    (_setting("max_l", 5), binding.BAD_FILE, "max_l must be a whole number from 1 to 4"),
    (_setting("max_n", 3.0), binding.BAD_FILE, "max_n must be a whole number"),
    (_setting("cutoff", -1), binding.BAD_FILE, "cutoff must be a length"),
    (_setting("cutoff", 3.0), binding.BAD_FILE, "threebody_cutoff must be at most the cutoff"),
    (_setting("elements", ["Si", "Si"]), binding.BAD_FILE, "elements must be distinct"),
    (_setting("elements", ["Xx"]), binding.BAD_FILE, "elements must be"),
    (_setting("elements", []), binding.BAD_FILE, "elements must be"),
    (_setting("angle_gate", "nowhere"), binding.BAD_FILE, "angle_gate must be"),
    (_setting("edge_gate_bias", 1), binding.BAD_FILE, "edge_gate_bias must be true or false"),
    (_setting("num_blocks", 3), binding.BAD_FILE, "lacks the tensor blocks.2"),
    (_setting("num_blocks", 1), binding.BAD_FILE, "tensors that its settings do not ask for"),
    (_setting("node_features", 65536), binding.BAD_FILE, "of another shape"),
    (_setting("edge_gate_bias", True), binding.BAD_FILE, "lacks the tensor .*edge_gate.bias"),
    (_setting("repulsion", "zbl"), binding.BAD_FILE, "lacks the tensor repulsion.radius"),
    (_setting("repulsion", "wall"), binding.BAD_FILE, 'repulsion must be "zbl" or "none"'),
    (_setting("repulsion_outer", 2.0), binding.BAD_FILE, "repulsion_outer must be a number between 0 and 1"),
    (_setting("repulsion_inner", 0.9), binding.BAD_FILE, "repulsion_inner must be less than repulsion_outer"),
]


@pytest.mark.parametrize(("change", "code", "words"), SETTINGS, ids=range(len(SETTINGS)))
def test_settings_that_the_library_does_not_compute(content, change, code, words):
    refused(rewritten(content, change), code, words)


def test_numbers_that_are_not_finite_and_of_other_kinds(content):
    def spoil(tensors):
        tensors["atom_embedding.weight"][0, 0] = torch.nan
        return tensors

    refused(rewritten(content, lambda _: None, spoil), binding.BAD_FILE, "not finite")
    halves = lambda tensors: {name: tensor.half() for name, tensor in tensors.items()}  # noqa: E731
    refused(rewritten(content, lambda _: None, halves), binding.UNSUPPORTED, "of type F16")


def test_a_precision_that_does_not_exist(content):
    with pytest.raises(binding.LibraryError, match="the precision must be"):
        binding.Model(content, 2)


def test_metadata_that_only_python_calls_json(content):
    model = binding.Model(rewritten(content, lambda header: header | {"metadata": {"error": float("nan")}}))
    assert model.name == b"unnamed"


def test_a_file_in_single_precision_has_the_same_weights(tmp_path):
    model = random_model(small_config(), dtype=torch.float32)
    save_model(tmp_path / "model.safetensors", model, {})
    assert load_file(tmp_path / "model.safetensors")["atom_embedding.weight"].dtype == torch.float32
    assert binding.Model(tmp_path / "model.safetensors").precision == 4


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
def test_radial_tables_are_those_of_python_to_rounding(tmp_path):
    program = tmp_path / "radial"
    sources = [NATIVE / "tests" / "radial_tables.cpp", NATIVE / "src" / "library" / "radial.cpp"]
    includes = [f"-I{NATIVE / 'src'}"]
    subprocess.run([COMPILER, "-std=c++17", "-O2", *includes, *sources, "-o", program], check=True, timeout=300)

    def tables(*arguments):
        lines = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True).stdout
        return [np.array(line.split(), float) for line in lines.splitlines()]

    for count, cutoff in ((1, 5.0), (3, 5.0), (9, 6.2), (100, 3.3)):
        python, (waves, factors) = SmoothBessel(count, cutoff), tables("smooth", count, cutoff)
        np.testing.assert_allclose(waves, python.wave_numbers, rtol=3e-16)
        np.testing.assert_allclose(factors, python.coefficients.flatten(), rtol=1e-13, atol=1e-15)
    for max_n, max_l, cutoff in ((1, 1, 5.0), (3, 3, 5.0), (4, 4, 5.5), (100, 4, 5.0)):
        python, (waves, factors) = SphericalBessel(max_n, max_l, cutoff), tables("spherical", max_n, max_l, cutoff)
        np.testing.assert_allclose(waves, python.wave_numbers.flatten(), rtol=3e-15)
        np.testing.assert_allclose(factors, python.norms.flatten(), rtol=1e-12)
