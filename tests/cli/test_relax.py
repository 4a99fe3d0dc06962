import gzip
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read, write

from tribond.cli import relax as verb
from tribond.cli.relax_work import follow_several
from tribond.cli.structure_files import read_frames
from tribond.properties.relax import DEFAULT_FMAX, DEFAULT_OPTIMIZER, DEFAULT_STEPS, OPTIMIZERS

pytestmark = pytest.mark.usefixtures("emt")


def copper(strain=1.02):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array * strain, scale_atoms=True)
    atoms.rattle(0.03, seed=1)
    return atoms


@pytest.fixture
def cif(tmp_path):
    path = tmp_path / "Cu.cif"
    write(path, copper())
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_crystal_gives_structure_trajectory_summary_and_plot(tribond, cif):
    before = cif.read_bytes()
    result = tribond("relax", cif)
    assert result.exit_code == 0, result.output
    assert names(cif.parent) == [
        "Cu.cif",
        "Cu_relaxation.json",
        "Cu_relaxation.png",
        "Cu_relaxation.traj",
        "Cu_relaxed.cif",
    ]
    assert cif.read_bytes() == before
    relaxed = read(cif.with_name("Cu_relaxed.cif"))
    assert relaxed.get_volume() / 4 == pytest.approx(11.57, abs=0.05)
    relaxed.calc = EMT()
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() < 0.011
    summary = json.loads(cif.with_name("Cu_relaxation.json").read_text())
    assert summary["converged"] is True
    assert summary["model"]["name"] == "EMT"
    assert summary["after"]["space_group"] == "Fm-3m (225)"
    assert summary["outputs"]["structure"] == "Cu_relaxed.cif"
    frames = read(cif.with_name("Cu_relaxation.traj"), index=":")
    assert [frame.get_potential_energy() for frame in frames] == pytest.approx(summary["history"]["energy_eV"])
    assert len(frames) == summary["steps"] + 1
    assert cif.with_name("Cu_relaxation.png").read_bytes().startswith(b"\x89PNG")
    assert "converged after" in result.stdout
    assert "Fm-3m (225)" in result.stdout


def test_defaults_are_those_of_the_library():
    assert [option.value for option in verb.Optimizer] == list(OPTIMIZERS)
    parameters = verb.relax.__annotations__ and verb.relax.__defaults__
    assert verb.Optimizer(DEFAULT_OPTIMIZER) in parameters
    assert DEFAULT_FMAX in parameters
    assert DEFAULT_STEPS in parameters


def test_poscar_keeps_name_format_and_selective_dynamics(tribond, tmp_path):
    atoms = copper()
    atoms.set_constraint(FixAtoms(indices=[0]))
    write(tmp_path / "POSCAR", atoms, format="vasp")
    assert tribond("relax", tmp_path / "POSCAR", "--fix-cell").exit_code == 0
    relaxed = read(tmp_path / "POSCAR_relaxed", format="vasp")
    assert relaxed.constraints[0].index.tolist() == [0]
    assert relaxed.positions[0] == pytest.approx(atoms.positions[0], abs=1e-6)
    assert relaxed.cell.array == pytest.approx(atoms.cell.array)


def test_trajectory_input_does_not_clash_with_the_trajectory_output(tribond, tmp_path):
    write(tmp_path / "run.traj", [copper(1.05), copper(1.02)])
    result = tribond("relax", tmp_path / "run.traj")
    assert result.exit_code == 0, result.output
    assert "several structures, taking the last" in result.output
    assert len(read(tmp_path / "run_relaxed.traj", index=":")) == 1
    first = read(tmp_path / "run_relaxation.traj", index=0)
    assert first.get_volume() == pytest.approx(copper(1.02).get_volume())


