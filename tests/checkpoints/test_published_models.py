"""Published models by name: found in the cache, downloaded once, and never used with a wrong checksum.

How a single file is fetched from a server that does its worst is tested in test_download.py.
"""

import hashlib
import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ase.build import bulk
from ase.data import chemical_symbols

import tribond
from tests.checkpoints.http_server import Fault, FileServer
from tribond.checkpoints import registry
from tribond.checkpoints.catalogue import Entry, catalogue, entry_named, entry_with_checksum
from tribond.checkpoints.download import RemoteFile, fetch
from tribond.checkpoints.registry import downloaded_folder, is_downloaded
from tribond.errors import CheckpointError, DownloadError, ModelNotFoundError

HOME = Path(__file__).parents[1] / "parity" / "home"
MATGL = HOME / "matgl_dgl_2.2.1_potential_smooth"
MATTERSIM = HOME / "mattersim_potential" / "checkpoint.pth"
FACTS = {
    "code": "a code",
    "kind": "potential",
    "num_elements": 5,
    "elements": "Si O H Cl Na",
    "level_of_theory": "none",
    "training_data": "none",
    "published_errors": "large",
    "licence": "MIT",
    "citation": "nobody",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own, and no proxies between here and here."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRIBOND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def publish(monkeypatch):
    """(name, format, files) -> a published model whose files are served from this machine; and the servers."""
    servers: list[FileServer] = []
    entries: dict[str, Entry] = {}

    def make(name: str, form: str, paths: list[Path], **facts) -> tuple[Entry, list[FileServer]]:
        files = []
        for path in paths:
            server = FileServer(path.read_bytes())
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            servers.append(server)
            checksum = hashlib.sha256(server.content).hexdigest()
            url = f"http://127.0.0.1:{server.server_port}/{path.name}"
            files.append(RemoteFile(name=path.name, url=url, sha256=checksum, size=len(server.content)))
        entries[name] = Entry(name=name, format=form, files=tuple(files), **(FACTS | facts))
        return entries[name], servers

    monkeypatch.setattr("tribond.checkpoints.catalogue.catalogue", lambda: entries)
    yield make
    for server in servers:
        server.closing.set()
        server.shutdown()
        server.server_close()


def matgl_files() -> list[Path]:
    return [MATGL / name for name in ("state.pt", "model.pt", "model.json")]


def asked(servers: list[FileServer]) -> int:
    return sum(len(server.requests) for server in servers)


# By name


def test_a_published_model_comes_by_its_name(publish, structures, cache):
    entry, servers = publish("SiO-PES", "matgl_dgl", matgl_files())
    assert not is_downloaded(entry)
    potential = tribond.load("SiO-PES", device="cpu")
    assert isinstance(potential, tribond.Potential)
    assert potential.metadata["name"] == "SiO-PES"
    assert potential.metadata["licence"] == "MIT"
    assert potential.metadata["sha256"]["state.pt"] == entry.files[0].sha256
    assert is_downloaded(entry)
    assert sorted(path.name for path in downloaded_folder(entry).glob("[!.]*")) == [
        "model.json",
        "model.pt",
        "state.pt",
    ]
    assert asked(servers) == 3


def test_the_second_time_no_network_is_asked(publish):
    _, servers = publish("SiO-PES", "matgl_dgl", matgl_files())
    first = tribond.load("SiO-PES", device="cpu")
    for server in servers:
        server.will([Fault(status=500)])
    assert tribond.load("SiO-PES", device="cpu").config == first.config
    assert asked(servers) == 3


def test_files_of_another_model_are_not_taken_for_a_published_one(publish):
    """A file without a checksum is known by what it holds."""
    for facts, said in (
        ({"num_elements": 30, "parameters": 17}, "number of parameters of the model is .* is 17"),
        ({"num_elements": 94}, "number of elements of the model is 30"),
        ({"num_elements": 30, "kind": "property", "property": {"name": "gap"}}, "kind of the model is potential"),
    ):
        entry, _ = publish("SiO-1M", "mattersim", [MATTERSIM], **facts)
        with pytest.raises(CheckpointError, match=f"{said}.*delete {downloaded_folder(entry)}"):
            tribond.load("SiO-1M")


def test_a_published_model_may_tell_its_dialect(publish):
    """A folder whose files do not tell is that of the catalogue; one that contradicts it is refused."""
    untold = HOME / "matgl_pyg_4.1.2_reduce_atom_classification"
    files = [untold / name for name in ("state.pt", "model.pt", "model.json")]
    facts = {"kind": "property", "property": {"name": "metal"}}
    publish("told", "matgl_pyg", files, **facts)
    assert tribond.load("told", device="cpu").predict(bulk("Si"))[0].name == "metal"
    publish("wrong", "matgl_pyg", matgl_files())
    with pytest.raises(CheckpointError, match="MatGL up to version 2, as its files say"):
        tribond.load("wrong")


def test_a_dialect_that_the_catalogue_contradicts_is_refused(publish):
    """By the name, and by the path of files that are known by their checksum; the files are not to blame."""
    untold = HOME / "matgl_pyg_4.1.2_reduce_atom_classification"
    files = [untold / name for name in ("state.pt", "model.pt", "model.json")]
    publish("told", "matgl_pyg", files, kind="property", property={"name": "metal"})
    for model in ("told", untold):
        assert tribond.load(model, device="cpu").metadata["name"] == "told"
        with pytest.raises(CheckpointError, match="told is of the dialect matgl_pyg, not matgl_dgl$"):
            tribond.load(model, dialect="matgl_dgl")


def test_all_files_that_are_missing_are_named_at_once(publish, monkeypatch):
    monkeypatch.setattr(registry, "fetch", partial(fetch, pauses_s=()))
    entry, servers = publish("SiO-PES", "matgl_dgl", matgl_files())
    for server in servers:
        server.will([Fault(status=404)])
    with pytest.raises(DownloadError) as error:
        tribond.load("SiO-PES")
    assert all(file.url in str(error.value) for file in entry.files)


def test_a_folder_that_is_no_model_does_not_hide_a_published_one(publish, tmp_path, monkeypatch):
    publish("SiO-PES", "matgl_dgl", matgl_files())
    (tmp_path / "SiO-PES").mkdir()
    monkeypatch.chdir(tmp_path)
    assert tribond.load("SiO-PES", device="cpu").metadata["name"] == "SiO-PES"


def test_upper_and_lower_case_and_aliases_are_alike(publish):
    publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30, aliases=("sio-v1.0.0-1M",))
    for name in ("SiO-1M", "sio-1m", "SIO-V1.0.0-1m"):
        assert tribond.load(name, device="cpu").metadata["name"] == "SiO-1M"


