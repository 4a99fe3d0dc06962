"""Parity plots: predictions against labels, with the density of points as colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tribond.evaluation.metrics import Errors, EvaluationReport, FrameResult
from tribond.units import EV_PER_A3_TO_GPA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELLS = 60  # hexagons across a panel


@dataclass(frozen=True)
class _Panel:
    title: str
    unit: str
    labels: NDArray[np.float64]
    predictions: NDArray[np.float64]
    text: str


def parity_plot(report: EvaluationReport, model: str = "model") -> "Figure":
    """Energy per atom, forces and stress against their labels, one panel for each that has labels.

    Args:
        report: from `evaluate_frames`.
        model: its name, for the axes.

    Returns:
        A matplotlib figure that belongs to no window; `png` turns it into bytes.
    """
    from matplotlib.figure import Figure

    panels = _panels(report)
    figure = Figure(figsize=(4.6 * max(len(panels), 1), 4.6), layout="compressed")
    figure.suptitle(f"{Path(report.name).name}: {report.frames} structures, {report.atoms} atoms", parse_math=False)
    for axes, panel in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels, strict=False):
        _draw(axes, panel, model)
    return figure


def png(figure: "Figure") -> bytes:
    """The figure as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _panels(report: EvaluationReport) -> list[_Panel]:
    panels = []
    if report.energy is not None:
        pairs = [(r.frame.energy, r.prediction.energy, len(r.frame.atoms)) for r in report.results]
        labels, predictions = _columns([(e / n, p / n) for e, p, n in pairs if e is not None])
        text = _text(report.energy, "meV/atom", 1)
        if report.energy_shifted is not None:
            text += f"\nelements shifted: {report.energy_shifted.mae:.1f}, {report.energy_shifted.rmse:.1f}"
        panels.append(_Panel("energy", "eV/atom", labels, predictions, text))
    if report.forces is not None:
        labels, predictions = _columns(_pairs(report.results, "forces"))
        panels.append(_Panel("forces", "eV/Å", labels, predictions, _text(report.forces, "meV/Å", 1)))
    if report.stress is not None:
        labels, predictions = _columns(_pairs(report.results, "stress"))
        factor = EV_PER_A3_TO_GPA
        panels.append(_Panel("stress", "GPa", labels * factor, predictions * factor, _text(report.stress, "GPa", 3)))
    return panels


def _pairs(results: Sequence[FrameResult], name: str) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    pairs = [(getattr(result.frame, name), getattr(result.prediction, name)) for result in results]
    return [pair for pair in pairs if pair[0] is not None and pair[1] is not None]


def _columns(pairs: Sequence[tuple[object, object]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    labels, predictions = (np.concatenate([np.ravel(np.asarray(pair[side])) for pair in pairs]) for side in (0, 1))
    return labels, predictions


def _text(errors: Errors, unit: str, digits: int) -> str:
    return f"MAE {errors.mae:.{digits}f} {unit}\nRMSE {errors.rmse:.{digits}f} {unit}"


def _draw(axes: "Axes", panel: _Panel, model: str) -> None:
    low = float(min(panel.labels.min(), panel.predictions.min()))
    high = float(max(panel.labels.max(), panel.predictions.max()))
    margin = 0.04 * (high - low) or 0.5  # a single point needs room as well
    low, high = low - margin, high + margin
    hexagons = axes.hexbin(
        panel.labels,
        panel.predictions,
        gridsize=CELLS,
        extent=(low, high, low, high),
        bins="log",
        mincnt=1,
        cmap="viridis",
        linewidths=0.2,
    )
    axes.plot([low, high], [low, high], color="black", linewidth=0.8, alpha=0.6)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=panel.title)
    axes.set_xlabel(f"label ({panel.unit})")
    axes.set_ylabel(f"{model} ({panel.unit})", parse_math=False)
    axes.text(0.04, 0.96, panel.text, transform=axes.transAxes, va="top", fontsize="small")
    bar = axes.figure.colorbar(hexagons, ax=axes, shrink=0.75)
    bar.set_label("structures" if panel.title == "energy" else "components")
