"""`tribond screen`: a pipeline from one file, which goes on after kill -9 and says the same."""

import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

pytest.importorskip("duckdb")
pytest.importorskip("pymatgen")
parquet = pytest.importorskip("pyarrow.parquet")

METALS = {"Cu": 3.6, "Al": 4.05, "Ag": 4.1, "Ni": 3.5, "Pd": 3.95}
SCREEN = """
sources:
  - files: crystals
  - prototypes: rock.cif
    substitute: {Na: [Li, Na], Cl: [F, Cl]}
references: {files: references.extxyz}
steps:
  - deduplicate
  - relax: {fmax_eV_per_A: 0.02}
  - above_hull
  - formation_energy
  - filter: converged and formation_energy_eV_per_atom < 0.2
shard_size: 4
"""


@pytest.fixture
def folder(tmp_path):
    """Fifteen crystals of metals, of each one three that are the same; five of rock salt's kind, one of them twice."""
    (tmp_path / "crystals").mkdir()
    for symbol, a in METALS.items():
        for number in range(3):
            write(tmp_path / "crystals" / f"{symbol}{number}.vasp", bulk(symbol, "fcc", a=a + 0.03 * number))
    write(tmp_path / "crystals" / "salt.vasp", bulk("NaCl", "rocksalt", a=5.7))
    write(tmp_path / "rock.cif", bulk("NaCl", "rocksalt", a=5.6))
    elements = [bulk(symbol, "fcc", a=a) for symbol, a in METALS.items()] + [bulk("Li"), bulk("Na")]
    write(tmp_path / "references.extxyz", elements)
    (tmp_path / "screen.yaml").write_text(SCREEN)
    return tmp_path


