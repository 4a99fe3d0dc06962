"""The shape of a crystal in equilibrium. pymatgen builds it; this file says which faces symmetry makes the same."""

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from tribond.properties.strains import SYMPREC
from tribond.properties.symmetry import symmetry_of

logger = logging.getLogger(__name__)

Miller = tuple[int, int, int]


def wulff_shape(crystal: Atoms, energies: Mapping[Miller, float]) -> Any:
    """Pymatgen's WulffShape; None where energies or faces make none.

    Args:
        crystal: the cell that the Miller indices belong to.
        energies: eV/Å² of each face; of those that symmetry makes the same, the first counts.
    """
    from pymatgen.analysis.wulff import WulffFacet, WulffShape
    from pymatgen.core import Lattice

    class Shape(WulffShape):
        """With the faces of the crystal's point group.

        pymatgen takes that of the lattice, which may be higher: (1 0 1) and (0 1 1) of a trigonal crystal in its hexagonal
        cell would be one face, and the energy of the second would be dropped.
        """

        def _get_all_miller_e(self) -> list[Any]:
            reciprocal = self.structure.lattice.reciprocal_lattice_crystallographic
            planes: dict[Miller, Any] = {}
            for index, (face, energy) in enumerate(zip(self.hkl_list, self.e_surf_list, strict=True)):
                color = self.color_ind[index % len(self.color_ind)]
                for image in equivalent_faces(crystal, face):
                    if image not in planes:
                        normal = reciprocal.get_cartesian_coords(image)
                        normal /= np.linalg.norm(normal)
                        near, dual = list(normal * energy), list(normal / energy)
                        planes[image] = WulffFacet(normal, energy, near, dual, color, index, face)
            return sorted(planes.values(), key=lambda plane: plane.e_surf)

    if min(energies.values()) <= 0:
        logger.warning("a surface energy is not positive: the crystal would fall apart, and has no Wulff shape")
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Shape(Lattice(crystal.cell.array), list(energies), list(energies.values()))
        except Exception as error:  # noqa: BLE001, whatever scipy's hull says of faces that enclose nothing
            logger.warning("these faces enclose no crystal, so that there is no Wulff shape (%s)", type(error).__name__)
            return None


def equivalent_faces(crystal: Atoms, face: Miller) -> list[Miller]:
    """A face and those that the point group makes of it, in some order.

    The inversion is added: a slab has both sides, (h k l) and (-h -k -l), and one energy.

    Args:
        crystal: the cell that the Miller indices belong to.
        face: Miller indices.
    """
    found = symmetry_of(crystal, SYMPREC)
    rotations = np.eye(3, dtype=int)[None] if found is None else found.rotations
    images = np.array(face) @ rotations  # indices are a row: x' = W x takes h to h W⁻¹, and W⁻¹ is in the group, too
    return list(dict.fromkeys((int(h), int(k), int(l)) for h, k, l in np.concatenate([images, -images])))
