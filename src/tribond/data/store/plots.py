"""Figures of what a store holds: a periodic table of counts, and histograms."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from tribond.data.store.report import element_counts, residuals_of
from tribond.data.store.store import Store
from tribond.results.figures import new_figure, save_figure, title
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 80
DECADE = 10.0  # a logarithmic axis of less has labels that overlap
# Noble gases end the periods; lanthanides and actinides stand below.
PERIODS = (2, 10, 18, 36, 54, 86, 118)


def write_plots(store: Store, folder: Path) -> list[Path]:
    """Draw everything.

    Args:
        store: to draw.
        folder: for the figures; made if need be.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for name, figure in (("elements", elements_figure(store)), ("histograms", histograms_figure(store))):
        pair = folder / f"{name}.png", folder / f"{name}.svg"
        save_figure(figure, *pair)
        files += pair
    return files


def place(number: int) -> tuple[int, int]:
    """Row and column of an element in the periodic table, from 0."""
    if 57 <= number <= 71:
        return 7, number - 57 + 2
    if 89 <= number <= 103:
        return 8, number - 89 + 2
    row = next(row for row, last in enumerate(PERIODS) if number <= last)
    before = 0 if row == 0 else PERIODS[row - 1]
    column = number - before - 1
    width = PERIODS[row] - before
    if width == 2:
        return row, 0 if column == 0 else 17
    if width == 8:
        return row, column if column < 2 else column + 10
    if width == 32 and column > 2:
        return row, column - 14
    return row, column


def elements_figure(store: Store) -> "Figure":
    """How many structures have each element."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    counts = element_counts(store)
    figure, (axes,) = new_figure(height=4.2, width=9.0)
    most = max(counts.values(), default=1)
    colors, norm = colormaps["viridis"], LogNorm(1, max(most, 2))
    for number in range(1, 119):
        symbol = chemical_symbols[number]
        row, column = place(number)
        count = counts.get(symbol, 0)
        color = colors(norm(count)) if count else "#f2f2f2"
        axes.add_patch(Rectangle((column, -row), 0.94, 0.94, facecolor=color, edgecolor="none"))
        ink = "#b0b0b0" if not count else "white" if norm(count) < 0.6 else "black"
        axes.text(column + 0.47, -row + 0.60, symbol, ha="center", va="center", fontsize=9, color=ink)
        if count:
            axes.text(column + 0.47, -row + 0.24, short(count), ha="center", va="center", fontsize=5.5, color=ink)
    axes.set_xlim(0, 18)
    axes.set_ylim(-8.1, 1)
    axes.set_aspect("equal")
    axes.axis("off")
    title(axes, f"structures with each element, of {len(store):,}")
    return figure


def short(count: int) -> str:
    """1234567 as 1.2M."""
    for limit, letter in ((10**6, "M"), (10**3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{letter}"
    return str(count)


def histograms_figure(store: Store) -> "Figure":
    """Energies, forces, stresses, volumes and distances; on logarithmic scales where there is a decade, so that rare ones are seen."""
    figure, panels = new_figure(3, 2, height=8.0, width=9.0)
    sizes = np.maximum(np.asarray(store.sizes), 1)
    energies = np.asarray(store.energies) / sizes
    for axes, draw in zip(panels, _histograms(store, energies, sizes), strict=True):
        draw(axes)
    return figure


def _histograms(store: Store, energies: NDArray[np.float64], sizes: NDArray[Any]) -> "list[Callable[[Axes], None]]":
    def by_level(axes: "Axes") -> None:
        known = [(name, energies[np.asarray(store.column("level") == row)]) for row, name in enumerate(store.levels)]
        _draw(axes, known, "energy, eV/atom")

    def left(axes: "Axes") -> None:
        shown = []
        for row, name in enumerate(store.levels):
            rows = np.flatnonzero((store.column("level") == row) & store.has("energy") & (store.sizes > 0))
            if len(rows):
                shown.append((name, residuals_of(store, rows)[0]))
        _draw(axes, shown, "energy without that of the elements, eV/atom")

    def one(values: NDArray[np.float64], label: str, *, logarithmic: bool = False) -> "Callable[[Axes], None]":
        return lambda axes: _draw(axes, [("", values)], label, logarithmic=logarithmic)

    return [
        by_level,
        left,
        one(np.asarray(store.largest_forces), "largest force component, eV/Å", logarithmic=True),
        one(np.asarray(store.largest_stresses) * EV_PER_A3_TO_GPA, "largest stress component, GPa", logarithmic=True),
        one(np.asarray(store.column("volume")) / sizes, "volume, Å³/atom", logarithmic=True),
        one(np.asarray(store.column("shortest"), dtype=np.float64), "shortest distance, Å"),
    ]


def _draw(
    axes: "Axes", series: list[tuple[str, NDArray[np.float64]]], label: str, *, logarithmic: bool = False
) -> None:
    known = [(name, values[np.isfinite(values) & ((values > 0) | (not logarithmic))]) for name, values in series]
    known = [(name, values) for name, values in known if len(values)]
    axes.set_xlabel(label)
    axes.set_ylabel("structures")
    if not known:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    together = np.concatenate([values for _, values in known])
    low, high = float(together.min()), float(together.max())
    if logarithmic and high > DECADE * low:
        low = max(low, high * 1e-6)
        edges = np.geomspace(low, max(high, low * 1.01), BINS + 1)
        axes.set_xscale("log")
    else:
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    style: Literal["step", "stepfilled"] = "step" if len(known) > 1 else "stepfilled"
    for name, values in known:
        axes.hist(np.clip(values, edges[0], edges[-1]), bins=edges.tolist(), histtype=style, label=name)
    if axes.get_ylim()[1] > DECADE:  # else bars of one structure would have no height
        axes.set_yscale("log")
    if len(known) > 1:
        axes.legend()
