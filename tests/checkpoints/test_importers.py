"""What importers refuse: settings that tribond does not compute, and files with a tensor too many, too few or misshapen.

That they compute what the home codes do is tested in tests/parity.
"""

import json
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch

import tribond
from tribond.checkpoints import torch_file
from tribond.checkpoints.matgl_era import Evidence
from tribond.checkpoints.open_model import open_model
from tribond.errors import CheckpointError, ConfigError

HOME = Path(__file__).parents[1] / "parity" / "home"
MATTERSIM = HOME / "mattersim_potential" / "checkpoint.pth"


def read(path: Path):
    """A file of our own fixtures, which may hold MatGL's classes."""
    from tribond.checkpoints.torch_file import read_torch_file

    return read_torch_file(path)


@pytest.fixture
def matgl(tmp_path):
    """A copy of a MatGL folder to spoil: a function of its name, and of what to change."""

    def spoil(case: str = "matgl_dgl_2.2.1_potential_smooth", *, settings=None, wrapper=None, state=None) -> Path:
        folder = tmp_path / case
        shutil.copytree(HOME / case, folder)
        content = read(folder / "model.pt")
        network = content["model"]["init_args"] if "model" in content else content
        for target, changes in ((network, settings), (content, wrapper)):
            for key, value in (changes or {}).items():
                target.pop(key, None)
                if value is not MISSING:
                    target[key] = value
        save(content, folder / "model.pt")
        if state is not None:
            tensors = read(folder / "state.pt")
            state(tensors)
            torch.save(tensors, folder / "state.pt")
        return folder

    return spoil


@pytest.fixture
def mattersim(tmp_path):
    """A MatterSim file with its content changed."""

    def spoil(change) -> Path:
        content = read(MATTERSIM)
        change(content)
        path = tmp_path / "model.pth"
        torch.save(content, path)
        return path

    return spoil


@pytest.fixture
def tensorflow(tmp_path):
    """A TensorFlow folder with its settings changed."""

    def spoil(case: str = "tensorflow_weighted_atom_states", **changes) -> Path:
        folder = tmp_path / case
        shutil.copytree(HOME / case, folder)
        path = folder / "m3gnet.json"
        content = json.loads(json.loads(path.read_text()))
        for key, value in changes.items():
            content["config"].pop(key, None)
            if value is not MISSING:
                content["config"][key] = value
        path.write_text(json.dumps(json.dumps(content)))
        return folder

    return spoil


MISSING = object()


def save(content, path: Path) -> None:
    """Write settings; the stand-in of MatGL's Normalizer under the name that MatGL gave it."""
    module = types.ModuleType("matgl.data.transformer")
    sys.modules[module.__name__] = module
    sys.modules["matgl"] = sys.modules["matgl.data"] = types.ModuleType("matgl")
    home, torch_file.Normalizer.__module__ = torch_file.Normalizer.__module__, "matgl.data.transformer"
    module.Normalizer = torch_file.Normalizer
    try:
        torch.save(content, path)
    finally:
        torch_file.Normalizer.__module__ = home
        for name in ("matgl", "matgl.data", "matgl.data.transformer"):
            del sys.modules[name]


