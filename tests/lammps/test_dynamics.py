"""Dynamics, minimizers, other potentials beside it: what people do in LAMMPS."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

import tribond
from tests.lammps.conftest import dump, large_crystal, thermo
from tests.structures import rattled
from tribond.properties.relax import relax

START = """
    units metal
    read_data atoms.data
    pair_style tribond precision double
    pair_coeff * * model.safetensors C Si
"""
TIME = units.fs * 1000  # ps


@pytest.fixture
def crystal(deck, potential):
    """A crystal and the paper's M3GNet in a folder."""
    deck.save(potential)
    return deck.structure(large_crystal())


def test_atoms_that_migrate_between_ranks_move_as_on_one(deck, crystal):
    commands = f"""{START}
        velocity all create 1500 4928 loop geom
        compute owner all property/atom proc
        dump d all custom 200 RANKS.dump id xu yu zu vx vy vz c_owner
        dump_modify d sort id format float %.17g
        fix motion all nve
        thermo_style custom step etotal
        thermo_modify format float %.17g
        timestep 0.001
        run 200
    """
    energies = [thermo(deck.run(commands.replace("RANKS", str(ranks)), ranks)) for ranks in (1, 2)]
    alone, together = (dump(deck.folder / f"{ranks}.dump") for ranks in (1, 2))
    assert (together[0][:, 7] != together[-1][:, 7]).sum() > 3  # atoms have migrated
    np.testing.assert_allclose(together[-1][:, 1:7], alone[-1][:, 1:7], rtol=0, atol=1e-8)
    np.testing.assert_allclose(energies[1], energies[0], rtol=0, atol=1e-8)


def test_constant_energy_is_as_constant_as_in_ase(deck, crystal, potential):
    printed = deck.run(f"""{START}
        velocity all create 600 4928 loop geom
        dump d all custom 1000 start.dump id vx vy vz
        dump_modify d sort id format float %.17g
        fix motion all nve
        thermo_style custom step pe ke etotal
        thermo_modify format float %.17g
        thermo 1
        timestep 0.001
        run 50
    """, ranks=2)  # fmt: skip
    of_lammps = thermo(printed)
    atoms = crystal.copy()
    # atomic_masses of the data file are ASE's
    atoms.set_velocities(dump(deck.folder / "start.dump")[0][:, 1:4] / TIME)
    atoms.calc = tribond.Calculator(potential)
    dynamics = VelocityVerlet(atoms, timestep=units.fs)
    of_ase = [[atoms.get_potential_energy(), atoms.get_kinetic_energy()] for _ in dynamics.irun(50)]
    # The two programs have constants of nature with other last digits.
    np.testing.assert_allclose(of_lammps[:, 1:3], of_ase, rtol=2e-5, atol=1e-4)
    drift_in_lammps = np.ptp(of_lammps[:, 3])
    drift_in_ase = np.ptp(np.sum(of_ase, axis=1))
    assert drift_in_lammps < 1.05 * drift_in_ase + 1e-6


def test_a_list_that_is_kept_for_some_steps_changes_nothing(deck, crystal):
    commands = """{START}
        neighbor {skin} bin
        neigh_modify every 1 delay 0 check yes
        velocity all create 900 4928 loop geom
        fix motion all nve
        thermo_style custom step pe press
        thermo_modify format float %.17g
        thermo 10
        run 30
    """
    few, many = (thermo(deck.run(commands.format(START=START, skin=skin))) for skin in (2.0, 0.01))
    np.testing.assert_allclose(few, many, rtol=1e-9)


def test_rerun_gives_the_energies_of_the_run(deck, crystal):
    printed = deck.run(f"""{START}
        velocity all create 900 4928 loop geom
        fix motion all nve
        dump d all custom 5 all.dump id type xu yu zu
        dump_modify d format float %.17g
        thermo_style custom step pe
        thermo_modify format float %.17g
        thermo 5
        run 20
        print separator
        rerun all.dump dump x y z wrapped no box no
    """, ranks=2)  # fmt: skip
    run, again = (thermo(part) for part in printed.split("separator\n")[-2:])
    np.testing.assert_allclose(again, run, rtol=1e-10)


