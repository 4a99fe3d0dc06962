"""The verbs of properties, from the command line: files, exit statuses, going on, and the built-in potential."""

import json

import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.io import read

from tribond.cli import jobs

pytest.importorskip("phonopy")
pytest.importorskip("phono3py")
pytest.importorskip("pymatgen")

QUICK = {
    "eos": ["--points", "5"],
    "elastic": [],
    "phonons": ["--supercell", "2", "2", "2", "--mesh-length-A", "20"],
    "qha": ["--supercell", "2", "2", "2", "--points", "5", "--max-temperature-K", "200"],
    "conductivity": ["--supercell", "3", "3", "3", "--mesh-length-A", "18"],
    "surface": ["--thickness-A", "5", "--vacuum-A", "8"],
    "defect": ["--supercell", "2", "2", "2"],
}
FILES = {
    "eos": ["energy_volume.csv", "structures.extxyz", "eos.png", "eos.svg"],
    "elastic": ["elastic_tensor.csv", "relaxed.extxyz", "elastic.png", "elastic.svg"],
    "phonons": ["phonopy.yaml", "bands.csv", "dos.csv", "thermal.csv", "bands.png", "thermal.svg"],
    "qha": ["qha.csv", "structures.extxyz", "qha.png"],
    "conductivity": ["conductivity.csv", "conductivity.png"],
    "surface": ["surfaces.csv", "slabs.extxyz", "surface.png", "surface.svg"],
    "defect": ["defects.csv", "defects.extxyz", "defect.png", "defect.svg"],
}


@pytest.fixture
def emt(monkeypatch):
    monkeypatch.setattr(jobs, "load_calculator", lambda *_: EMT())


@pytest.fixture
def copper(tmp_path):
    path = tmp_path / "Cu.xyz"
    bulk("Cu").write(path, format="extxyz")
    return path


@pytest.mark.parametrize("verb", ["eos", "elastic", "phonons", "qha", "surface", "defect"])
def test_a_verb_writes_what_it_says_and_does_nothing_the_second_time(tribond, emt, copper, tmp_path, verb):
    result = tribond(verb, copper, *QUICK[verb])
    assert result.exit_code == 0, result.output
    folder = tmp_path / f"Cu_{verb}"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["calculation"] == verb
    assert summary["model"]["name"] == "EMT"
    assert set(FILES[verb]) <= set(summary["outputs"])
    assert all((folder / name).stat().st_size > 100 for name in FILES[verb])
    assert not (folder / "steps").exists()
    again = tribond(verb, copper, *QUICK[verb])
    assert again.exit_code == 0
    assert "holds the results of this calculation already" in again.output
    assert again.stdout == result.stdout


def test_conductivity_writes_what_it_says(tribond, emt, tmp_path):
    path = tmp_path / "Al.xyz"
    bulk("Al").write(path, format="extxyz")
    result = tribond("conductivity", path, *QUICK["conductivity"])
    assert result.exit_code == 0, result.output
    assert "W/m K at 300 K" in result.stdout
    assert all((tmp_path / "Al_conductivity" / name).exists() for name in FILES["conductivity"])


def test_other_settings_are_refused_until_one_begins_anew(tribond, emt, copper):
    assert tribond("eos", copper, "--points", "5").exit_code == 0
    other = tribond("eos", copper, "--points", "7")
    assert other.exit_code == 2
    assert "points was 5 and is now 7" in other.output
    assert tribond("eos", copper, "--points", "7", "--restart").exit_code == 0


