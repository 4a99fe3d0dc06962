"""`tribond data` as people use it."""

import gzip
import hashlib
import json
import threading

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from tests.checkpoints.http_server import Fault, FileServer
from tribond.cli import data_download
from tribond.data import published
from tribond.data.published import DataFile, DataSet
from tribond.data.store.store import Store


def alloy(seed):
    atoms = bulk("Cu", a=3.6 + 0.02 * seed, cubic=True)
    atoms.symbols = np.random.default_rng(seed).choice(["Cu", "Al", "Ni"], len(atoms))
    atoms.rattle(0.1, seed=seed)
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def alloys(tmp_path):
    write(tmp_path / "alloys.extxyz", [alloy(seed) for seed in range(12)])
    return tmp_path / "alloys.extxyz"


def test_from_files_to_a_store_and_its_figures(tribond, alloys, tmp_path):
    store = tmp_path / "store"
    result = tribond("data", "build", store, f"EMT={alloys}", "--cutoff", "5", "--cutoff", "4")
    assert result.exit_code == 0, result.output
    assert "12 structures, 48 atoms, 3 elements" in result.stdout
    assert "bonds counted within 5, 4 Å" in result.stdout
    again = tribond("data", "build", store, f"EMT={alloys}", "--cutoff", "5", "--cutoff", "4")
    assert again.exit_code == 0
    result = tribond("data", "inspect", store, "--verify", "--folds", "3")
    assert result.exit_code == 0, result.output
    assert "split by composition into 3:" in result.stdout
    assert "all files have their checksums" in result.stdout
    for name in ("elements", "histograms"):
        assert (store / "inspect" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert ">Ni<" in (store / "inspect" / "elements.svg").read_text()


def test_what_goes_wrong_is_one_sentence(tribond, alloys, tmp_path):
    result = tribond("data", "build", tmp_path / "s", tmp_path / "none.extxyz")
    assert (result.exit_code, "no file matches" in result.stderr) == (1, True)
    result = tribond("data", "inspect", tmp_path)
    assert result.exit_code == 1
    assert "is no store of structures" in result.stderr
    (tmp_path / "a.p").write_bytes(b"\x80\x04.")
    result = tribond("data", "build", tmp_path / "s", tmp_path / "a.p")
    assert result.exit_code == 1
    assert "this is a pickle" in result.stderr
    assert tribond("data", "build", tmp_path / "s", alloys, "--cutoff", "-1").exit_code == 2
    assert tribond("data", "build", alloys, alloys).exit_code == 2
    tribond("data", "build", tmp_path / "store", alloys)
    assert tribond("data", "build", tmp_path / "store", alloys, "--cutoff", "6").exit_code == 2
    with (tmp_path / "store" / "atoms.bin").open("r+b") as file:
        file.seek(100)
        file.write(b"!")
    result = tribond("data", "inspect", tmp_path / "store", "--verify")
    assert result.exit_code == 1
    assert "atoms.bin not as it was written" in result.stderr


def test_a_bad_structure_stops_or_is_skipped(tribond, alloys, tmp_path):
    with alloys.open("a") as file:
        file.write('1\nLattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3 energy=nan pbc="T T T"\nCu 0 0 0\n')
    result = tribond("data", "build", tmp_path / "store", alloys)
    assert result.exit_code == 1
    assert "alloys.extxyz#12" in result.stderr
    result = tribond("data", "build", tmp_path / "store", alloys, "--on-error", "skip")
    assert result.exit_code == 0
    assert "left out, unusable: 1" in result.stdout
    assert len(Store(tmp_path / "store")) == 12


def matpes_record(atoms, number):
    inside = atoms.get_scaled_positions(wrap=False)
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": place.tolist()}
        for symbol, place in zip(atoms.symbols, inside, strict=True)
    ]
    return {
        "structure": {"lattice": {"matrix": atoms.cell.tolist()}, "sites": sites},
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces().tolist(),
        "stress": (-1602.1766208 * atoms.get_stress()).tolist(),
        "matpes_id": f"matpes-{number}",
        "functional": "PBE",
        "provenance": {"original_mp_id": f"mp-{number}"},
    }


