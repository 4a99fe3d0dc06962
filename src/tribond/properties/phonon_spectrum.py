"""What follows from force constants: bands along seekpath's path, densities of states, thermal properties."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.formula import Formula
from numpy.typing import NDArray

Array = NDArray[np.float64]
MESH_LENGTH = 80.0  # Å | q-points are 2π over this apart: heat capacities above 20 K change by less than 0.1 % beyond
PROJECTED_MESH_LENGTH = 40.0  # Å | with eigenvectors
DOS_POINTS = 201
DOS_MARGIN = 0.1  # of the span of frequencies, below and above
BAND_POINTS = 101  # on the longest piece of the path
KJ_PER_MOL = 96.48533212331  # of 1 eV


@dataclass(frozen=True)
class Bands:
    """Frequencies along a path through the Brillouin zone, in pieces that hang together."""

    labels: tuple[tuple[str, str], ...]  # of the ends of each piece
    qpoints: tuple[Array, ...]  # (points, 3) each, in reciprocal vectors of the primitive cell
    distances: tuple[Array, ...]  # (points,) along the path, 1/Å
    frequencies: tuple[Array, ...]  # (points, bands) THz; imaginary ones are negative

    def columns(self) -> dict[str, Any]:
        """A table."""
        frequencies = np.concatenate(self.frequencies)
        qpoints = np.concatenate(self.qpoints)
        names = []
        for (first, last), piece in zip(self.labels, self.qpoints, strict=True):
            names += [first, *[""] * (len(piece) - 2), last]
        table: dict[str, Any] = {"label": names, "distance_per_A": np.concatenate(self.distances)}
        table |= {f"q_{axis}": qpoints[:, i] for i, axis in enumerate("abc")}
        table |= {f"band_{i + 1}_THz": frequencies[:, i] for i in range(frequencies.shape[1])}
        return table


@dataclass(frozen=True)
class DensityOfStates:
    """States per THz and primitive cell."""

    frequencies: Array  # (points,) THz
    by_element: dict[str, Array]  # (points,) each

    @property
    def total(self) -> Array:
        """(points,)."""
        return np.asarray(np.sum(list(self.by_element.values()), axis=0))

    def columns(self) -> dict[str, Any]:
        """A table."""
        parts = {f"{symbol}_per_THz": values for symbol, values in self.by_element.items()}
        return {"frequency_THz": self.frequencies, "total_per_THz": self.total, **parts}


@dataclass(frozen=True)
class Thermal:
    """Harmonic thermal properties at constant volume; a mole is a mole of atoms."""

    temperatures_K: Array
    free_energy_kJ_per_mol: Array  # with the energy of the zero point
    entropy_J_per_K_mol: Array
    heat_capacity_J_per_K_mol: Array
    atoms_per_formula: int

    def columns(self) -> dict[str, Any]:
        """A table, per mole of atoms and of formula units."""
        names = ("free_energy_kJ", "entropy_J_per_K", "heat_capacity_J_per_K")
        values = (self.free_energy_kJ_per_mol, self.entropy_J_per_K_mol, self.heat_capacity_J_per_K_mol)
        table: dict[str, Any] = {"temperature_K": self.temperatures_K}
        table |= {f"{name}_per_mol_atoms": value for name, value in zip(names, values, strict=True)}
        table |= {
            f"{name}_per_mol_formula": value * self.atoms_per_formula for name, value in zip(names, values, strict=True)
        }
        return table


def run_bands(phonon: Any, points: int = BAND_POINTS) -> Bands:
    """Frequencies along the path that seekpath recommends for the crystal's lattice.

    Args:
        phonon: a Phonopy with force constants.
        points: on the longest piece.
    """
    import seekpath

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spglib, for seekpath
        # In the basis of this primitive cell, which need not be seekpath's.
        found = seekpath.get_path_orig_cell(phonon.primitive.totuple(), symprec=1e-3)
    coordinates, path = found["point_coords"], found["path"]
    reciprocal = np.linalg.inv(phonon.primitive.cell).T
    lengths = [np.linalg.norm((np.array(coordinates[b]) - coordinates[a]) @ reciprocal) for a, b in path]
    pieces = []
    for (first, last), length in zip(path, lengths, strict=True):
        number = max(2, round(points * float(length / max(lengths))))
        pieces.append(np.linspace(coordinates[first], coordinates[last], number))
    connected = [path[i][1] == path[i + 1][0] for i in range(len(path) - 1)] + [False]
    labels = [pretty(name) for name in _corners(path)]
    phonon.run_band_structure(pieces, path_connections=connected, labels=labels, is_legacy_plot=False)
    result = phonon.band_structure
    return Bands(
        labels=tuple((pretty(a), pretty(b)) for a, b in path),
        qpoints=tuple(np.array(it) for it in result.qpoints),
        distances=tuple(np.array(it) for it in result.distances),
        frequencies=tuple(np.array(it) for it in result.frequencies),
    )


def run_dos(phonon: Any, mesh_length_A: float = PROJECTED_MESH_LENGTH) -> DensityOfStates:
    """Densities of states on a mesh of q-points, by tetrahedra, projected onto elements.

    Symmetry moves atoms only to atoms of their element, so that sums over an element are the same at all q-points of a
    star: one of each is enough, where projections onto single atoms need all of them. Each value is the mean over its
    interval, so that no mode is lost between two points, as those of flat bands would be.

    The mesh is one of its own; phonopy's mesh is that one afterwards.

    Args:
        phonon: a Phonopy with force constants.
        mesh_length_A: q-points are 2π over this apart.
    """
    from phonopy.phonon.spectrum import TetrahedronDOSAccumulator

    phonon.run_mesh(mesh_length_A, with_eigenvectors=True)
    mesh = phonon.mesh
    frequencies = mesh.frequencies
    symbols = np.array(phonon.primitive.symbols)
    elements = list(dict.fromkeys(symbols.tolist()))
    points, components, modes = mesh.eigenvectors.shape
    by_atom = np.square(np.abs(mesh.eigenvectors)).reshape(points, components // 3, 3, modes).sum(axis=2)
    shares = np.stack([by_atom[:, symbols == element].sum(axis=1) for element in elements], axis=-1)
    low, high = float(frequencies.min()), float(frequencies.max())
    margin = DOS_MARGIN * (high - low)
    edges = np.linspace(low - margin, high + margin, DOS_POINTS + 1)
    found = TetrahedronDOSAccumulator(
        frequencies,
        mesh.bz_grid,
        mode_property=shares[None],
        ir_grid_points=mesh.ir_grid_points,
        ir_grid_weights=mesh.weights,
        ir_grid_map=mesh.grid_mapping_table,
        sampling_points=edges,
    ).result
    means = np.diff(found.cumulative[0], axis=0) / (edges[1] - edges[0])  # (points, elements)
    return DensityOfStates((edges[1:] + edges[:-1]) / 2, dict(zip(elements, means.T, strict=True)))


def run_mesh(phonon: Any, mesh_length_A: float = MESH_LENGTH) -> None:
    """Frequencies on a mesh of the q-points that differ, kept in `phonon`."""
    phonon.run_mesh(mesh_length_A)


def run_thermal(phonon: Any, temperatures_K: Array) -> Thermal:
    """Free energy, entropy and heat capacity of the harmonic crystal, from the mesh; imaginary modes are left out."""
    # The acoustic modes at Γ are whole moves of the crystal: rounding makes them anything around zero.
    phonon.run_thermal_properties(temperatures=temperatures_K, exclude_gamma_acoustic=True)
    result, atoms = phonon.thermal_properties, len(phonon.primitive)
    counts = Formula("".join(phonon.primitive.symbols)).reduce()[0].count()
    return Thermal(
        temperatures_K=np.array(result.temperatures),
        free_energy_kJ_per_mol=np.array(result.free_energy) / atoms,
        entropy_J_per_K_mol=np.array(result.entropy) / atoms,
        heat_capacity_J_per_K_mol=np.array(result.heat_capacity) / atoms,
        atoms_per_formula=sum(counts.values()),
    )


def pretty(name: str) -> str:
    """Seekpath's name of a point as people write it."""
    return name.replace("GAMMA", "Γ").replace("SIGMA", "Σ").replace("DELTA", "Δ").replace("LAMBDA", "Λ")


def _corners(path: list[tuple[str, str]]) -> list[str]:
    """The names of the path's ends, one where two pieces hang together: as phonopy has them."""
    names = [path[0][0]]
    for i, (_, last) in enumerate(path):
        names.append(last)
        if i + 1 < len(path) and path[i + 1][0] != last:
            names.append(path[i + 1][0])
    return names