def test_a_model_of_one_file_is_that_file(publish):
    entry, _ = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    assert registry.find("SiO-1M") == downloaded_folder(entry) / "checkpoint.pth"


def test_a_file_put_there_by_hand_is_used(publish):
    entry, servers = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    downloaded_folder(entry).mkdir(parents=True)
    shutil.copy(MATTERSIM, downloaded_folder(entry))
    assert tribond.load("SiO-1M", device="cpu").num_parameters > 0
    assert asked(servers) == 0


def test_a_folder_of_the_same_name_here_comes_first(publish, tmp_path, monkeypatch):
    _, servers = publish("SiO-PES", "matgl_dgl", matgl_files())
    shutil.copytree(MATGL, tmp_path / "SiO-PES")
    monkeypatch.chdir(tmp_path)
    assert registry.find("SiO-PES") == Path("SiO-PES")
    assert asked(servers) == 0


# What goes wrong


def test_a_download_that_was_cut_off_goes_on_at_the_next_try(publish, monkeypatch):
    monkeypatch.setattr(registry, "fetch", partial(fetch, pauses_s=()))
    _, (server,) = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    half = len(server.content) // 2
    server.will([Fault(cut_off_after=half)])
    with pytest.raises(DownloadError, match="broke off"):
        tribond.load("SiO-1M")
    server.will([Fault()])
    tribond.load("SiO-1M", device="cpu")
    assert server.requests[-1]["Range"].startswith("bytes=")
    assert server.bytes_sent < 1.1 * len(server.content)


