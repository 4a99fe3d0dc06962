"""One structure of every kind that a potential must take, small, and without a symmetry that makes forces vanish."""

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule

ELEMENTS = ("H", "C", "O", "Si", "Cu")  # those in here


def rattled(atoms: Atoms, size: float = 0.15, seed: int = 0) -> Atoms:
    """The atoms moved a little, Å, so that no symmetry makes forces vanish."""
    atoms.positions += np.random.default_rng(seed).uniform(-size, size, atoms.positions.shape)
    return atoms


def crystal() -> Atoms:
    return rattled(bulk("SiC", "zincblende", a=4.5))


def skewed_crystal() -> Atoms:
    cell = [[4.1, 0.3, -0.2], [1.7, 3.9, 0.4], [-1.2, 1.5, 4.6]]
    atoms = Atoms("CuOSi", scaled_positions=[[0, 0, 0], [0.5, 0.45, 0.1], [0.4, 0.1, 0.6]], cell=cell, pbc=True)
    return rattled(atoms)


def left_handed_crystal() -> Atoms:
    atoms = skewed_crystal()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def one_atom_cell() -> Atoms:
    return bulk("Cu", "fcc", a=3.7)


def slab() -> Atoms:
    atoms = fcc111("Cu", (1, 1, 3), a=3.7, vacuum=6.0)  # periodic along a and b
    atoms += Atoms("H", positions=[atoms.positions[-1] + [0.2, 0.3, 1.5]])
    return rattled(atoms)


def wire() -> Atoms:
    atoms = Atoms("C3O", positions=[[0, 0, 0], [0.5, 1.2, 0.4], [-0.6, 0.3, 1.4], [0.4, -1.2, 2.1]])
    atoms.set_cell([[0, 0, 0], [0, 0, 0], [0.3, 0.2, 3.1]])  # no lattice vectors along the open axes
    atoms.pbc = (False, False, True)
    return atoms


def methanol() -> Atoms:
    return rattled(molecule("CH3OH"))


def isolated_atom() -> Atoms:
    return Atoms("O", positions=[[1.0, 2.0, 3.0]])


def far_dimer() -> Atoms:
    """A bond, but longer than any that takes part in an angle."""
    return Atoms("SiO", positions=[[0, 0, 0], [1.4, 2.3, 3.2]])  # 4.18 Å


def stretched_crystal() -> Atoms:
    """Periodic, and every atom out of reach of all others."""
    return Atoms("CuC", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[9.0, 9.5, 10.0], pbc=True)


def no_atoms() -> Atoms:
    return Atoms()


STRUCTURES: dict[str, Callable[[], Atoms]] = {
    function.__name__: function
    for function in (
        crystal,
        skewed_crystal,
        left_handed_crystal,
        one_atom_cell,
        slab,
        wire,
        methanol,
        isolated_atom,
        far_dimer,
        stretched_crystal,
        no_atoms,
    )
}
PERIODIC = ("crystal", "skewed_crystal", "left_handed_crystal", "one_atom_cell", "stretched_crystal")
BONDED = ("crystal", "skewed_crystal", "left_handed_crystal", "one_atom_cell", "slab", "wire", "methanol", "far_dimer")