@pytest.mark.parametrize("arguments", [["run.xyz@0"], ["run.xyz", "--index", "0"], ["run.xyz@:1"]])
def test_frames_are_chosen_by_index(tribond, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    write("run.xyz", [copper(1.05), copper(1.02)])
    assert tribond("relax", *arguments).exit_code == 0
    summary = json.loads((tmp_path / "run_0_relaxation.json").read_text())
    assert summary["frame"] == 0
    assert summary["before"]["volume_A3"] == pytest.approx(copper(1.05).get_volume())


def test_all_frames_each_get_their_files(tribond, tmp_path):
    write(tmp_path / "run.xyz", [copper(1.05), copper(1.02)])
    result = tribond("relax", f"{tmp_path}/run.xyz@:")
    assert result.exit_code == 0, result.output
    assert {"run_0_relaxed.xyz", "run_1_relaxed.xyz"} < set(names(tmp_path))
    assert "2 of 2 converged" in result.stdout


@pytest.mark.parametrize(
    ("index", "message"), [("7", "holds 2"), ("2:", "holds 2"), ("x", "no index"), ("::0", "no index")]
)
def test_wrong_index_is_explained(tribond, tmp_path, index, message):
    write(tmp_path / "run.xyz", [copper(), copper()])
    result = tribond("relax", tmp_path / "run.xyz", "--index", index)
    assert result.exit_code == 1
    assert message in result.output


def test_one_failing_file_does_not_stop_the_others(tribond, cif):
    garbage = cif.with_name("garbage.cif")
    garbage.write_text("this is no structure")
    result = tribond("relax", garbage, cif.with_name("missing.cif"), cif.with_name("*.res"), cif)
    assert result.exit_code == 1
    assert "garbage.cif: this is no sound CIF" in result.output
    assert "missing.cif: no such file" in result.output
    assert "no file matches" in result.output
    assert "1 of 4 converged" in result.stdout
    assert cif.with_name("Cu_relaxed.cif").exists()
    assert "Traceback" not in result.output


@pytest.mark.parametrize("third", [(3, 3, 0), (3, 3, 1e-9), (np.nan, 0, 3)])
def test_a_cell_without_volume_does_not_stop_the_others(third, tmp_path, cif, model_file):
    """Three lattice vectors in one plane are no crystal, and nothing that looks at the cell may trip over them."""
    flat = Atoms("Cu", cell=[(3, 0, 0), (0, 3, 0), third], pbc=True)
    write(tmp_path / "flat.extxyz", flat)
    command = [sys.executable, "-c", "from tribond.cli.main import main; main()"]
    arguments = ["relax", tmp_path / "flat.extxyz", cif, "--steps", "1", "--model", model_file]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "flat.extxyz: " in result.stderr
    assert "Traceback" not in result.stderr
    assert "unexpected" not in result.stderr
    assert cif.with_name("Cu_relaxation.json").exists()


def test_unexpected_errors_of_one_file_do_not_stop_the_others_either(tribond, tmp_path, cif):
    write(tmp_path / "W.cif", bulk("W", cubic=True))  # EMT knows no tungsten and raises what ASE raises
    result = tribond("relax", tmp_path / "W.cif", cif)
    assert result.exit_code == 1
    assert "unexpected NotImplementedError" in result.output
    assert "1 of 2 converged" in result.stdout
    assert not (tmp_path / "W_relaxed.cif").exists()
    assert not list(tmp_path.glob(".*"))


def test_not_converged_is_written_and_told(tribond, cif):
    result = tribond("relax", cif, "--steps", 1)
    assert result.exit_code == 1
    assert "not converged after 1 steps" in result.stdout
    assert json.loads(cif.with_name("Cu_relaxation.json").read_text())["converged"] is False
    assert cif.with_name("Cu_relaxed.cif").exists()


def test_runaway_leaves_only_its_trajectory(tribond, cif, monkeypatch):
    monkeypatch.setattr("tribond.properties.relax_checks.LARGEST_VOLUME_RATIO", 1.0001)
    result = tribond("relax", cif)
    assert result.exit_code == 1
    assert "the relaxation runs away" in result.output
    assert names(cif.parent) == ["Cu.cif", "Cu_relaxation.traj"]
    assert len(read(cif.with_name("Cu_relaxation.traj"), index=":")) >= 2


def test_interruption_keeps_the_steps_so_far(tribond, cif, monkeypatch):
    class Interrupted(EMT):
        calls = 0

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.calls += 1
            if self.calls == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(verb, "_load", lambda *_: (Interrupted(), {"cutoff_A": 5.0}))
    result = tribond("relax", cif)
    assert result.exit_code not in {0, 2}
    assert names(cif.parent) == ["Cu.cif", "Cu_relaxation.traj"]
    assert len(read(cif.with_name("Cu_relaxation.traj"), index=":")) == 3


def test_molecule_keeps_its_box_with_a_note(tribond, tmp_path):
    write(tmp_path / "water.xyz", molecule("H2O"))
    result = tribond("relax", tmp_path / "water.xyz")
    assert result.exit_code == 0, result.output
    assert "not periodic along any axis" in result.output
    summary = json.loads((tmp_path / "water_relaxation.json").read_text())
    assert summary["settings"]["relax_cell"] is False
    assert summary["after"]["volume_A3"] is None


def test_pressure_on_a_molecule_is_refused(tribond, tmp_path):
    write(tmp_path / "water.xyz", molecule("H2O"))
    result = tribond("relax", tmp_path / "water.xyz", "--pressure-GPa", 1)
    assert result.exit_code == 1
    assert "pressure needs a structure periodic along a, b and c" in result.output
    assert names(tmp_path) == ["water.xyz"]


def test_pressure_compresses(tribond, cif):
    result = tribond("relax", cif, "--pressure-GPa", 20, "--fix-symmetry")
    assert result.exit_code == 0, result.output
    summary = json.loads(cif.with_name("Cu_relaxation.json").read_text())
    assert summary["after"]["volume_A3"] < 43
    assert "enthalpy (eV)" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.startswith("largest stress"))
    assert "less the target of 20 GPa" in row
    before, after = (float(word) for word in row.split()[-2:])
    assert before > 10
    assert after < 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pressure-GPa", 5, "--fix-cell"],
        ["--output", "Cu.cif"],
        ["--optimizer", "Newton"],
        ["--fmax", 0],
        ["--starts", 3, "--fix-symmetry"],
        ["--rattle-A", 0.2],
    ],
)
def test_contradictions_are_wrong_usage(tribond, cif, monkeypatch, arguments):
    monkeypatch.chdir(cif.parent)
    assert tribond("relax", cif, *arguments).exit_code == 2
    assert names(cif.parent) == ["Cu.cif"]


