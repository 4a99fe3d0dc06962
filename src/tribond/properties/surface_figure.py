"""The figure of surfaces: the Wulff shape and the energies."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tribond.results.figures import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tribond.properties.surface import Surfaces


def draw(found: "Surfaces", label: str = "") -> "Figure":
    """The shape of the crystal, faces in colours, beside the energies of all terminations.

    Args:
        found: to draw.
        label: of the title.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    from tribond.properties.surface import J_PER_M2, face

    millers = list(dict.fromkeys(it.miller for it in found.surfaces))
    colors = {miller: COLORS[i % len(COLORS)] for i, miller in enumerate(millers)}
    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 3.8), layout="constrained")
        left: Any = figure.add_subplot(1, 2, 1, projection="3d")
        right = figure.add_subplot(1, 2, 2)
    left.set_axis_off()
    if found.wulff is None:
        left.text2D(0.5, 0.5, "no Wulff shape", ha="center", transform=left.transAxes)
    else:
        points = []
        for facet in found.wulff.facets:
            if len(facet.points) == 0:
                continue
            corners = np.array(found.wulff.get_line_in_facet(facet))
            points.append(corners)
            color = colors[millers[int(facet.m_ind_orig)]]  # the faces in their order
            left.add_collection3d(Poly3DCollection([corners], facecolor=color, edgecolor="black", linewidth=0.8))
        size = float(np.abs(np.concatenate(points)).max())
        left.set(xlim=(-size, size), ylim=(-size, size), zlim=(-size, size))
        left.set_box_aspect((1, 1, 1), zoom=1.3)
    names = [f"{face(it.miller)}{'' if it.termination == 0 else f' #{it.termination}'}" for it in found.surfaces]
    values = [it.energy_eV_per_A2 * J_PER_M2 for it in found.surfaces]
    unrelaxed = [it.unrelaxed_eV_per_A2 * J_PER_M2 for it in found.surfaces]
    places = np.arange(len(names))
    right.barh(places, values, color=[colors[it.miller] for it in found.surfaces])
    right.plot(unrelaxed, places, "|", color="black", markersize=10, label="before relaxation")
    right.set_yticks(places, names)
    right.invert_yaxis()
    right.set_xlabel("surface energy (J/m²)")
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12))
    figure.suptitle(label, fontsize=10, parse_math=False)
    return figure
