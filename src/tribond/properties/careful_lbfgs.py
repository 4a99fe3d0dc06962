"""ASE's LBFGS, which does not learn from hills."""

from typing import Any

import numpy as np
from ase.optimize import LBFGS

LEAST_CURVATURE = 1e-3  # eV/Å² | along a step


class CarefulLBFGS(LBFGS):
    """LBFGS that forgets steps along which the energy curves down.

    Where it does, near a saddle, the formula of Broyden, Fletcher, Goldfarb and Shanno gives an inverse Hessian that is not
    positive: ASE's steps then lead up, back to the saddle, and stay there. Leaving these steps out of the memory is the
    usual remedy (Nocedal and Wright, Numerical Optimization, 2nd edition, section 18.3). Elsewhere nothing changes.
    """

    def update(self, pos: Any, forces: Any, r0: Any, f0: Any) -> None:
        """Remember the last step, if the energy curved up along it.

        Args:
            pos: where it ended, flat or (atoms, 3).
            forces: there.
            r0: where it began.
            f0: the forces there.
        """
        memory: Any = getattr(self, "state", self)  # ASE before 3.28 keeps it in the optimizer
        if memory.iteration == 0:
            return
        step = np.ravel(pos - r0)
        if np.ravel(f0 - forces) @ step > LEAST_CURVATURE * (step @ step):
            super().update(pos, forces, r0, f0)
        else:
            memory.iteration = len(memory.s)  # as many steps as are remembered
