"""`tribond md` and the analyses as a user meets them."""

import json

import pytest
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.io import write

from tribond.cli import md

RUN = ("--temperature-K", "300", "--steps", "30", "--trajectory-interval-fs", "2", "-q")


@pytest.fixture(autouse=True)
def emt(monkeypatch):
    monkeypatch.setattr(md, "load_calculator", lambda *_: EMT())


@pytest.fixture
def nickel(tmp_path):
    write(tmp_path / "Ni.vasp", bulk("Ni", cubic=True))
    return tmp_path / "Ni.vasp"


def test_a_run_and_its_analyses(tribond, nickel, tmp_path):
    assert tribond("md", nickel, *RUN).exit_code == 0
    folder = tmp_path / "Ni_md"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["settings"]["stages"][0]["ensemble"] == "nvt-bussi"
    trajectory = folder / "trajectory.traj"
    for verb, more in (("rdf", ()), ("angles", ("--cutoff-A", "3")), ("vdos", ())):
        result = tribond(verb, trajectory, *more)
        assert result.exit_code == 0, result.output
        made = folder / f"trajectory_{verb}"
        assert {f"{verb}.csv", f"{verb}.png", f"{verb}.svg", "summary.json"} <= {it.name for it in made.iterdir()}
    result = tribond("diffusion", trajectory, "-o", tmp_path / "D", "--blocks", "2", "--charge", "Ni=2")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "D" / "summary.json").read_text())["runs"][0]
    assert {"D_cm2_per_s", "error_of_D_cm2_per_s", "D_x_cm2_per_s"} <= found["species"]["Ni"].keys()
    assert "conductivity_S_per_cm" in found
    assert "has no diffusion coefficient" in result.output


def test_stages_on_the_line_and_in_a_file(tribond, nickel, tmp_path):
    stages = ["ensemble=nve,temperature_K=200,steps=5", "ensemble=npt,temperature-K=200:300,time_ps=0.01"]
    line = [part for stage in stages for part in ("--stage", stage)]
    assert tribond("md", nickel, *line, "--timestep-fs", "1", "-o", tmp_path / "a", "-q").exit_code == 0
    text = (
        "- {ensemble: nve, temperature_K: 200, steps: 5}\n- {ensemble: npt, temperature_K: '200:300', time_ps: 0.01}\n"
    )
    (tmp_path / "stages.yaml").write_text(text)
    result = tribond(
        "md", nickel, "--stages", tmp_path / "stages.yaml", "--timestep-fs", "1", "-o", tmp_path / "b", "-q"
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a" / "thermo.csv").read_bytes() == (tmp_path / "b" / "thermo.csv").read_bytes()


def test_replicas_have_seeds_of_their_own(tribond, nickel, tmp_path):
    result = tribond("md", nickel, "--temperature-K", 300, "--steps", 5, "--replicas", 2, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    seeds = [
        json.loads((tmp_path / "out" / f"replica-{i}" / "summary.json").read_text())["settings"]["seed"] for i in (1, 2)
    ]
    assert seeds == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--steps", "5"), 2, "needs a temperature"),
        (("--temperature-K", "300", "--steps", "5", "--ensemble", "foo"), 2, "unknown ensemble"),
        (("--stage", "ensemble"), 2, "must be SETTING=VALUE"),
        (("--stage", "steps=5", "--stages", "x.yaml"), 2, "either --stage or --stages"),
        (("--temperature-K", "300", "--time-ps", "1", "--timestep-fs", "20"), 2, "too long for Ni"),
        (("--stages", "{folder}/bad.yaml"), 2, "must hold a list of stages"),
    ],
)
def test_wrong_usage_is_told(tribond, nickel, tmp_path, arguments, status, words):
    (tmp_path / "bad.yaml").write_text("ensemble: npt\n")
    result = tribond("md", nickel, *[text.format(folder=tmp_path) for text in arguments])
    assert result.exit_code == status, result.output
    assert words in " ".join(result.output.split())


def test_cells_that_are_seldom_meant_are_told(tribond, tmp_path):
    write(tmp_path / "slab.vasp", fcc111("Ni", (1, 1, 3), vacuum=8))
    result = tribond("md", tmp_path / "slab.vasp", "--ensemble", "npt", "--temperature-K", "300:310", "--steps", 1)
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "16.0 Å of vacuum" in words
    assert "only 2.2 Å wide" in words
    assert "ramps" in words
    larger = tribond("md", tmp_path / "slab.vasp", *RUN, "--min-length-A", 8, "-o", tmp_path / "larger")
    assert "wide" not in larger.output
    assert "vacuum" not in larger.output


def test_one_bad_file_does_not_stop_the_others(tribond, nickel, tmp_path):
    (tmp_path / "bad.cif").write_text("nothing")
    result = tribond("md", tmp_path / "bad.cif", nickel, *RUN, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert (tmp_path / "out" / "Ni" / "summary.json").exists()


def test_the_same_command_again_shows_the_result_another_is_refused(tribond, nickel):
    command = ("md", nickel, "--temperature-K", 300, "--steps", 5)
    first, again = tribond(*command), tribond(*command)
    assert again.exit_code == 0
    assert "finished already" in again.output
    assert first.stdout.splitlines()[1] in again.stdout
    other = tribond(*command[:-1], 6)
    assert other.exit_code == 2
    assert "steps was 5 and is now 6" in " ".join(other.output.split())
    assert tribond(*command[:-1], 6, "--restart").exit_code == 0


@pytest.mark.parametrize(
    ("verb", "more", "status", "words"),
    [
        ("rdf", ("--select", "Li"), 2, "no Li to select"),
        ("rdf", ("--r-max-A", "-1"), 2, "larger than 0"),
        ("angles", ("--cutoff-A", "0.5"), 1, "no atom has two bonds"),
        ("vdos", (), 1, "no velocities"),
        ("diffusion", (), 1, "does not say its times"),
        ("diffusion", ("--frame-interval-fs", "1"), 1, "too few for 5 blocks"),
        ("diffusion", ("--temperature-K", "300,400"), 2, "as many temperatures"),
        ("diffusion", ("--temperature-K", "-300"), 2, "larger than 0 K"),
        ("rdf", ("--r-max-A", "nan"), 2, "r_max_A must be a finite number"),
        ("diffusion", ("--charge", "Li"), 2, "an element and its charge"),
    ],
)
def test_bad_trajectories_and_selections(tribond, tmp_path, verb, more, status, words):
    write(tmp_path / "still.extxyz", [bulk("Ni")] * 20)
    result = tribond(verb, tmp_path / "still.extxyz", "-o", tmp_path / "out", *more)
    assert result.exit_code == status, result.output
    assert words in " ".join(result.output.split())