@pytest.fixture
def offer(monkeypatch):
    """(content, md5=...) -> a server with a data set of the name Small, in the form of MatPES."""
    servers = []

    def start(content, **about):
        server = FileServer(content)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/41619375"
        file = DataFile(name="small.json.gz", url=url, **about)
        data_set = DataSet(name="Small", files=(file,), structures=3, level="PBE", page="https://example.org")
        monkeypatch.setitem(published.DATA_SETS, "Small", data_set)
        return server

    yield start
    for server in servers:
        server.closing.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def content():
    records = [matpes_record(alloy(seed), seed) for seed in range(80)]
    return gzip.compress(json.dumps(records).encode(), mtime=0)


def test_a_data_set_comes_through_a_connection_that_breaks_and_becomes_a_store(tribond, offer, content, tmp_path):
    server = offer(content, md5=hashlib.md5(content).hexdigest(), size=len(content))
    server.will([Fault(cut_off_after=20_000), Fault()])
    folder = tmp_path / "data"
    result = tribond("data", "download", "Small", "-o", folder)
    assert result.exit_code == 0, result.output
    assert server.requests[1]["Range"] == "bytes=16384-"  # what came of a piece of 16 KiB is lost
    assert (folder / "small.json.gz").read_bytes() == content
    result = tribond("data", "build", tmp_path / "store", folder)
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "store")
    assert (len(store), store.levels, store.texts("ids")[3]) == (80, ["PBE"], "mp-3")
    assert np.allclose(store[7].stress, alloy(7).get_stress(voigt=False), atol=1e-9)
    requests = len(server.requests)
    assert tribond("data", "download", "Small", "-o", folder).exit_code == 0
    assert len(server.requests) == requests  # what is there is checked, not fetched


def test_a_wrong_file_is_not_kept(tribond, offer, content, tmp_path):
    offer(content, md5="0" * 32, size=len(content))
    result = tribond("data", "download", "Small", "-o", tmp_path / "data")
    assert result.exit_code == 1
    assert "its md5 is" in result.stderr
    assert not (tmp_path / "data" / "small.json.gz").exists()


def test_without_a_checksum_it_says_so(tribond, offer, content, tmp_path):
    offer(content)
    result = tribond("data", "download", "Small", "-o", tmp_path / "data")
    assert result.exit_code == 0
    assert f"what came has sha256 {hashlib.sha256(content).hexdigest()}" in result.stderr.replace("\n", "")


def test_a_disk_that_is_too_small_is_told_before(tribond, offer, content, tmp_path):
    server = offer(content, size=10**18)
    result = tribond("data", "download", "Small", "-o", tmp_path / "data")
    assert result.exit_code == 1
    assert "GB left" in result.stderr
    assert not server.requests


def test_names_and_pickles(tribond):
    result = tribond("data", "download")
    for name in ("MPtrj", "MatPES-PBE-2025.1", "MatPES-R2SCAN-2025.1", "MPF.2021.2.8"):
        assert name in result.stdout
    assert tribond("data", "download", "MPtraj").exit_code == 2
    assert "pickles" in published.DATA_SETS["MPF.2021.2.8"].note


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"files": [{"id": 7, "computed_md5": "a" * 32, "size": 5}, {"id": 8}]}, ("a" * 32, 5)),
        ({"files": [{"id": 8}]}, (None, None)),
        ({"files": [{"id": 7, "computed_md5": "<html>", "size": 5}]}, (None, 5)),
        ("nothing", (None, None)),
    ],
)
def test_checksums_of_figshare(offer, answer, expected):
    server = offer(json.dumps(answer).encode())
    assert data_download.figshare_checksum(f"http://127.0.0.1:{server.server_port}", 19470599, 7) == expected