# Settings


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rbf_type": "Gaussian"}, "rbf_type = 'Gaussian'"),
        ({"use_phi": True}, "use_phi = True"),
        ({"activation_type": "softplus2"}, "activation_type = 'softplus2'"),
        ({"spin": "up"}, "does not know: spin"),
        ({"max_n": MISSING}, "lacks the settings max_n"),
        ({"cutoff": -1.0}, "cutoff = -1.0"),
        ({"element_types": ("Si", "Xx")}, "elements"),
    ],
)
def test_settings_of_matgl_that_tribond_does_not_compute_are_named(matgl, settings, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(matgl(settings=settings))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"field": "edge_feat"}, "field = 'edge_feat'"),
        ({"readout_type": "max"}, "readout_type = 'max'"),
        ({"ntargets": 0}, "num_targets"),
    ],
)
def test_and_those_of_its_property_models(matgl, settings, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(matgl("matgl_dgl_2.2.1_weighted_atom_raw_two_targets", settings=settings))


@pytest.mark.parametrize(
    ("wrapper", "named"),
    [
        ({"calc_repuls": True}, "calc_repuls = True"),
        ({"calc_magmom": True}, "calc_magmom = True"),
        ({"temperature": 300}, "does not know: temperature"),
    ],
)
def test_and_those_of_its_potentials(matgl, wrapper, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(matgl(wrapper=wrapper))


def test_old_names_of_settings_are_understood(matgl):
    """dim_state_types became ntypes_state with MatGL 0.7, and num_rbf was written and never read."""
    case = "matgl_dgl_2.2.1_weighted_atom_category"
    now = tribond.load(HOME / case)
    then = tribond.load(matgl(case, settings={"ntypes_state": MISSING, "dim_state_types": 4, "num_rbf": 3}))
    assert then.config == now.config


def test_references_that_are_no_tensors_yet_are_those_of_the_settings(matgl):
    """Before MatGL 0.9 they were not among the tensors."""
    case = "matgl_dgl_2.2.1_potential_smooth"
    now = tribond.load(HOME / case)

    def forget(tensors):
        for name in [name for name in tensors if name.startswith("element_refs.")]:
            del tensors[name]

    then = tribond.load(matgl(case, state=forget))
    assert torch.equal(then.model.reference_energy.reference, now.model.reference_energy.reference)


def test_mean_and_deviation_that_are_no_tensors_are_those_of_the_settings(matgl):
    case = "matgl_dgl_2.2.1_potential_smooth"

    def forget(tensors):
        del tensors["data_mean"], tensors["data_std"]

    energy = tribond.load(matgl(case, state=forget, wrapper={"data_mean": 0.5, "data_std": 3.0})).model.reference_energy
    assert (energy.offset.item(), energy.scale[0].item()) == (0.5, 3.0)


def test_a_transformed_energy_and_an_intensive_potential_are_refused(matgl):
    folder = matgl("matgl_dgl_2.2.1_set2set_normalizer", settings={"is_intensive": False})
    with pytest.raises(CheckpointError, match="TransformedTargetModel of an energy"):
        tribond.load(folder)
    with pytest.raises(CheckpointError, match="Potential .*of an intensive property"):
        tribond.load(matgl(settings={"is_intensive": True}))


def test_one_hot_rows_of_the_references_are_the_identity(matgl):
    def spoil(tensors):
        tensors["element_refs.onehot"] = torch.ones(5, 5)

    with pytest.raises(CheckpointError, match=r"element_refs\.onehot"):
        tribond.load(matgl(state=spoil))


def test_a_state_in_a_network_of_the_first_version_is_refused(matgl):
    folder = matgl("matgl_dgl_2.2.1_weighted_atom_category")
    description = json.loads((folder / "model.json").read_text())
    description["@model_version"] = 1
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"include_state.*before 0\.9"):
        tribond.load(folder)


def test_before_1_0_a_weighted_readout_was_a_mean(matgl):
    """There were no tensors of a readout then, and the word was accepted all the same."""
    folder = matgl("matgl_dgl_2.2.1_reduce_atom_classification", settings={"readout_type": "weighted_atom"})
    assert tribond.load(folder, dialect="matgl_dgl").config.readout == "mean"


def test_a_property_model_with_an_unknown_transformer_is_refused(matgl):
    folder = matgl("matgl_dgl_2.2.1_set2set_normalizer", wrapper={"target_transformer": "Scaler"})
    assert read(folder / "model.pt")["target_transformer"] == "Scaler"
    with pytest.raises(CheckpointError, match="target_transformer = Scaler"):
        tribond.load(folder)


@pytest.mark.parametrize("name", ["Potential", "MEGNet"])
def test_other_networks_are_refused_by_name(matgl, name):
    folder = matgl()
    content = read(folder / "model.pt")
    content["model"]["@class"] = name
    torch.save(content, folder / "model.pt")
    with pytest.raises(CheckpointError, match=f"describes a {name}"):
        tribond.load(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"readout": "max"}, "readout = 'max'"),
        ({"is_intensive": False}, "include_states with is_intensive = false"),
        ({"pressure": 1}, "does not know: pressure"),
        ({"units": MISSING}, "lacks the settings units"),
        ({"max_l": 0}, "max_l"),
    ],
)
def test_settings_of_tensorflow_that_tribond_does_not_compute_are_named(tensorflow, changes, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(tensorflow(**changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_atom_types": "94"}, "does not follow the format"),
        ({"std": None}, "does not follow the format"),
        ({"mean": float("nan")}, "not finite|finite"),
        ({"element_refs": [1.0, 2.0]}, "element_refs must be 95 numbers"),
        ({"n_atom_types": 20, "element_refs": None}, "the embedding has 95 rows, n_atom_types asks for 21"),
        ({"units": 10**6}, "must be"),
    ],
)
def test_settings_of_a_tensorflow_potential_that_make_no_sense_are_refused(tensorflow, changes, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(tensorflow("tensorflow_potential_element_refs", **changes))


def test_elements_that_the_fit_of_the_references_never_saw_are_not_known(tensorflow):
    """The paper's potential has rows for Po to Ra, and no training structure had any."""
    references = [0.0] + [-1.0] * 94
    references[84] = 1e-16
    potential = tribond.load(tensorflow("tensorflow_potential_element_refs", element_refs=references))
    assert "Po" not in potential.elements
    assert len(potential.elements) == 93


@pytest.mark.parametrize("references", [None, [0.0] * 95])
def test_without_references_all_elements_are_known(tensorflow, references):
    potential = tribond.load(tensorflow("tensorflow_potential_element_refs", element_refs=references))
    assert len(potential.elements) == 94


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"class_name": "M3GNet", "config": [1]}', '{"class_name": "MEGNet", "config": {}}']
)
def test_settings_of_tensorflow_that_make_no_sense_are_refused(tensorflow, content):
    folder = tensorflow()
    (folder / "m3gnet.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"m3gnet\.json"):
        tribond.load(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.update(model_name="graphormer"), "graphormer"),
        (lambda c: c["model_args"].update(charge=1), "does not know: charge"),
        (lambda c: c["model_args"].pop("units"), "lacks the settings units"),
        (lambda c: c["model_args"].update(max_l=2), "max_n = 3 and max_l = 2 must be equal"),
        (
            lambda c: c["model_args"].update(cutoff=6.0),
            r"'rbf\.r_max' is 4\.5 where the settings in the file make it 6",
        ),
        (lambda c: c["model"]["sbf.coef"].mul_(1.01), r"sbf\.coef"),
        (lambda c: c["model"]["rbf.en"].add_(0.01), r"rbf\.en"),
        (lambda c: c["model"]["sbf.factor"].mul_(1.01), r"sbf\.factor"),
        (
            lambda c: c["model"].update({"rbf.en": torch.zeros(5)}),
            "has 5 numbers where the settings in the file ask for 3",
        ),
        (lambda c: c["model_args"].update(max_z="94"), "does not follow the format of MatterSim .TypeError"),
        (lambda c: c.update(model_args=[1]), "does not follow the format of MatterSim .AttributeError"),
        (lambda c: c["model"].update({"rbf.en": 1.0}), "does not hold weights"),
    ],
)
def test_settings_and_constants_of_mattersim_that_tribond_does_not_compute_are_named(mattersim, change, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(mattersim(change))


def test_the_published_mattersim_files_lack_one_constant(mattersim):
    """Files made before 2026 have no sbf.coef."""
    path = mattersim(lambda content: content["model"].pop("sbf.coef"))
    assert tribond.load(path).config == tribond.load(MATTERSIM).config


# Tensors


def lose(name):
    return lambda tensors: tensors.pop(name)


def extra(tensors):
    tensors["model.extra.weight"] = torch.zeros(2)


def misshape(tensors):
    name = "model.embedding.layer_node_embedding.weight"
    tensors[name] = tensors[name][:, :-1]


def halve(tensors):
    name = "model.embedding.layer_node_embedding.weight"
    tensors[name] = tensors[name].half()


def spoil_number(tensors):
    tensors["model.graph_layers.0.conv.edge_weight_func.weight"][0, 0] = float("nan")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lose("model.final_layer.gated.gates.2.bias"), r"lacks the tensor 'model\.final_layer\.gated\.gates\.2\.bias'"),
        (extra, r"no place for.*model\.extra\.weight"),
        (misshape, r"atom_embedding\.weight is \(5, 7\), must be \(5, 8\)"),
        (halve, r"node_embedding\.weight' is stored as torch\.float16"),
        (spoil_number, r"edge_weight_func\.weight' holds numbers that are not finite"),
        (
            lambda tensors: tensors["model.bond_expansion.rbf.cutoff"].fill_(6.0),
            r"rbf\.cutoff' is 6 where the settings in the file make it 4",
        ),
        (lambda tensors: tensors["data_std"].fill_(float("inf")), "data_std' holds numbers that are not finite"),
    ],
    ids=["missing", "left over", "misshapen", "half", "not finite", "another cutoff", "infinite scale"],
)
def test_every_tensor_of_a_matgl_file_is_used_or_the_import_fails(matgl, change, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(matgl(state=change))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c["model"].pop("final.g.0.linear.weight"), r"lacks the tensor 'final\.g\.0\.linear\.weight'"),
        (lambda c: c["model"].update(extra=torch.zeros(1)), "no place for.*extra"),
        (lambda c: c["model_args"].update(units=16), "must be"),
        (lambda c: c["model_args"].update(num_blocks=1), r"no place for.*graph_conv\.1"),
        (lambda c: c["model_args"].update(num_blocks=3), "lacks the tensor 'graph_conv.2"),
    ],
)
def test_every_tensor_of_a_mattersim_file_is_used_or_the_import_fails(mattersim, change, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(mattersim(change))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_blocks": 1}, "no place for.*graph_layers/1"),
        ({"n_blocks": 3}, "lacks the tensor"),
        ({"units": 16}, "must be"),
    ],
)
def test_every_tensor_of_a_tensorflow_file_is_used_or_the_import_fails(tensorflow, changes, named):
    with pytest.raises(CheckpointError, match=named):
        tribond.load(tensorflow(**changes))


