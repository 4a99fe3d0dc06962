"""Figures in one style, as PNG for slides and SVG for print. No pyplot: no window, nothing global is left changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tribond.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart, the darkest first.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GUIDE = "#888888"  # of lines that guide the eye: targets, zeros, Fermi levels
WIDTH = 6.4  # inches
DPI = 200
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "legend.fontsize": 9,
    "mathtext.default": "regular",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tribond",  # the same figure is the same file
}


def new_figure(
    rows: int = 1, columns: int = 1, *, height: float | None = None, width: float = WIDTH, **subplots: Any
) -> "tuple[Figure, list[Axes]]":
    """An empty figure in the style of all.

    Args:
        rows: of panels.
        columns: of panels.
        height: inches; about 60 % of a panel's width each if left out.
        width: inches.
        subplots: what else `Figure.subplots` takes, such as sharex.

    Returns:
        The figure and its panels, row by row.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height or 0.6 * width / columns * rows + 0.4), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False, **subplots).flat)
    for axes in panels:
        axes.set_prop_cycle(color=COLORS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, panels


def title(axes: "Axes", text: str) -> None:
    """What the figure shows: file names may hold signs that would be taken for formulas."""
    axes.set_title(text, loc="left", parse_math=False)


def save_figure(figure: "Figure", png: Path, svg: Path) -> None:
    """Write the figure twice, each file whole or not at all.

    Args:
        figure: to draw.
        png: path that ends in .png.
        svg: path that ends in .svg.
    """
    save_png(figure, png)
    _save(figure, svg, {"Date": None, "Creator": "tribond"})


def save_png(figure: "Figure", path: Path) -> None:
    """Write the figure as PNG alone, whole or not at all."""
    _save(figure, path, {"Software": None})


def _save(figure: "Figure", path: Path, metadata: dict[str, str | None]) -> None:
    from matplotlib import rc_context

    with rc_context(STYLE), atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=path.suffix[1:], metadata=metadata)