def test_optimizer_is_not_case_sensitive(tribond, cif):
    assert tribond("relax", cif, "--optimizer", "fire", "--quiet").exit_code == 0
    assert json.loads(cif.with_name("Cu_relaxation.json").read_text())["settings"]["optimizer"] == "FIRE"


def test_quiet_prints_nothing(tribond, cif):
    result = tribond("relax", cif, "--quiet")
    assert result.exit_code == 0
    assert result.output == ""


def test_output_folder_is_made_and_same_names_stay_apart(tribond, tmp_path):
    for folder, strain in (("one", 1.01), ("two", 1.03)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "POSCAR", copper(strain), format="vasp")
    out = tmp_path / "deep" / "results"
    result = tribond("relax", tmp_path / "one" / "POSCAR", tmp_path / "two" / "POSCAR", "--output", out)
    assert result.exit_code == 0, result.output
    assert {"one_POSCAR_relaxed", "two_POSCAR_relaxed", "two_POSCAR_relaxation.json"} < set(names(out))
    assert names(tmp_path / "one") == ["POSCAR"]
    volume = json.loads((out / "two_POSCAR_relaxation.json").read_text())["before"]["volume_A3"]
    assert volume == pytest.approx(copper(1.03).get_volume())


def test_same_stem_beside_each_other_and_outputs_among_inputs(tribond, cif):
    write(cif.with_suffix(".vasp"), copper(1.03), format="vasp")
    old_result = cif.with_name("Cu_relaxed.cif")
    shutil.copy(cif, old_result)
    before = old_result.read_bytes()
    result = tribond("relax", cif, cif.with_suffix(".vasp"), old_result)
    assert result.exit_code == 0, result.output
    assert old_result.read_bytes() == before
    assert {"Cu-2_relaxed.cif", "Cu_relaxed.vasp", "Cu_relaxed_relaxed.cif"} < set(names(cif.parent))


def test_existing_outputs_are_replaced_whole(tribond, cif):
    cif.with_name("Cu_relaxation.json").write_text("old")
    write(cif.with_name("Cu_relaxation.traj"), [copper()] * 3)
    assert tribond("relax", cif).exit_code == 0
    summary = json.loads(cif.with_name("Cu_relaxation.json").read_text())
    assert len(read(cif.with_name("Cu_relaxation.traj"), index=":")) == summary["steps"] + 1
    assert not list(cif.parent.glob(".*"))


def test_a_second_relaxation_says_what_it_replaces_and_what_changed(tribond, cif):
    assert "will be replaced" not in tribond("relax", cif).output
    same = tribond("relax", cif)
    assert "Cu_relaxed.cif, Cu_relaxation.traj, Cu_relaxation.json, Cu_relaxation.png of an earlier" in same.output
    assert "is now" not in same.output
    other = tribond("relax", cif, "--fmax", "0.01", "--quiet")
    assert other.exit_code == 0
    assert "another folder (-o) keeps them (fmax_eV_per_A was 0.005 and is now 0.01)" in " ".join(other.output.split())