@pytest.mark.parametrize("name", ["model.json", "model.pt", "state.pt"])
def test_a_missing_file_of_matgl_is_named(matgl, name):
    folder = matgl()
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        tribond.load(folder)


# Moving averages


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.pop("ema"), "no moving average"),
        (lambda c: c["ema"].update(shadow_params=None), "no moving average"),
        (lambda c: c["ema"]["shadow_params"].pop(), "does not fit"),
        (lambda c: c["ema"]["shadow_params"].reverse(), "does not fit"),
    ],
    ids=["no average", "an empty one", "one tensor short", "out of order"],
)
def test_a_moving_average_that_is_not_there_or_does_not_fit_is_refused(mattersim, change, named):
    path = mattersim(change)
    with pytest.raises(CheckpointError, match=named):
        tribond.load(path, weights="ema")
    assert tribond.load(path).num_parameters > 0


def test_the_metadata_says_which_weights_they_are():
    assert tribond.load(MATTERSIM).metadata["weights"] == "raw"
    assert tribond.load(MATTERSIM, weights="ema").metadata["weights"] == "ema"


def test_a_choice_that_a_file_does_not_offer_is_refused(matgl):
    with pytest.raises(ConfigError, match="'raw' or 'ema'"):
        tribond.load(MATTERSIM, weights="best")
    with pytest.raises(ConfigError, match="one set of weights"):
        tribond.load(matgl(), weights="ema")
    with pytest.raises(ConfigError, match="no doubt about its dialect"):
        tribond.load(MATTERSIM, dialect="matgl_dgl")
    with pytest.raises(ConfigError, match="dialect must be 'matgl_dgl' or 'matgl_pyg', not 'dgl'"):
        tribond.load(MATTERSIM, dialect="dgl")


