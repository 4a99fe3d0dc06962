"""Structures and results of LAMMPS in files: what goes in, and what comes out of one evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

BAR = 1 / 1.6021765e6  # eV/Å³, with the digits that LAMMPS has
MARGIN = 1.5  # Å | between the outermost atoms and the box along axes that are not periodic
RESULT = "TRIBOND"  # begins a line of results


@dataclass(frozen=True)
class Result:
    """What LAMMPS computes of a structure, in units and signs of ASE."""

    energy: float  # eV
    stress: np.ndarray  # (3, 3) eV/Å³, tension positive, without the part of the velocities
    energies: np.ndarray  # (atoms,) eV
    forces: np.ndarray  # (atoms, 3) eV/Å
    virials: np.ndarray  # (atoms, 6) eV | xx, yy, zz, xy, xz, yz; their sum is volume · stress
    centroid_virials: np.ndarray  # (atoms, 9) eV | xx, yy, zz, xy, xz, yz, yx, zx, zy


def in_lammps_frame(atoms: Atoms) -> Atoms:
    """The structure turned so that a lies along x and b in the plane of x and y, with a box around open axes.

    Every lattice vector of an open axis is replaced by one at right angles to the box of the atoms.

    Args:
        atoms: with a right-handed cell, or open axes that lie along x, y or z.
    """
    turned = atoms.copy()
    turned.calc = None
    if atoms.pbc.all():
        cell, _ = atoms.cell.standard_form()
        turned.set_cell(cell, scale_atoms=True)
        return turned
    low = atoms.positions.min(axis=0) - MARGIN
    size = np.ptp(atoms.positions, axis=0) + 2 * MARGIN
    turned.set_cell([atoms.cell[k] if atoms.pbc[k] else size[k] * np.eye(3)[k] for k in range(3)])
    turned.positions -= np.where(atoms.pbc, 0.0, low)
    return turned


def write_data(path: Path, atoms: Atoms, elements: Sequence[str]) -> None:
    """A structure as LAMMPS' read_data takes it, every digit kept.

    Args:
        path: the file.
        atoms: as `in_lammps_frame` gives them.
        elements: chemical symbols in the order of LAMMPS' atom types.
    """
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = atoms.cell.array.tolist()
    lines = ["tribond", "", f"{len(atoms)} atoms", f"{len(elements)} atom types", ""]
    lines += [f"0 {length!r} {axis}lo {axis}hi" for axis, length in zip("xyz", (lx, ly, lz), strict=True)]
    if any((xy, xz, yz)):
        lines.append(f"{xy!r} {xz!r} {yz!r} xy xz yz")
    lines += ["", "Masses", ""]
    lines += [f"{number} {atomic_masses[atomic_numbers[symbol]]}" for number, symbol in enumerate(elements, 1)]
    if len(atoms):
        lines += ["", "Atoms # atomic", ""]
        types = [list(elements).index(symbol) + 1 for symbol in atoms.symbols]
        for number, (kind, (x, y, z)) in enumerate(zip(types, atoms.positions.tolist(), strict=True), 1):
            lines.append(f"{number} {kind} {x!r} {y!r} {z!r}")
    path.write_text("\n".join(lines) + "\n")


def evaluation(name: str, atoms: Atoms, elements: Sequence[str], model: str, settings: str = "", more: str = "") -> str:
    """Commands that evaluate one structure, for a script that may evaluate many.

    Args:
        name: of the files NAME.data, which is read, and NAME.dump.
        atoms: the structure in NAME.data.
        elements: of the atom types.
        model: path of the model file.
        settings: what stands after `pair_style tribond`.
        more: commands before the box is read, such as `processors`.
    """
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    atom_results = "c_e c_s[1] c_s[2] c_s[3] c_s[4] c_s[5] c_s[6] " + " ".join(f"c_c[{k}]" for k in range(1, 10))
    return f"""
clear
units metal
atom_style atomic
newton on
boundary {boundary}
{more}
box tilt large
read_data {name}.data
pair_style tribond {settings}
pair_coeff * * {model} {" ".join(elements)}
compute e all pe/atom
compute s all stress/atom NULL virial
compute c all centroid/stress/atom NULL virial
compute p all pressure NULL virial
thermo_style custom step pe c_p[1] c_p[2] c_p[3] c_p[4] c_p[5] c_p[6]
dump d all custom 1 {name}.dump id fx fy fz {atom_results}
dump_modify d sort id format float %.17g
run 0
print "{RESULT} {name} $(pe:%.17g) $(c_p[1]:%.17g) $(c_p[2]:%.17g) $(c_p[3]:%.17g) $(c_p[4]:%.17g) $(c_p[5]:%.17g) $(c_p[6]:%.17g)"
"""


def read_result(name: str, printed: str, folder: Path, volume: float) -> Result:
    """What the commands of `evaluation` left.

    Args:
        name: of the evaluation.
        printed: what LAMMPS printed.
        folder: where it ran.
        volume: of the box, Å³.
    """
    line = next(it for it in printed.splitlines() if it.startswith(f"{RESULT} {name} "))
    energy, xx, yy, zz, xy, xz, yz = map(float, line.split()[2:])
    rows = np.loadtxt(folder / f"{name}.dump", skiprows=9, ndmin=2) if volume else np.zeros((0, 20))
    return Result(
        energy=energy,
        stress=-BAR * np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
        forces=rows[:, 1:4],
        energies=rows[:, 4],
        virials=BAR * rows[:, 5:11],  # LAMMPS' stress/atom has the sign of a stress, and pressure · volume
        centroid_virials=BAR * rows[:, 11:20],
    )
