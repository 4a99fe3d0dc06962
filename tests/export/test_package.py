"""A compiled package: the numbers, what it says of itself, and what is refused."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from ase import Atoms
from typer.testing import CliRunner

import tribond
from tests.export.comparison import assert_like, inputs
from tests.small_models import random_model, small_config
from tests.structures import STRUCTURES, crystal, methanol
from tribond.cli.main import app
from tribond.errors import ConfigError, ExportError, UnknownElementError
from tribond.export import exported
from tribond.export.metadata import read_metadata
from tribond.export.package import export_potential
from tribond.models.force_field import ForceField
from tribond.models.potential import Potential
from tribond.models.property_model import PropertyModel
from tribond.nn.config import PRESETS


@pytest.fixture(scope="module")
def loaded(package):
    return tribond.load_exported(package)


def test_it_gives_what_the_potential_gives_for_any_size(loaded, tiny_potential):
    assert_like(loaded.run, tiny_potential, energy=1e-10, forces=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("dtype", "energy", "forces"), [("float32", 1e-6, 1e-5), ("float64", 1e-10, 1e-10)])
def test_so_does_that_of_every_dialect(make_package, name, dtype, energy, forces):
    potential, path = make_package(name, dtype)
    assert_like(tribond.load_exported(path).run, potential, energy=energy, forces=forces)


TWO = """
import sys
from tests.export.conftest import QUICK
from tests.small_models import random_model, small_config
from tribond.export.package import export_potential
from tribond.models.potential import Potential
config = small_config("paper", num_blocks=1, max_l=1)
export_potential(Potential(random_model(config, seed=int(sys.argv[1]))), sys.argv[2], settings=QUICK)
"""


@pytest.mark.slow
def test_exports_at_the_same_time_keep_their_weights_apart(tmp_path):
    """The code of both is the same, letter by letter."""
    paths = [tmp_path / str(seed) / "it.pt2" for seed in (0, 1)]
    commands = [[sys.executable, "-c", TWO, str(seed), paths[seed]] for seed in (0, 1)]
    assert [process.wait() for process in map(subprocess.Popen, commands)] == [0, 0]
    for seed, path in enumerate(paths):
        model = random_model(small_config("paper", num_blocks=1, max_l=1), seed=seed)
        assert_like(tribond.load_exported(path).run, Potential(model), energy=1e-10, forces=1e-10)


def test_predictions_are_those_of_the_potential(loaded, tiny_potential):
    structures = [build() for build in STRUCTURES.values()]
    for structure, got in zip(structures, loaded.predict(structures), strict=True):
        want = tiny_potential.predict(structure)[0]
        assert got.energy == pytest.approx(want.energy, abs=1e-10)
        np.testing.assert_allclose(got.forces, want.forces, rtol=0, atol=1e-10)
        assert (got.stress is None) == (want.stress is None)
        if want.stress is not None:
            np.testing.assert_allclose(got.stress, want.stress, rtol=0, atol=1e-10)


def test_it_is_a_force_field(loaded, tiny_potential):
    assert isinstance(loaded, ForceField)
    for name in ("cutoff", "threebody_cutoff", "elements", "device", "dtype"):
        assert getattr(loaded, name) == getattr(tiny_potential, name)


def test_ase_takes_it_as_a_calculator(loaded, tiny_potential):
    atoms, other = crystal(), crystal()
    atoms.calc, other.calc = tribond.Calculator(loaded), tribond.Calculator(tiny_potential)
    np.testing.assert_allclose(atoms.get_forces(), other.get_forces(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(atoms.get_stress(), other.get_stress(), rtol=0, atol=1e-10)
    with pytest.raises(ConfigError, match="takes no state"):
        tribond.Calculator(loaded, state=0)


def test_more_threads_than_at_its_making_change_nothing(loaded, tiny_potential):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        got = loaded.predict(crystal())[0].forces
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(got, tiny_potential.predict(crystal())[0].forces, rtol=0, atol=1e-10)


def test_an_unknown_element_gives_no_number_or_an_error(loaded, tiny_potential):
    positions, numbers, *rest = inputs(tiny_potential.graph(methanol()))
    outputs = loaded.run(positions, torch.where(numbers == 8, 26, numbers), *rest)
    assert all(output.isnan().all() for output in outputs)
    with pytest.raises(UnknownElementError, match="structure 1: this model does not know Fe"):
        loaded.predict([methanol(), Atoms("Fe")])


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        (0, lambda it: it.float(), r"positions must be torch.float64 of shape \(6, 3\) on cpu; it is torch.float32"),
        (1, lambda it: it.int(), "atomic_numbers must be torch.int64"),
        (2, lambda it: it[:-1], "owned must be"),
        (3, lambda it: it.T, "edge_index must be"),
        (4, lambda it: it[:, :2], "shift_vectors must be"),
        (5, lambda it: it[None], "angle_edges must be"),
    ],
)
def test_tensors_that_it_would_misread_are_refused(loaded, tiny_potential, place, change, told):
    given = list(inputs(tiny_potential.graph(methanol())))
    given[place] = change(given[place])
    with pytest.raises(ConfigError, match=told):
        loaded.run(*given)
    with pytest.raises(ConfigError, match="takes 6 tensors"):
        loaded.run(*given[:5])


def test_a_batch_is_refused(loaded, tiny_potential):
    graph = tiny_potential.graph(crystal())
    with pytest.raises(ConfigError, match="one system"):
        loaded.evaluate(type(graph).batch([graph, graph]))


def test_its_metadata_can_be_read_without_running_it(package, tiny_potential):
    told = read_metadata(package)
    assert told.name == "tiny"
    assert told.elements == tiny_potential.elements
    assert (told.cutoff, told.threebody_cutoff, told.reach, told.offset) == (5.0, 4.0, 5.0, 0.7)
    assert (told.dtype, told.device) == ("float64", "cpu")
    assert (told.tribond_version, told.torch_version) == (tribond.__version__, torch.__version__)
    assert told.provenance == {"licence": "none", "training_data": "nothing at all; and more"}


def test_info_shows_what_a_package_is(package):
    result = CliRunner().invoke(app, ["info", str(package)])
    assert result.exit_code == 0, result.output
    rows = {line[:15].strip(): line[15:].strip() for line in result.stdout.splitlines()}
    assert rows["name"] == "tiny"
    assert rows["elements"] == "5: H C O Si Cu"
    assert rows["cutoff"] == "5 Å for bonds, 4 Å for angles"
    assert rows["reach"] == "5 Å, of ghost atoms"
    assert rows["precision"] == "float64"
    assert rows["runs on"].startswith("cpu")


def test_reading_metadata_does_not_wait_for_pytorch(package):
    code = f"from tribond.export.metadata import read_metadata; import sys; read_metadata({str(package)!r})"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_tribond_does_not_wait_for_the_compiler():
    code = "import sys, tribond; tribond.load, tribond.export_potential, tribond.load_exported"
    code += "; assert 'torch._inductor.compile_fx' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def rewritten(package, path, **changes):
    """The package with other metadata; None takes a key out."""
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("_metadata.json"):
                facts = json.loads(content) | changes
                content = json.dumps({key: value for key, value in facts.items() if value is not None})
            new.writestr(entry.filename, content)
    return path


def test_a_package_of_another_kind_or_time_is_refused(package, tmp_path):
    with pytest.raises(ExportError, match="newer than this one; update tribond"):
        tribond.load_exported(rewritten(package, tmp_path / "newer.pt2", format="2"))
    with pytest.raises(ExportError, match="not one that `tribond export` made: it has no 'format'"):
        tribond.load_exported(rewritten(package, tmp_path / "other.pt2", format=None))
    (tmp_path / "text.pt2").write_text("no zip")
    with pytest.raises(ExportError, match=r"text.pt2 is no package"):
        tribond.load_exported(tmp_path / "text.pt2")
    (tmp_path / "half.pt2").write_bytes(package.read_bytes()[:100_000])
    with pytest.raises(ExportError, match=r"half.pt2 is no package of `tribond export`, or it is damaged"):
        tribond.load_exported(tmp_path / "half.pt2")
    with pytest.raises(FileNotFoundError):
        tribond.load_exported(tmp_path / "none.pt2")


def test_a_package_for_another_processor_is_refused(package, monkeypatch, tmp_path):
    path = rewritten(package, tmp_path / "avx.pt2", AOTI_CPU_ISA="AVX512 AVX512_VNNI")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with pytest.raises(ExportError, match="made for a processor with AVX512; this one has AVX2"):
        exported.load_exported(path)


def test_without_a_compiler_nothing_is_written(tiny_potential, tmp_path):
    missing = {"cpp.cxx": (str(tmp_path / "no compiler"),)}
    told = "needs a C\\+\\+ compiler, and there is none"
    with torch._inductor.config.patch(missing), pytest.raises(ExportError, match=told):
        export_potential(tiny_potential, tmp_path / "new" / "it.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_potential_is_refused(tmp_path):
    model = PropertyModel(random_model(small_config(readout="mean")), {"property": {"name": "band gap"}})
    with pytest.raises(ConfigError, match="only potentials can be exported"):
        export_potential(model, tmp_path / "it.pt2")
    with pytest.raises(ConfigError, match="only a Potential"):
        export_potential(model.model, tmp_path / "it.pt2")


def test_a_path_that_cannot_be_written_is_known_before_anything_is_compiled(tiny_potential, tmp_path, monkeypatch):
    monkeypatch.setattr("tribond.export.package.traced_program", lambda _: pytest.fail("too late"))
    with pytest.raises(ConfigError, match="must end in .pt2"):
        export_potential(tiny_potential, tmp_path / "it.so")
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        export_potential(tiny_potential, tmp_path / "folder.pt2")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        export_potential(tiny_potential, tmp_path / "file" / "it.pt2")


def test_an_older_package_stays_when_the_compiler_fails(tiny_potential, tmp_path, monkeypatch):
    path = tmp_path / "it.pt2"
    path.write_text("old")

    def fail(_):
        raise RuntimeError("no luck")

    monkeypatch.setattr("tribond.export.package.traced_program", fail)
    with pytest.raises(RuntimeError, match="no luck"):
        export_potential(tiny_potential, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