# Which MatGL


OLD, NEW = "matgl_dgl", "matgl_pyg"
NETWORK, WRAPPERS = "matgl.models._m3gnet", "matgl.models._wrappers"
LATER = {"dropout": None}  # an argument of the network since 1.3
POTENTIAL = {"calc_charge": False}  # ... and of potentials since 2.0


@pytest.mark.parametrize(
    ("modules", "version", "potential", "network", "tensors", "era"),
    [
        (("matgl.apps.pes", NETWORK), 3, {"calc_magmom": False}, {}, (), OLD),  # 1.x
        (("matgl.apps.pes", NETWORK), 3, {"calc_magmom": False}, LATER, (), OLD),  # 1.3
        (("matgl.apps.pes", NETWORK), 2, POTENTIAL, LATER, (), OLD),
        (("matgl.apps._pes_dgl", NETWORK), 3, POTENTIAL, LATER, (), OLD),  # 2.x
        (("matgl.apps._pes_dgl", "matgl.models._m3gnet_dgl"), 3, POTENTIAL, LATER, (), NEW),  # 3.0 with DGL
        (("matgl.apps.pes", "matgl.models._m3gnet_pyg"), 3, POTENTIAL, LATER, (), NEW),  # 3.0
        (("matgl.apps._pes", NETWORK), 3, POTENTIAL, LATER, (), NEW),  # 4.0
        (("matgl.apps.pes", NETWORK), 3, POTENTIAL | {"compile_model": False}, LATER, (), NEW),  # 4.1
        # A description of a 1.x model that was rewritten for 3.0 without a change of the weights.
        (("matgl.apps.pes", "matgl.models._m3gnet_dgl"), 3, {"calc_magmom": False}, {}, (), OLD),
        ((WRAPPERS, NETWORK), None, None, {}, (), OLD),
        ((WRAPPERS, NETWORK), None, None, LATER, ("readout.set2set.lstm.bias_hh_l0",), OLD),
        ((WRAPPERS, NETWORK), None, None, LATER, ("readout.lstm.bias_hh_l0",), NEW),
        ((NETWORK, NETWORK), None, None, LATER, ("readout.weight.0.weight",), OLD),
        ((NETWORK, NETWORK), None, None, LATER, ("readout.weight.layers.0.weight",), NEW),
        # Nothing that only one of them wrote.
        (("matgl.apps.pes", NETWORK), 3, POTENTIAL, LATER, (), None),
        ((WRAPPERS, NETWORK), None, None, LATER, ("final_layer.layers.0.weight",), None),
        ((WRAPPERS, "matgl.models._m3gnet_dgl"), None, None, {}, ("readout.set2set.lstm.bias_hh_l0",), None),
    ],
)
def test_the_version_of_matgl_is_told_by_what_only_it_wrote(modules, version, potential, network, tensors, era):
    assert Evidence(modules, version, potential, network, tensors).dialect() == era