def test_of_several_starts_the_lowest_is_written_and_all_are_told(tribond, cif):
    result = tribond("relax", cif, "--starts", "3", "--rattle-A", "0.2")
    assert result.exit_code == 0, result.output
    summary = json.loads(cif.with_name("Cu_relaxation.json").read_text())
    starts = summary["starts"]
    assert [it["start"] for it in starts["all"]] == [0, 1, 2]
    assert starts["ended_there"] == 3
    chosen = starts["all"][starts["chosen"]]
    assert chosen["enthalpy_eV"] == min(it["enthalpy_eV"] for it in starts["all"]) == summary["after"]["enthalpy_eV"]
    assert len(read(cif.with_name("Cu_relaxation.traj"), index=":")) == chosen["steps"] + 1
    assert "the lowest; 3 of 3 ended there" in result.stdout
    assert not list(cif.parent.glob(".*"))


def test_packed_input_gives_plain_output(tribond, cif):
    packed = cif.with_name("packed.cif.gz")
    packed.write_bytes(gzip.compress(cif.read_bytes()))
    assert tribond("relax", packed).exit_code == 0
    assert len(read(cif.with_name("packed_relaxed.cif"))) == 4


def test_format_that_ase_only_reads_becomes_extxyz(tribond, tmp_path):
    a = 3.65
    (tmp_path / "bulk.STRUCT_OUT").write_text(  # what SIESTA writes at the end of a run
        f"{a} 0 0\n0 {a} 0\n0 0 {a}\n4\n1 29 0 0 0\n1 29 0 0.5 0.5\n1 29 0.5 0 0.5\n1 29 0.5 0.5 0\n"
    )
    result = tribond("relax", tmp_path / "bulk.STRUCT_OUT")
    assert result.exit_code == 0, result.output
    assert "without loss; wrote bulk_relaxed.extxyz instead" in result.output
    summary = json.loads((tmp_path / "bulk_relaxation.json").read_text())
    assert summary["outputs"]["structure"] == "bulk_relaxed.extxyz"
    assert read(tmp_path / "bulk_relaxed.extxyz").get_potential_energy() == pytest.approx(summary["after"]["energy_eV"])


def test_atoms_out_of_reach_are_told(tribond, tmp_path):
    write(tmp_path / "gas.cif", bulk("Cu", a=20.0))
    result = tribond("relax", tmp_path / "gas.cif")
    assert result.exit_code == 0
    assert "1 of 1 atoms without a neighbour" in result.output


def test_slab_in_a_periodic_box_gets_a_hint(tribond, tmp_path):
    slab = fcc111("Cu", (1, 1, 3), vacuum=6.0)
    slab.pbc = True
    write(tmp_path / "slab.vasp", slab)
    hint = "slab.vasp has 12.0 Å of vacuum along c"
    assert hint in tribond("relax", tmp_path / "slab.vasp").output
    assert hint not in tribond("relax", tmp_path / "slab.vasp", "--fix-cell").output


def test_partly_occupied_sites_are_refused(tribond, tmp_path):
    (tmp_path / "alloy.cif").write_text(
        "data_alloy\n_cell_length_a 3.7\n_cell_length_b 3.7\n_cell_length_c 3.7\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P 1'\n"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
        "_atom_site_fract_z\n_atom_site_occupancy\nCu1 Cu 0 0 0 0.5\nAl1 Al 0 0 0 0.5\n"
    )
    result = tribond("relax", tmp_path / "alloy.cif")
    assert result.exit_code == 1
    assert "partly occupied (Cu1 0.5, Al1 0.5)" in result.output


def test_an_error_in_a_later_start_is_the_one_that_is_told(cif):
    """And the steps so far are kept."""

    class Failing(EMT):
        calls = 0

        def calculate(self, *args, **kwargs):
            self.calls += 1
            if self.calls > 6:
                raise MemoryError("no memory is left")
            super().calculate(*args, **kwargs)

    (frame,) = read_frames(str(cif), None)
    settings = {"fmax_eV_per_A": 1e-6, "steps": 50}
    trajectory = cif.with_name("steps.traj")
    with pytest.raises(MemoryError, match="no memory is left"):
        follow_several(frame, Failing(), settings, 2, 0.1, trajectory, lambda *_: None)
    assert len(read(trajectory, index=":")) > 1