def rows_of(path):
    rows = sorted(parquet.read_table(path).to_pylist(), key=lambda row: row["number"])
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def run(folder, *arguments):
    code = "from tribond.cli.main import main; main()"
    command = [sys.executable, "-c", code, "screen", folder / "screen.yaml", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Plain(HTMLParser):
    """What an HTML file fetches, and whether its tags close."""

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
def test_twenty_crystals_whatever_is_killed_on_the_way(folder):
    out = folder / "out"
    with run(folder, "-o", out, "--jobs", "2") as first:
        deadline = time.monotonic() + 200
        while not list(out.glob("shards/*.parquet")) and time.monotonic() < deadline and first.poll() is None:
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    assert first.returncode == -signal.SIGKILL
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("shards/*.parquet")}
    assert done
    with run(folder, "-o", out, "--jobs", "1") as second:
        printed, _ = second.communicate()
    assert second.returncode == 0, printed
    assert all((out / "shards" / name).stat().st_mtime_ns == when for name, when in done.items())

    rows = rows_of(out / "results.parquet")
    assert [row["number"] for row in rows] == list(range(20))  # each exactly once
    by_label = {row["label"]: row for row in rows}
    assert sum(row["status"] == "duplicate" for row in rows) == 11  # two of each metal, and NaCl
    assert by_label["rock.cif Na→Na Cl→Cl"]["duplicate_of"] == by_label["crystals/salt.vasp"]["number"]
    # There is no reference of F and Cl.
    failed = [row for row in rows if row["status"] == "failed"]
    assert {row["step"] for row in failed} == {"3 above_hull"}
    assert {row["error"] for row in failed} == {
        f"no reference of the element {it}; add a structure of it" for it in ("F", "Cl")
    }
    kept = [row for row in rows if row["status"] == "kept"]
    assert sorted(row["reduced_formula"] for row in kept) == sorted(METALS)
    assert all(abs(row["above_hull_eV_per_atom"]) < 1e-3 for row in kept)  # the references are the same crystals
    assert all(row["above_hull_eV_per_atom"] == pytest.approx(row["formation_energy_eV_per_atom"]) for row in kept)
    structures = read(out / "structures.extxyz", index=":")
    assert sorted(it.info["label"] for it in structures) == sorted(row["label"] for row in kept)
    volumes = {it.info["number"]: it.get_volume() for it in structures}
    assert all(volumes[row["number"]] == pytest.approx(row["volume_A3"], rel=1e-6) for row in kept)

    page = Plain()
    page.feed((out / "report.html").read_text(encoding="utf-8"))
    assert not page.open
    assert page.fetched
    assert all(it.startswith("data:image/png;base64,") for it in page.fetched)  # no network
    assert re.search(r"kept\s+5", printed)

    # In one process, the same to the last bit; and again, it is only shown.
    code = f"""
from tribond.screening.engines import Local, run
from tribond.screening.plan import load
import shutil
shutil.rmtree({str(out / "shards")!r})
plan = load({str(out)!r})
print(sum(it.rows for it in run(plan, Local(0), range(len(plan.sizes)))))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "20"
    ]
    again = [row for path in sorted(out.glob("shards/*.parquet")) for row in rows_of(path)]
    names = rows[0].keys()
    assert sorted(({name: row[name] for name in names} for row in again), key=lambda row: row["number"]) == rows


SMALL = """
model: small.safetensors
sources: [{files: crystals.extxyz}]
steps: [predict, {filter: num_atoms < 3}]
shard_size: 2
structures: column
"""


@pytest.fixture
def small(tmp_path, model_file):
    """Five crystals, and a model with random weights."""
    write(
        tmp_path / "crystals.extxyz",
        [bulk("Cu", a=3.5 + 0.1 * number) for number in range(4)] + [bulk("Al", cubic=True)],
    )
    (tmp_path / "screen.yaml").write_text(SMALL)
    return tmp_path


def test_jobs_share_the_shards_and_the_last_one_gathers(tribond, small):
    first = tribond("screen", small / "screen.yaml", "--jobs", 1, "--shards", "0:2")
    assert first.exit_code == 0, first.output
    assert "2 of the 2 shards asked for are there, 1 of all 3 are missing" in first.stdout
    assert not (small / "screen" / "results.parquet").exists()
    second = tribond("screen", small / "screen.yaml", "--jobs", 1, "--shards", "2:")
    assert "0 of all 3 are missing; the same command without --shards writes the results" in second.stdout
    last = tribond("screen", small / "screen.yaml", "--jobs", 1)
    assert last.exit_code == 0, last.output
    table = parquet.read_table(small / "screen" / "results.parquet")
    assert table["status"].to_pylist() == ["kept"] * 4 + ["filtered"]
    # Results with their structures are a source again: those that were kept.
    (small / "again.yaml").write_text("sources: [{parquet: screen/results.parquet}]\nsteps: [{filter: num_atoms = 1}]")
    again = tribond("screen", small / "again.yaml", "--jobs", 1)
    assert again.exit_code == 0, again.output
    rows = rows_of(small / "again" / "results.parquet")
    assert [row["label"] for row in rows] == [f"crystals.extxyz@{number}" for number in range(4)]
    assert [row["key"] for row in rows] == table["key"].to_pylist()[:4]


def test_another_screening_in_the_same_folder_is_refused(tribond, small):
    assert tribond("screen", small / "screen.yaml", "--jobs", 1, "-q").exit_code == 0
    (small / "screen.yaml").write_text(SMALL.replace("num_atoms < 3", "num_atoms < 5"))
    refused = tribond("screen", small / "screen.yaml")
    assert refused.exit_code == 2
    assert "holds another calculation: steps[1].expression was num_atoms < 3 and is now num_atoms < 5" in refused.output
    anew = tribond("screen", small / "screen.yaml", "--restart", "--jobs", 1)
    assert anew.exit_code == 0, anew.output
    assert parquet.read_table(small / "screen" / "results.parquet")["status"].to_pylist() == ["kept"] * 5


def test_energies_of_references_may_stand_in_their_file(tribond, small):
    copper = bulk("Cu")
    copper.calc = SinglePointCalculator(copper, energy=-3.25)
    write(small / "references.extxyz", copper)
    steps = "[predict, above_hull, formation_energy]"
    text = SMALL.replace("[predict, {filter: num_atoms < 3}]", steps)
    (small / "screen.yaml").write_text(f"{text}references: {{files: references.extxyz, energies: file}}")
    done = tribond("screen", small / "screen.yaml", "--jobs", 1)
    assert done.exit_code == 0, done.output
    rows = rows_of(small / "screen" / "results.parquet")
    assert [row["status"] for row in rows] == ["kept"] * 4 + ["failed"]
    assert rows[4]["error"] == "no reference of the element Al; add a structure of it"
    for row in rows[:4]:
        assert row["above_hull_eV_per_atom"] == pytest.approx(row["energy_eV_per_atom"] + 3.25, abs=1e-9)
        assert row["formation_energy_eV_per_atom"] == row["energy_eV_per_atom"] + 3.25

    copper.calc = SinglePointCalculator(copper, energy=100.0)  # as if the phases that matter were missing
    write(small / "references.extxyz", copper)
    done = tribond("screen", small / "screen.yaml", "--jobs", 1, "--restart")
    warning = "4 structures lie more than 0.2 eV/atom below the hull (lowest Cu: -"
    assert warning in " ".join(done.output.split())
    assert warning in (small / "screen" / "report.html").read_text()

    write(small / "references.extxyz", bulk("Cu"))
    refused = tribond("screen", small / "screen.yaml", "--restart")
    assert refused.exit_code == 2
    assert "references.extxyz has no energy; add it, or say `energies: relax`" in refused.output


def test_a_forecast_writes_nothing(tribond, small):
    found = tribond("screen", small / "screen.yaml", "--dry-run", "--jobs", 4)
    assert found.exit_code == 0, found.output
    assert "5, of which 0 cannot be read; the largest has 4 atoms" in found.stdout
    assert re.search(r"computed now +5 of at most 50: 4 kept, 0 failed", found.stdout)
    assert re.search(r"all of them +\S+ ± \S+ h \(0:00:0\d\) on 4 cores", found.stdout)
    assert not (small / "screen").exists()


def test_wrong_use_is_told(tribond, small):
    assert "must be two numbers such as 0:100" in tribond("screen", small / "screen.yaml", "--shards", "5:2").output
    (small / "bad.yaml").write_text(SMALL.replace("filter: num", "filter: nim"))
    bad = tribond("screen", small / "bad.yaml")
    assert bad.exit_code == 2
    assert 'Referenced column "nim_atoms" not found' in bad.output
    missing = tribond("screen", small / "none.yaml")
    assert missing.exit_code == 2
    assert "cannot be read: No such file" in missing.output


def test_ray_may_have_an_address_or_none():
    from typer.main import get_command

    from tribond.cli.screen import app

    command = get_command(app)
    for arguments, wanted in (
        (["--ray", "s.yaml"], "here"),
        (["s.yaml", "--ray"], "here"),
        (["s.yaml", "--ray", "--quiet"], "here"),
        (["--ray", "auto", "s.yaml"], "auto"),
        (["s.yaml"], None),
    ):
        context = command.make_context("screen", list(arguments))
        assert (context.params["ray"], str(context.params["file"])) == (wanted, "s.yaml")