def test_a_model_with_a_wrong_checksum_is_not_loaded(publish):
    entry, (server,) = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    server.content = server.content[:-1] + b"x"
    with pytest.raises(DownloadError, match="sha256"):
        tribond.load("SiO-1M")
    assert not is_downloaded(entry)


def test_a_file_in_the_cache_that_was_changed_is_not_loaded(publish):
    entry, _ = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    tribond.load("SiO-1M", device="cpu")
    path = downloaded_folder(entry) / "checkpoint.pth"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DownloadError, match="delete it to download it again"):
        tribond.load("SiO-1M")


@pytest.mark.parametrize("fault", [Fault(status=404), None], ids=["404", "no network"])
def test_without_the_file_the_url_and_the_place_for_it_are_named(publish, monkeypatch, fault):
    entry, (server,) = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    if fault is None:
        server.shutdown()
        server.server_close()
    else:
        server.will([fault])
    with pytest.raises(DownloadError) as error:
        tribond.load("SiO-1M")
    for part in (entry.files[0].url, str(downloaded_folder(entry)), "checkpoint.pth"):
        assert part in str(error.value)


def test_a_download_of_nonsense_without_a_checksum_is_refused_by_its_format(publish):
    entry, (server,) = publish("SiO-1M", "mattersim", [MATTERSIM], num_elements=30)
    server.content = b"<html>not found, but politely</html>"
    unknown = replace(entry.files[0], sha256=None, size=None)
    object.__setattr__(entry, "files", (unknown,))
    with pytest.raises(CheckpointError, match=r"checkpoint\.pth is not a readable model file"):
        tribond.load("SiO-1M")


def test_a_name_that_is_nearly_right_gets_a_hint():
    with pytest.raises(ModelNotFoundError, match=r"did you mean M3GNet-MP-2021\.2\.8-PES"):
        tribond.load("M3GNet-MP-2021.2.8-PSE")


# The catalogue itself


def test_the_published_models_are_in_the_catalogue():
    names = set(catalogue())
    assert {"M3GNet-MP-2021.2.8-EFS", "MatterSim-v1.0.0-1M", "MatterSim-v1.0.0-5M", "M3GNet-Pytorch-Li"} <= names
    matgl = {"MP-2021.2.8-PES", "MP-2021.2.8-DIRECT-PES", "MP-2018.6.1-Eform", "ANI-1x-Subset-PES", "r2SCAN-NaBH"}
    assert {f"M3GNet-{name}" for name in matgl} <= names
    assert {f"M3GNet-MatPES-{theory}-v2025.1-PES" for theory in ("PBE", "r2SCAN")} <= names


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.name)
def test_an_entry_is_whole(entry):
    assert entry.files
    for file in entry.files:
        assert file.url.startswith("https://")
        assert file.url.endswith(file.name)
        assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
        assert (file.sha256 is None) == (file.size is None)
    listed = [word for word in entry.elements.split() if word in chemical_symbols]
    assert entry.num_elements in {len(listed), 89, 94}
    assert (entry.kind == "property") == bool(entry.property)
    for stated in (entry.code, entry.level_of_theory, entry.training_data, entry.published_errors, entry.licence):
        assert stated
    assert entry_named(entry.name.upper()) is entry
    assert entry.files[0].sha256 is None or entry_with_checksum(entry.files[0].sha256) is entry


def test_no_name_is_taken_twice():
    names = [name.lower() for entry in catalogue().values() for name in (entry.name, *entry.aliases)]
    assert len(set(names)) == len(names)
    assert not set(names) & {*registry.ALIASES, *registry.built_in_names()}
