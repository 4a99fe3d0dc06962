"""What follows from an elastic tensor: moduli, stability, velocities of sound, Young's modulus in a direction."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRID = 61  # polar angles: an odd number has the equator among them
SEARCH = {"xatol": 1e-7, "fatol": 1e-12}


@dataclass(frozen=True)
class Moduli:
    """Of a polycrystal, after Voigt (even strain), Reuss (even stress) and Hill (their mean)."""

    bulk_modulus_voigt_GPa: float
    bulk_modulus_reuss_GPa: float
    bulk_modulus_GPa: float  # Hill
    shear_modulus_voigt_GPa: float
    shear_modulus_reuss_GPa: float
    shear_modulus_GPa: float  # Hill
    youngs_modulus_GPa: float  # of Hill's moduli
    poisson_ratio: float
    pugh_ratio: float  # bulk / shear
    universal_anisotropy: float  # Ranganathan and Ostoja-Starzewski, PRL 101, 055504 (2008); 0 is isotropic
    youngs_modulus_smallest_GPa: float  # of all directions
    youngs_modulus_largest_GPa: float
    eigenvalues_GPa: tuple[float, ...]  # of the tensor in Mandel's notation
    mechanically_stable: bool  # all of them positive: Born's criterion for any symmetry
    longitudinal_velocity_m_per_s: float | None  # None where unstable
    transverse_velocity_m_per_s: float | None
    debye_temperature_K: float | None

    def summary(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def moduli(tensor: Array, atoms: Atoms) -> Moduli:
    """Moduli of a crystal.

    Args:
        tensor: (6, 6) GPa, Voigt.
        atoms: the crystal, for its density.

    Raises:
        numpy.linalg.LinAlgError: for a singular tensor.
    """
    C, S = tensor, np.linalg.inv(tensor)
    diagonal, off = C[0, 0] + C[1, 1] + C[2, 2], C[0, 1] + C[0, 2] + C[1, 2]
    K_voigt = (diagonal + 2 * off) / 9
    G_voigt = (diagonal - off + 3 * (C[3, 3] + C[4, 4] + C[5, 5])) / 15
    diagonal, off = S[0, 0] + S[1, 1] + S[2, 2], S[0, 1] + S[0, 2] + S[1, 2]
    K_reuss = 1 / (diagonal + 2 * off)
    G_reuss = 15 / (4 * diagonal - 4 * off + 3 * (S[3, 3] + S[4, 4] + S[5, 5]))
    K, G = (K_voigt + K_reuss) / 2, (G_voigt + G_reuss) / 2
    weights = np.array([1, 1, 1, np.sqrt(2), np.sqrt(2), np.sqrt(2)])
    eigenvalues = np.linalg.eigvalsh(C * np.outer(weights, weights))
    stable = bool(eigenvalues.min() > 0)
    softest, stiffest = youngs_extremes(C)
    longitudinal, transverse, debye = velocities(K, G, atoms) if stable else (None, None, None)
    return Moduli(
        bulk_modulus_voigt_GPa=float(K_voigt),
        bulk_modulus_reuss_GPa=float(K_reuss),
        bulk_modulus_GPa=float(K),
        shear_modulus_voigt_GPa=float(G_voigt),
        shear_modulus_reuss_GPa=float(G_reuss),
        shear_modulus_GPa=float(G),
        youngs_modulus_GPa=float(9 * K * G / (3 * K + G)),
        poisson_ratio=float((3 * K - 2 * G) / (2 * (3 * K + G))),
        pugh_ratio=float(K / G),
        universal_anisotropy=float(5 * G_voigt / G_reuss + K_voigt / K_reuss - 6),
        youngs_modulus_smallest_GPa=softest,
        youngs_modulus_largest_GPa=stiffest,
        eigenvalues_GPa=tuple(float(value) for value in eigenvalues),
        mechanically_stable=stable,
        longitudinal_velocity_m_per_s=longitudinal,
        transverse_velocity_m_per_s=transverse,
        debye_temperature_K=debye,
    )


def velocities(bulk_GPa: float, shear_GPa: float, atoms: Atoms) -> tuple[float, float, float]:
    """Longitudinal and transverse velocity of sound, m/s, and the Debye temperature, K.

    θ = ħ/k (6 π² n)^(1/3) v with 3/v³ = 1/v_l³ + 2/v_t³ (Anderson, J. Phys. Chem. Solids 24, 909 (1963)).
    """
    volume = atoms.get_volume() * 1e-30  # m³
    density = atoms.get_masses().sum() * units._amu / volume  # noqa: SLF001, ASE's constants in SI have these names
    longitudinal = np.sqrt((bulk_GPa + 4 / 3 * shear_GPa) * 1e9 / density)
    transverse = np.sqrt(shear_GPa * 1e9 / density)
    mean = (3 / (longitudinal**-3 + 2 * transverse**-3)) ** (1 / 3)
    wave_number = (6 * np.pi**2 * len(atoms) / volume) ** (1 / 3)
    debye = units._hbar / units._k * wave_number * mean  # noqa: SLF001
    return float(longitudinal), float(transverse), float(debye)


def youngs_modulus(tensor: Array, directions: Array) -> Array:
    """Young's modulus along directions: 1 / (n n S n n).

    Args:
        tensor: (6, 6) GPa, Voigt.
        directions: (..., 3) unit vectors.

    Returns:
        (...,) GPa.
    """
    x, y, z = np.moveaxis(directions, -1, 0)
    six = np.stack([x * x, y * y, z * z, y * z, x * z, x * y], axis=-1)
    return 1 / np.einsum("...i,ij,...j->...", six, np.linalg.inv(tensor), six)


def youngs_extremes(tensor: Array) -> tuple[float, float]:
    """The smallest and the largest Young's modulus of all directions, GPa.

    A grid alone misses what is narrow, such as the stiff plane of a layered crystal: the search goes on from its best
    points. Where the crystal is unstable and the modulus has poles, the grid is all.

    Args:
        tensor: (6, 6) GPa, Voigt.
    """
    from scipy.optimize import minimize

    vectors, theta, phi = sphere(GRID, 2 * GRID - 1)
    young = youngs_modulus(tensor, vectors)
    if not (young > 0).all():
        return float(young.min()), float(young.max())

    def modulus(angles: Array) -> float:
        direction = np.array(
            [np.sin(angles[0]) * np.cos(angles[1]), np.sin(angles[0]) * np.sin(angles[1]), np.cos(angles[0])]
        )
        return float(youngs_modulus(tensor, direction))

    low, high = float(young.min()), float(young.max())
    softest, stiffest = (np.unravel_index(point, young.shape) for point in (young.argmin(), young.argmax()))
    down = minimize(lambda it: modulus(it) / low, [theta[softest], phi[softest]], method="Nelder-Mead", options=SEARCH)
    up = minimize(
        lambda it: -modulus(it) / high, [theta[stiffest], phi[stiffest]], method="Nelder-Mead", options=SEARCH
    )
    return float(down.fun) * low, -float(up.fun) * high


def sphere(polar: int, azimuthal: int) -> tuple[Array, Array, Array]:
    """Unit vectors on a grid (polar, azimuthal, 3), and the two angles, each (polar, azimuthal)."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, polar), np.linspace(0, 2 * np.pi, azimuthal), indexing="ij")
    vectors = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    return vectors, theta, phi
