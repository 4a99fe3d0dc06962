"""What importers refuse: settings that tribond does not compute, and files with a tensor too many, too few or misshapen.

That they compute what the home codes do is tested in tests/parity.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import tribond
from tribond.checkpoints.matgl_era import matgl_era
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
        torch.save(content, folder / "model.pt")
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
    with pytest.raises(CheckpointError, match="target_transformer = 'Scaler'"):
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


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"class_name": "MEGNet", "config": {}}'])
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
        (lambda c: c["model_args"].update(cutoff=6.0), r"'rbf\.r_max' is 4\.5"),
        (lambda c: c["model"]["sbf.coef"].mul_(1.01), r"sbf\.coef"),
        (lambda c: c["model"]["rbf.en"].add_(0.01), r"rbf\.en"),
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


def spoil_number(tensors):
    tensors["model.graph_layers.0.conv.edge_weight_func.weight"][0, 0] = float("nan")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lose("model.final_layer.gated.gates.2.bias"), r"lacks the tensor 'model\.final_layer\.gated\.gates\.2\.bias'"),
        (extra, r"no place for.*model\.extra\.weight"),
        (misshape, r"atom_embedding\.weight is \(5, 7\), must be \(5, 8\)"),
        (spoil_number, r"edge_weight_func\.weight' holds numbers that are not finite"),
        (lambda tensors: tensors["model.bond_expansion.rbf.cutoff"].fill_(6.0), r"rbf\.cutoff' is 6\.0"),
    ],
    ids=["missing", "left over", "misshapen", "not finite", "another cutoff"],
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
    with pytest.raises(CheckpointError, match=name if name != "model.json" else "holds no model"):
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
    with pytest.raises(ConfigError, match="dialect"):
        tribond.load(MATTERSIM, dialect="matgl_dgl")


# Which MatGL


OLD, NEW = "matgl_dgl", "matgl_pyg"
NETWORK = "matgl.models._m3gnet"


@pytest.mark.parametrize(
    ("modules", "version", "potential", "network", "tensors", "era"),
    [
        (("matgl.apps.pes", NETWORK), 3, {"calc_magmom": False}, {}, [], OLD),  # 1.x
        (("matgl.apps.pes", NETWORK), 1, {"calc_site_wise": False}, {}, [], OLD),  # 0.x
        (("matgl.apps._pes_dgl", NETWORK), 3, {"calc_charge": False}, {"dropout": None}, [], OLD),  # 2.x
        (("matgl.apps._pes_dgl", "matgl.models._m3gnet_dgl"), 3, {"calc_charge": 0}, {"dropout": None}, [], NEW),  # 3.0
        (("matgl.apps._pes_pyg", "matgl.models._m3gnet_pyg"), 3, {"calc_charge": 0}, {"dropout": None}, [], NEW),
        (("matgl.apps._pes", NETWORK), 3, {"compile_model": False}, {"dropout": None}, [], NEW),  # 4.0
        (("matgl.apps.pes", NETWORK), 3, {"compile_model": False, "calc_charge": 0}, {"dropout": None}, [], NEW),  # 4.1
        # Descriptions of 1.x models that were rewritten for 3.0 without a change of the weights.
        (("matgl.apps.pes", "matgl.models._m3gnet_dgl"), 3, {"calc_magmom": False}, {}, [], OLD),
        (("matgl.models._wrappers", NETWORK), None, None, {}, ["readout.set2set.lstm.bias_hh_l0"], OLD),
        (("matgl.models._wrappers", NETWORK), None, None, {"dropout": None}, ["readout.set2set.lstm.bias_hh_l0"], OLD),
        (("matgl.models._wrappers", NETWORK), None, None, {"dropout": None}, ["readout.lstm.bias_hh_l0"], NEW),
        ((NETWORK, NETWORK), None, None, {"dropout": None}, ["readout.weight.0.weight"], OLD),
        ((NETWORK, NETWORK), None, None, {"dropout": None}, ["readout.weight.layers.0.weight"], NEW),
    ],
)
def test_the_version_of_matgl_is_told_by_what_only_it_wrote(modules, version, potential, network, tensors, era):
    found = matgl_era(
        Path("model"),
        modules=modules,
        potential_version=version,
        potential_settings=potential,
        network_settings=network,
        tensors=tensors,
    )
    assert found == era


@pytest.mark.parametrize("module", [NETWORK, "matgl.models._m3gnet_dgl"])
def test_what_both_could_have_written_is_refused(module):
    with pytest.raises(CheckpointError, match="matgl_dgl.*matgl_pyg"):
        matgl_era(
            Path("model"),
            modules=("matgl.models._wrappers", module),
            potential_version=None,
            potential_settings=None,
            network_settings={"dropout": None},
            tensors=["final_layer.layers.0.weight"],
        )


# Files and folders of no kind


def test_a_file_inside_a_folder_stands_for_the_folder(matgl, tensorflow):
    for folder, names in ((matgl(), ("state.pt", "model.json")), (tensorflow(), ("m3gnet.index", "m3gnet.json"))):
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


def test_an_empty_folder_is_refused_with_what_tribond_reads(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model.*TensorFlow.*MatGL.*MatterSim"):
        tribond.load(tmp_path)


def test_an_unpublished_file_is_called_what_the_file_is_called():
    metadata = open_model(MATTERSIM)[1]
    assert metadata["name"] == "checkpoint"
    assert set(metadata["sha256"]) == {"checkpoint.pth"}