@pytest.mark.parametrize("case", ["matgl_dgl_2.2.1_potential_smooth", "matgl_pyg_4.1.2_potential_smooth"])
def test_a_dialect_that_the_files_contradict_is_refused(case):
    right, wrong = (OLD, NEW) if "_dgl_" in case else (NEW, OLD)
    assert tribond.load(HOME / case, dialect=right).config == tribond.load(HOME / case).config
    with pytest.raises(CheckpointError, match=f"as its files say; dialect='{wrong}' would compute other energies"):
        tribond.load(HOME / case, dialect=wrong)


# Files and folders of no kind


def test_a_file_inside_a_folder_stands_for_the_folder(matgl, tensorflow):
    for folder, names in ((matgl(), ("state.pt", "model.json")), (tensorflow(), ("m3gnet.index", "checkpoint"))):
        whole = tribond.load(folder)
        for name in names:
            assert tribond.load(folder / name).config == whole.config


@pytest.mark.parametrize(
    ("content", "named"), [({"a": 1, "weights": 2}, "a, weights"), ([1, 2], "list"), ({"state_dict": {}}, "state_dict")]
)
def test_a_pytorch_file_of_another_kind_is_refused_with_what_it_holds(tmp_path, content, named):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=rf"other\.pth holds .*{named}"):
        tribond.load(path)


def test_a_folder_with_one_file_of_a_kind_stands_for_the_file(tmp_path):
    shutil.copy(MATTERSIM, tmp_path)
    assert tribond.load(tmp_path).config == tribond.load(MATTERSIM).config
    shutil.copy(MATTERSIM, tmp_path / "another.pth")
    with pytest.raises(CheckpointError, match="or several"):
        tribond.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"<!DOCTYPE html>", "a web page"), (b"version https://git-lfs.github.com/spec/v1", "Git LFS"), (b"text", "none")],
)
def test_a_file_that_is_something_else_is_called_what_it_is(tmp_path, content, what):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\.pth is not a readable model file.*{what}"):
        tribond.load(tmp_path / "model.pth")


def test_an_empty_folder_is_refused_with_what_tribond_reads(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model.*TensorFlow.*MatGL.*MatterSim"):
        tribond.load(tmp_path)


def test_an_unpublished_file_is_called_what_the_file_is_called():
    metadata = open_model(MATTERSIM)[1]
    assert metadata["name"] == "checkpoint"
    assert set(metadata["sha256"]) == {"checkpoint.pth"}
