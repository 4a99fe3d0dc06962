"""The figure of an equation of state."""

from typing import TYPE_CHECKING

import numpy as np

from tribond.results.figures import COLORS, GUIDE, new_figure, title
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tribond.properties.eos import Curve
    from tribond.properties.eos_fit import Fit


def draw(curve: "Curve", fit: "Fit | None", label: str = "") -> "Figure":
    """Energies against volume per atom with the fit, and below what the fit leaves.

    Args:
        curve: the points.
        fit: the equation; None draws the points alone.
        label: of the title.
    """
    atoms = len(curve.structures[0])
    volumes, energies = curve.volumes / atoms, curve.energies / atoms
    zero = energies.min() if fit is None else fit.E0 / atoms
    if fit is None:
        figure, (top,) = new_figure(height=4.0)
        bottom = top
    else:
        figure, (top, bottom) = new_figure(2, height=4.8, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
    title(top, label)
    if fit is not None:
        line = np.linspace(curve.volumes[0], curve.volumes[-1], 200)
        top.plot(line / atoms, (fit.energy(line) / atoms - zero) * 1000, color=COLORS[0], label=fit.equation)
        top.axvline(fit.V0 / atoms, color=GUIDE, linestyle=":", linewidth=1)
        text = (
            f"V₀ = {fit.V0 / atoms:.4f} ± {fit.V0_error / atoms:.4f} Å³/atom\n"
            f"B₀ = {fit.B0 * EV_PER_A3_TO_GPA:.2f} ± {fit.B0_error * EV_PER_A3_TO_GPA:.2f} GPa\n"
            f"B₀′ = {fit.B0_prime:.2f} ± {fit.B0_prime_error:.2f}"
        )
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        top.text(0.5, 0.97, text, transform=top.transAxes, ha="center", va="top", parse_math=False, bbox=box)
        left = (curve.energies - fit.energy(curve.volumes)) / atoms * 1000
        bottom.axhline(0, color=GUIDE, linewidth=1)
        bottom.plot(volumes, left, color=COLORS[1], marker="o", markersize=4, linewidth=0.8)
        bottom.set_ylabel("residual\n(meV/atom)")
    top.plot(volumes, (energies - zero) * 1000, "o", color=COLORS[1], markersize=5, label="computed")
    top.legend(loc="center", bbox_to_anchor=(0.5, 0.6), frameon=False)
    top.set_ylabel("energy (meV/atom)")
    bottom.set_xlabel("volume (Å³/atom)")
    return figure
