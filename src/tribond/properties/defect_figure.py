"""The figure of point defects: what each of them costs."""

from typing import TYPE_CHECKING

import numpy as np

from tribond.results.figures import COLORS, GUIDE, new_figure, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tribond.properties.defect import Defects

KINDS = ("vacancy", "substitution", "interstitial")


def draw(found: "Defects", label: str = "") -> "Figure":
    """Formation energies as bars, before relaxation as a line, and the chemical potentials that they stand on.

    Args:
        found: to draw.
        label: of the title.
    """
    figure, (axes,) = new_figure(height=1.6 + 0.32 * len(found.defects))
    colors = dict(zip(KINDS, COLORS, strict=False))
    for place, it in enumerate(found.defects):
        color = colors[it.plan.kind]
        if it.formation_eV is None:
            axes.plot([it.unrelaxed_eV], [place], "x", color=color, markersize=7)
            text, end = "not at rest", it.unrelaxed_eV
        else:
            axes.barh(place, it.formation_eV, color=color, height=0.7)
            text, end = f"{it.formation_eV:.2f}", it.formation_eV
        axes.annotate(
            text,
            (max(end, 0.0), place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.axvline(0, color=GUIDE, linewidth=1)
    axes.set_yticks(np.arange(len(found.defects)), [it.plan.name for it in found.defects], parse_math=False)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    potentials = ", ".join(f"μ({symbol}) = {it.eV:.3f} eV" for symbol, it in found.potentials.items())
    axes.set_xlabel(f"formation energy (eV), with {potentials}", fontsize=9, parse_math=False)
    title(axes, f"{label}: images {found.image_distance_A:.1f} Å apart" if label else "")
    for kind in dict.fromkeys(it.plan.kind for it in found.defects):
        axes.bar([0], [0], color=colors[kind], label=kind)
    if len({it.plan.kind for it in found.defects}) > 1:
        axes.legend(frameon=False, loc="best")
    return figure
