"""The picture of a calibration: how many errors lie within the spread, against how many should."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tribond.evaluation.calibration import Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration_plot(calibrations: Mapping[str, Calibration], heading: str) -> "Figure":
    """One panel a quantity; the shaded area is the miscalibration area.

    Args:
        calibrations: by the name of the quantity.
        heading: what was evaluated.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(calibrations), 4.6), layout="compressed")
    figure.suptitle(heading, parse_math=False)
    panels = figure.subplots(1, len(calibrations), squeeze=False)[0]
    for axes, (name, found) in zip(panels, calibrations.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, alpha=0.6)
        axes.fill_between(found.expected, found.expected, found.observed, alpha=0.25)
        axes.plot(found.expected, found.observed)
        text = f"miscalibration area {found.area:.3f}"
        if found.scale is not None and found.scaled_area is not None:
            text += f"\nspread × {found.scale:.2f}: {found.scaled_area:.3f}"
        axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize="small")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=name)
        axes.set(xlabel="fraction expected within the interval", ylabel="fraction observed")
    return figure
