"""The centroid virial is that of many-body potentials where energy does not hop: then the heat flux is exact."""

import numpy as np
from ase.build import bulk

from tests.lammps.conftest import dump
from tests.structures import rattled
from tribond.models.potential import Potential


def test_it_is_the_derivative_of_the_centres_energy_by_its_neighbours_position(deck, make_potential):
    """W_i = Σ_j (r_j - r_i) ⊗ dU_j/dr_i, in a network of one block, where U_j depends on the bonds of j alone."""
    potential = make_potential(num_blocks=1)
    deck.save(potential)
    atoms = deck.structure(rattled(bulk("SiC", "zincblende", a=4.5, cubic=True) * (3, 3, 3)))
    deck.run("""
        units metal
        read_data atoms.data
        pair_style tribond precision double
        pair_coeff * * model.safetensors C Si
        compute c all centroid/stress/atom NULL virial
        dump d all custom 1 atoms.dump id c_c[1] c_c[2] c_c[3] c_c[4] c_c[5] c_c[6] c_c[7] c_c[8] c_c[9]
        dump_modify d sort id format float %.17g
        run 0
    """, ranks=2)  # fmt: skip
    found = dump(deck.folder / "atoms.dump")[0][:, 1:] / 1.6021765e6
    xx, yy, zz, xy, xz, yz, yx, zx, zy = found.T
    of_lammps = np.stack([xx, xy, xz, yx, yy, yz, zx, zy, zz], axis=1).reshape(-1, 3, 3)
    some = [0, 7, 100]
    for i in some:
        wanted = _by_the_definition(potential, atoms, i)
        np.testing.assert_allclose(of_lammps[i], -wanted, rtol=0, atol=1e-5 * max(np.abs(wanted).max(), 0.1))


def _by_the_definition(potential: Potential, atoms, i: int) -> np.ndarray:
    step = 1e-4  # Å
    derivatives = np.empty((len(atoms), 3))
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, axis] += sign * step
            energies.append(potential.predict(moved)[0].atomic_energies)
        derivatives[:, axis] = (energies[0] - energies[1]) / (2 * step)
    arms = atoms.get_distances(i, range(len(atoms)), mic=True, vector=True)  # r_j - r_i
    return arms.T @ derivatives