OTHERS = {
    "repulsion of nuclei": ("zbl 1.5 2.5", {"1 1": "6 6", "1 2": "6 14", "2 2": "14 14"}),
    "dispersion": ("dispersion/d3 bj pbe 12.0 8.0", {"* *": "C Si"}),
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("other", OTHERS)
def test_with_another_potential_on_top(deck, crystal, potential, ranks, other):
    def energy_and_forces(style: str, coefficients: str) -> tuple[float, np.ndarray]:
        printed = deck.run(f"""
            units metal
            read_data atoms.data
            pair_style {style}
            {coefficients}
            dump d all custom 1 all.dump id fx fy fz
            dump_modify d sort id format float %.17g
            thermo_style custom step pe
            thermo_modify format float %.17g
            run 0
        """, ranks)  # fmt: skip
        return thermo(printed)[-1, 1], dump(deck.folder / "all.dump")[0][:, 1:]

    style, coefficients = OTHERS[other]
    name = style.split()[0]
    of_other, forces = energy_and_forces(
        style, "\n".join(f"pair_coeff {types} {it}" for types, it in coefficients.items())
    )
    both, forces_of_both = energy_and_forces(
        f"hybrid/overlay tribond precision double {style}",
        "\n".join(
            ["pair_coeff * * tribond model.safetensors C Si"]
            + [f"pair_coeff {types} {name} {it}" for types, it in coefficients.items()]
        ),
    )
    alone = potential.predict(crystal)[0]
    assert abs(of_other) > 1.0
    assert both == pytest.approx(of_other + alone.energy, abs=1e-8)
    np.testing.assert_allclose(forces_of_both, forces + alone.forces, rtol=0, atol=1e-8)


@pytest.mark.parametrize("ranks", [1, 2])
def test_beside_another_potential_it_sees_its_own_atoms_only(deck, crystal, potential, ranks):
    printed = deck.run("""
        units metal
        read_data atoms.data
        pair_style hybrid tribond precision double zero 7.0
        pair_coeff * * tribond model.safetensors NULL Si
        pair_coeff 1 * zero
        thermo_style custom step pe
        thermo_modify format float %.17g
        run 0
    """, ranks)  # fmt: skip
    silicon = crystal[crystal.symbols == "Si"]
    assert thermo(printed)[-1, 1] == pytest.approx(potential.predict(silicon)[0].energy, abs=1e-8)


@pytest.mark.parametrize("ranks", [1, 3])
def test_two_models_at_once(deck, crystal, potential, make_potential, ranks):
    other = make_potential("mattersim", seed=5)
    deck.save(other, "other.safetensors")
    printed = deck.run("""
        units metal
        read_data atoms.data
        pair_style hybrid/overlay tribond precision double tribond precision double threads 2
        pair_coeff * * tribond 1 model.safetensors C Si
        pair_coeff * * tribond 2 other.safetensors C Si
        thermo_style custom step pe
        thermo_modify format float %.17g
        run 0
        run 0
    """, ranks)  # fmt: skip
    wanted = potential.predict(crystal)[0].energy + other.predict(crystal)[0].energy
    assert thermo(printed)[-1, 1] == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize(
    "style", ["comm_style tiled", "comm_modify cutoff 12.0", "comm_modify cutoff 1.0", "atom_modify sort 1 3.0"]
)
def test_however_lammps_communicates(deck, crystal, potential, style):
    balance = "comm_modify cutoff 8.0\nfix b all balance 1 1.0 rcb" if style == "comm_style tiled" else ""
    printed = deck.run(
        f"{style}\n{START}\n{balance}\nthermo_style custom step pe\nthermo_modify format float %.17g\nrun 0", ranks=3
    )
    assert thermo(printed)[-1, 1] == pytest.approx(potential.predict(crystal)[0].energy, abs=1e-8)


def test_single_precision_is_the_default(deck, crystal, potential):
    printed = deck.run("""
        units metal
        read_data atoms.data
        pair_style tribond
        pair_coeff * * model.safetensors C Si
        thermo_style custom step pe
        thermo_modify format float %.17g
        run 0
    """, ranks=2)  # fmt: skip
    wanted = potential.to(dtype="float32").predict(crystal)[0].energy
    assert "single precision" in printed
    assert thermo(printed)[-1, 1] == pytest.approx(wanted, abs=1e-6 * len(crystal))


@pytest.fixture(scope="module")
def salt():
    """The built-in potential and rock salt, compressed."""
    potential = tribond.load(dtype="float64")
    return potential, rattled(bulk("NaCl", "rocksalt", a=5.4, cubic=True), 0.05)


SALT = """
    units metal
    read_data atoms.data
    pair_style tribond precision double
    pair_coeff * * model.safetensors Cl Na
    thermo_style custom step pe fmax vol press
    thermo_modify format float %.12g
    min_style cg
"""


def test_minimize_comes_to_where_tribond_relax_comes(deck, salt):
    potential, atoms = salt
    deck.save(potential)
    deck.structure(atoms)
    printed = deck.run(f"{SALT}\nminimize 0 1e-4 500 2000", ranks=2)
    wanted = relax(atoms, tribond.Calculator(potential), relax_cell=False, fmax_eV_per_A=1e-4)
    assert wanted.converged
    assert thermo(printed)[-1, 1] == pytest.approx(wanted.history[-1].energy, abs=1e-5)


@pytest.mark.slow
def test_box_relax_comes_to_where_tribond_relax_comes(deck, salt):
    potential, atoms = salt
    deck.save(potential)
    deck.structure(atoms)
    printed = deck.run(f"{SALT}\nfix cell all box/relax iso 0 vmax 0.01\nminimize 0 1e-3 300 600")
    wanted = relax(atoms, tribond.Calculator(potential), fmax_eV_per_A=1e-3)
    found = thermo(printed)[-1]
    assert found[1] == pytest.approx(wanted.history[-1].energy, abs=1e-3)
    assert found[3] == pytest.approx(wanted.history[-1].volume, rel=2e-3)


def test_npt_runs_on_two_ranks(deck, salt):
    potential, atoms = salt
    deck.save(potential)
    deck.structure(atoms)
    printed = deck.run(f"""{SALT}
        velocity all create 300 4928 loop geom
        fix motion all npt temp 300 300 0.1 tri 0 0 1
        thermo_style custom step temp pe press vol econserve
        thermo 1
        run 20
    """.replace("read_data atoms.data", "read_data atoms.data\nchange_box all triclinic"), ranks=2)  # fmt: skip
    kept = thermo(printed)[:, 5]
    assert np.ptp(kept) < 2e-2