@pytest.mark.parametrize("verb", QUICK)
def test_a_slab_is_refused_and_the_others_go_on(tribond, emt, copper, tmp_path, verb):
    slab = tmp_path / "slab.xyz"
    atoms = fcc111("Cu", (1, 1, 3), vacuum=8, periodic=True)
    Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True).write(slab, format="extxyz")
    result = tribond(verb, slab, "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert "16.0 Å of vacuum along c" in result.output


def test_points_without_a_fit_are_written(tribond, emt, tmp_path):
    path = tmp_path / "Cu.xyz"
    bulk("Cu", a=3.2).write(path, format="extxyz")
    result = tribond("eos", path, "--as-given")
    assert result.exit_code == 1
    assert "take larger volumes (--range)" in result.output
    assert (tmp_path / "Cu_eos" / "energy_volume.csv").exists()
    assert (tmp_path / "Cu_eos" / "eos.png").exists()
    assert not (tmp_path / "Cu_eos" / "summary.json").exists()


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        ("eos", ["--range", "0.9"], "two numbers such as 0.94:1.06"),
        ("eos", ["--equation", "birch"], "birch-murnaghan"),
        ("eos", ["--points", "3"], "at least 5 volumes"),
        ("elastic", ["--strain", "0.5"], "at most 0.05"),
        ("phonons", ["--born", "nothing"], "no file nothing"),
        ("phonons", ["--supercell", "0", "1", "1"], "three whole numbers"),
        ("qha", ["--points", "3"], "at least 5 volumes"),
        ("surface", ["--miller", "12"], "no face"),
        ("surface", ["--max-index", "9"], "from 1 to 5"),
        ("defect", ["--substitute", "Mg"], "two elements such as Mg:Al"),
        ("defect", ["--mu", "O"], "an element and an energy"),
        ("defect", ["--vacancy", "O"], "no O in this crystal"),
        ("defect", ["--supercell", "1", "1", "1"], "empty without it"),
        ("conductivity", ["--distance-A", "3"], "between 0.001 and 0.2"),
    ],
)
def test_wrong_usage_is_told(tribond, emt, copper, verb, options, words):
    result = tribond(verb, copper, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_defects_with_chemical_potentials_and_references_of_ones_own(tribond, emt, copper, tmp_path):
    gold = tmp_path / "gold.xyz"
    bulk("Au", "bcc", a=3.2).write(gold, format="extxyz")
    options = ["--substitute", "Cu:Au", "--mu", "Cu=-0.5", "--reference", gold, "--supercell", "2", "2", "2"]
    result = tribond("defect", copper, *options)
    assert result.exit_code == 0, result.output
    assert "μ(Cu) = -0.5000 eV: given" in result.stdout
    summary = json.loads((tmp_path / "Cu_defect" / "summary.json").read_text())
    assert [it["name"] for it in summary["defects"]] == ["Au_Cu"]
    assert summary["chemical_potentials"]["Au"]["source"] == "Au as given, relaxed by the potential"
    assert read(tmp_path / "Cu_defect" / "defects.extxyz").info["defect"] == "Au_Cu"


def test_a_defect_that_does_not_come_to_rest_is_a_failure(tribond, emt, copper, tmp_path, monkeypatch):
    monkeypatch.setattr("tribond.properties.defect.MOST_STEPS", 1)
    for _ in range(2):  # as computed, and as found again
        result = tribond("defect", copper, "--supercell", "2", "2", "2")
        assert result.exit_code == 1
        assert "not at rest" in result.stdout


def vacancies(folder):
    """A vacancy in copper, before and after a neighbour has hopped into it."""
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    gone, mover = 0, int(crystal.get_distances(0, range(1, 32), mic=True).argmin()) + 1
    first = crystal.copy()
    last = crystal.copy()
    last.positions[mover] = crystal.positions[gone]
    for name, atoms in (("first.xyz", first), ("last.xyz", last)):
        del atoms[gone]
        atoms.write(folder / name, format="extxyz")
    return folder / "first.xyz", folder / "last.xyz"


def test_neb_finds_the_barrier_of_a_vacancy(tribond, emt, tmp_path):
    result = tribond("neb", *vacancies(tmp_path), "--images", "3", "--fmax", "0.05")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "first_neb" / "summary.json").read_text())
    assert 0.3 < summary["barrier_eV"] < 1.5
    assert summary["reaction_energy_eV"] == pytest.approx(0, abs=0.01)
    assert len(read(tmp_path / "first_neb" / "path.extxyz", ":")) == 5
    assert "barrier" in tribond("neb", *vacancies(tmp_path), "--images", "3", "--fmax", "0.05").stdout


def test_neb_that_does_not_converge_is_a_failure(tribond, emt, tmp_path):
    result = tribond("neb", *vacancies(tmp_path), "--steps", "1")
    assert result.exit_code == 1
    assert "NOT converged" in result.stdout


def test_an_end_is_one_structure(tribond, emt, tmp_path):
    first, last = vacancies(tmp_path)
    both = tmp_path / "both.xyz"
    both.write_text(first.read_text() + last.read_text())
    result = tribond("neb", f"{both}@:", last)
    assert result.exit_code == 2
    assert "names 2 structures; an end is one" in result.output


def test_neb_of_different_atoms_is_refused(tribond, emt, copper, tmp_path):
    other = tmp_path / "Ag.xyz"
    bulk("Ag").write(other, format="extxyz")
    result = tribond("neb", copper, other)
    assert result.exit_code == 1
    assert "atom 0 is Cu in the first and Ag in the last" in result.output


@pytest.mark.parametrize("verb", ["eos", "elastic", "phonons", "surface"])
def test_the_built_in_potential(tribond, tmp_path, verb):
    """MgO: 19 Å³ a formula unit and 160 GPa by PBE and experiment, give or take what the potential is off."""
    path = tmp_path / "MgO.cif"
    bulk("MgO", "rocksalt", a=4.25).write(path)
    result = tribond(verb, path, *QUICK[verb], "--quiet")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / f"MgO_{verb}" / "summary.json").read_text())
    assert len(summary["model"]["weights_sha256"]) == 64
    if verb == "eos":
        assert summary["V0_A3"] == pytest.approx(19.2, rel=0.05)
        assert summary["B0_GPa"] == pytest.approx(155, rel=0.3)
    elif verb == "elastic":
        assert summary["bulk_modulus_GPa"] == pytest.approx(155, rel=0.3)
        assert summary["mechanically_stable"]
    elif verb == "surface":
        lowest = min(summary["surfaces"], key=lambda it: it["surface_energy_J_per_m2"])
        assert lowest["miller"] == [1, 0, 0]
    else:
        assert summary["heat_capacity_298K_J_per_K_per_mol_formula"] == pytest.approx(37, rel=0.1)


def test_the_built_in_potential_moves_an_atom(tribond, tmp_path):
    first = bulk("MgO", "rocksalt", 4.25)  # a minimum; as in CsCl, oxygen would leave its place
    last = first.copy()
    last.positions[1] -= 0.02
    for name, atoms in (("a.xyz", first), ("b.xyz", last)):
        atoms.write(tmp_path / name, format="extxyz")
    result = tribond("neb", tmp_path / "a.xyz", tmp_path / "b.xyz", "--quiet")
    assert result.exit_code == 1
    assert "the same minimum once relaxed" in result.output
