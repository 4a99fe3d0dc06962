"""The figure of an elastic tensor: Young's modulus in all directions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tribond.properties.elastic_moduli import Moduli, sphere, youngs_modulus
from tribond.results.figures import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLANES = (("xy", 0, 1), ("xz", 0, 2), ("yz", 1, 2))


def draw(tensor: np.ndarray, moduli: Moduli, label: str = "") -> "Figure":
    """A surface whose distance from the middle is Young's modulus, and its cuts with the planes of the axes.

    Args:
        tensor: (6, 6) GPa, Voigt.
        moduli: that follow from it.
        label: of the title.
    """
    from matplotlib import colormaps, rc_context
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 3.9), layout="constrained")
        left = figure.add_subplot(1, 2, 1, projection="3d")
        right: Any = figure.add_subplot(1, 2, 2, projection="polar")
    vectors, *_ = sphere(61, 121)  # with poles and equator
    young = youngs_modulus(tensor, vectors)
    low, high = moduli.youngs_modulus_smallest_GPa, moduli.youngs_modulus_largest_GPa
    if high - low < 0.02 * high:  # isotropic: one colour, not rounding
        low, high = 0.9 * low, 1.1 * high
    norm, colors = Normalize(low, high), colormaps["viridis"]
    x, y, z = np.moveaxis(vectors * young[..., None], -1, 0)
    left.plot_surface(
        x, y, z, facecolors=colors(norm(young)), rstride=1, cstride=1, linewidth=0, antialiased=False, shade=False
    )
    size = moduli.youngs_modulus_largest_GPa
    left.set(xlim=(-size, size), ylim=(-size, size), zlim=(-size, size), xlabel="x", ylabel="y", zlabel="z")
    left.set_box_aspect((1, 1, 1))
    left.locator_params(nbins=5)
    left.tick_params(labelsize=7, pad=0)
    figure.colorbar(
        ScalarMappable(norm, colors), ax=left, shrink=0.65, pad=0.14, label="Young's modulus (GPa)", location="left"
    )
    angles = np.linspace(0, 2 * np.pi, 361)
    for (name, first, second), color, line in zip(PLANES, COLORS, ("-", "--", ":"), strict=False):
        directions = np.zeros((len(angles), 3))
        directions[:, first], directions[:, second] = np.cos(angles), np.sin(angles)
        right.plot(angles, youngs_modulus(tensor, directions), color=color, linestyle=line, label=f"{name} plane")
    right.set_rlim(0, 1.05 * size)
    right.yaxis.set_major_locator(MaxNLocator(4, prune="lower"))
    right.tick_params(labelsize=8)
    right.set_rlabel_position(22.5)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, frameon=False)
    text = f"{label}: Young's modulus (GPa), anisotropy A = {moduli.universal_anisotropy:.2f}"
    figure.suptitle(text, fontsize=10, parse_math=False)
    return figure
