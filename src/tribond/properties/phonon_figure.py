"""Figures of phonons."""

from typing import TYPE_CHECKING

import numpy as np

from tribond.properties.phonon_spectrum import Bands, DensityOfStates, Thermal
from tribond.results.figures import COLORS, GUIDE, new_figure, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_bands(bands: Bands, dos: DensityOfStates, label: str = "") -> "Figure":
    """Bands on the left, densities of states on the right; below zero stands what is imaginary.

    Args:
        bands: along a path.
        dos: by element.
        label: of the title.
    """
    figure, (left, right) = new_figure(1, 2, height=4.2, width=8.0, sharey=True, gridspec_kw={"width_ratios": [3.2, 1]})
    title(left, label)
    ticks: list[float] = []
    names: list[str] = []
    for (first, last), distances, frequencies in zip(bands.labels, bands.distances, bands.frequencies, strict=True):
        left.plot(distances, frequencies, color=COLORS[0], linewidth=1.1)
        for name, place in ((first, float(distances[0])), (last, float(distances[-1]))):
            if ticks and abs(ticks[-1] - place) < 1e-6:
                names[-1] = name if names[-1] == name else f"{names[-1]}|{name}"
            else:
                ticks.append(place)
                names.append(name)
    left.set_xticks(ticks, [_subscripts(name) for name in names])
    left.set_xlim(ticks[0], ticks[-1])
    left.grid(visible=False, axis="y")
    for place in ticks:
        left.axvline(place, color=GUIDE, linewidth=0.6)
    left.set_ylabel("frequency (THz)")
    low, high = min(it.min() for it in bands.frequencies), max(it.max() for it in bands.frequencies)
    left.set_ylim(1.05 * low if low < -0.1 else 0.0, 1.05 * high)
    right.plot(dos.total, dos.frequencies, color=COLORS[-1], linewidth=1.1, label="total")
    if len(dos.by_element) > 1:
        for color, (symbol, values) in zip(COLORS * 20, dos.by_element.items(), strict=False):
            right.plot(values, dos.frequencies, color=color, linewidth=1.1, label=symbol)
            right.fill_betweenx(dos.frequencies, 0, values, color=color, alpha=0.2, linewidth=0)
        right.legend(frameon=False, loc="best")
    right.set_xlim(left=0)
    right.set_xlabel("states (1/THz)")
    for axes in (left, right):
        axes.axhline(0, color=GUIDE, linewidth=0.8)
    return figure


def draw_thermal(thermal: Thermal, label: str = "") -> "Figure":
    """Heat capacity and entropy, and the free energy below, against temperature.

    Args:
        thermal: per mole of atoms.
        label: of the title.
    """
    figure, (top, bottom) = new_figure(2, height=5.4, sharex=True)
    title(top, label)
    temperatures = thermal.temperatures_K
    top.plot(temperatures, thermal.heat_capacity_J_per_K_mol, color=COLORS[0], label="heat capacity $C_V$")
    top.plot(temperatures, thermal.entropy_J_per_K_mol, color=COLORS[1], label="entropy S")
    top.axhline(3 * 8.314462618, color=GUIDE, linestyle="--", linewidth=1, label="3 R")
    top.set_ylabel("J/K per mol of atoms")
    top.legend(frameon=False)
    bottom.plot(temperatures, thermal.free_energy_kJ_per_mol, color=COLORS[2])
    bottom.set_ylabel("free energy\n(kJ per mol of atoms)")
    bottom.set_xlabel("temperature (K)")
    bottom.set_xlim(0, float(np.max(temperatures)))
    return figure


def _subscripts(name: str) -> str:
    """M_2 as a formula."""
    return "|".join(f"${part}}}$".replace("_", "_{") if "_" in part else part for part in name.split("|"))
