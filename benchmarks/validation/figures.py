"""What was found, as figures: the potentials side by side, in the colours of all of tribond's figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.data import atomic_numbers
from matplotlib.lines import Line2D

from benchmarks.validation.literature import ACTIVATION_ENERGIES_EV, FREQUENCIES
from benchmarks.validation.statistics import common, differences, failed
from benchmarks.validation.tables import Results, arrhenius_of, read_section
from tribond.errors import DataError
from tribond.files import atomic_path
from tribond.results.figures import COLORS, GUIDE, STYLE, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
PALETTE = 64  # colours: four and their shades
CLIPPED = 25.0  # per cent of V0: what is farther off stands at the edge
LABELLED = 15.0  # per cent


def draw_all(folders: list[Path], images: Path) -> None:
    """Draw every figure whose sections are there.

    Args:
        folders: results of the potentials.
        images: folder for validation_*.png.
    """
    for name, section, draw in (
        ("elements", "elements", elements),
        ("moduli", "moduli", moduli),
        ("phonons", "bands", bands),
        ("lithium", "lithium", lithium),
    ):
        results = read_section(folders, section)
        if results:
            _save(draw(results), images / f"validation_{name}.png")


def elements(results: Results) -> "Figure":
    """Errors of V0 against the atomic number."""
    names = sorted(common(results), key=lambda name: atomic_numbers[name])
    figure, (axes,) = new_figure(1, 1, height=3.6, width=8.4)
    axes.axhline(0, color=GUIDE, linewidth=0.8)
    step = 1.0 / (len(results) + 1)
    farthest: dict[str, float] = {}
    for number, ((model, rows), color) in enumerate(zip(results.items(), COLORS, strict=False)):
        errors = differences(rows, names, "V0_A3_per_atom", relative=True)
        places = np.arange(len(names)) + (number + 1) * step - 0.5
        shown = np.clip(errors, -CLIPPED, CLIPPED)
        good = np.isfinite(errors)
        axes.plot(places[good], shown[good], "o", color=color, markersize=4, label=model)
        axes.vlines(places[good], 0, shown[good], color=color, linewidth=0.8, alpha=0.6)
        for name, error in zip(names, errors, strict=True):
            if np.isfinite(error) and abs(error) > max(LABELLED, abs(farthest.get(name, 0.0))):
                farthest[name] = float(error)
    _names(axes, names, farthest)
    axes.set_xticks(np.arange(len(names))[::2], names[::2], fontsize=7)
    axes.set_xlim(-1, len(names))
    axes.set_ylim(-CLIPPED - 7, CLIPPED + 5)
    axes.set_ylabel("V0: error against WIEN2k PBE (%)")
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, ncols=len(results), loc="lower right", fontsize=8)
    return figure


def _names(axes: "Axes", names: list[str], farthest: dict[str, float]) -> None:
    """Symbols at the points that are far off; those of neighbours on two levels."""
    levels: dict[str, int] = {}
    for name, error in sorted(farthest.items(), key=lambda it: names.index(it[0])):
        before = names[names.index(name) - 1]
        same_side = before in farthest and farthest[before] * error > 0
        levels[name] = 1 - levels[before] if same_side and before in levels else 0
    for name, error in farthest.items():
        place, height = names.index(name), float(np.clip(error, -CLIPPED, CLIPPED))
        shift = 5 + 9 * levels[name]
        offset = shift if error > 0 else -shift - 7
        axes.annotate(name, (place, height), (0, offset), textcoords="offset points", ha="center", fontsize=8)


def moduli(results: Results) -> "Figure":
    """Moduli of the potentials against those of PBE."""
    names = common(results)
    figure, panels = new_figure(2, len(results), height=5.6, width=2.9 * len(results), sharex="row", sharey="row")
    quantities = (("bulk modulus", "bulk_modulus_GPa", (3, 600)), ("shear modulus", "shear_modulus_GPa", (1, 400)))
    for row, (label, quantity, limits) in enumerate(quantities):
        for column, ((model, rows), color) in enumerate(zip(results.items(), COLORS, strict=False)):
            axes = panels[row * len(results) + column]
            good = [name for name in names if not failed(rows[name])]
            theirs = np.array([rows[name]["reference"][quantity] for name in good])
            mine = np.array([rows[name][quantity] for name in good])
            axes.plot(limits, limits, color=GUIDE, linewidth=0.8)
            axes.plot(theirs, np.clip(mine, *limits), "o", color=color, markersize=3, alpha=0.55, markeredgewidth=0)
            axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
            axes.set_aspect("equal")
            ratio = float(np.median(mine / theirs))
            said = f"{len(good)} of {len(names)}, median ratio {ratio:.2f}"
            axes.text(0.04, 0.94, said, transform=axes.transAxes, va="top", fontsize=9)
            if row == 0:
                title(axes, model)
            if row == len(quantities) - 1:
                axes.set_xlabel("PBE (GPa)")
            if column == 0:
                axes.set_ylabel(f"{label} (GPa)")
    return figure


def bands(results: Results) -> "Figure":
    """Bands of four crystals, all potentials in one panel, and measured frequencies."""
    crystals = [name for name in ("Si", "Cu", "NaCl", "MgO") if name in common(results)]
    figure, panels = new_figure(2, 2, height=6.2, width=8.4)
    for axes, crystal in zip(panels, crystals, strict=False):
        ticks: list[tuple[float, str]] = []
        for (_, rows), color in zip(results.items(), COLORS, strict=False):
            row = rows[crystal]
            if not failed(row):
                ticks = ticks or _ticks(row)
                _lines(axes, row, ticks[-1][0], color)
        _measured(axes, crystal, ticks)
        axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
        for place, _ in ticks:
            axes.axvline(place, color=GUIDE, linewidth=0.5)
        axes.set_xlim(ticks[0][0], ticks[-1][0])
        axes.set_ylim(bottom=0)
        axes.set_ylabel("frequency (THz)")
        axes.grid(visible=False)
        title(axes, crystal)
    handles = [Line2D([], [], color=color, label=model) for model, color in zip(results, COLORS, strict=False)]
    handles.append(Line2D([], [], color="k", marker="o", linestyle="", markersize=5, label="measured"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def lithium(results: Results) -> "Figure":
    """Diffusion coefficients against the temperature, with the fits, and the slope that was published."""
    figure, (axes,) = new_figure(1, 1, height=3.8, width=5.6)
    for number, ((model, rows), color) in enumerate(zip(results.items(), COLORS, strict=False)):
        good = [row for row in rows.values() if not failed(row)]
        T = np.array([row["reference"]["temperature_K"] for row in good])
        D = np.array([row["lithium"]["coefficient_cm2_per_s"] for row in good])
        error = np.array([row["lithium"]["error_cm2_per_s"] for row in good])
        label = model
        try:
            fit = arrhenius_of(rows)
            label += f": {fit.activation_energy_eV:.2f} ± {fit.activation_energy_error_eV:.2f} eV"
            line = np.linspace(T.min(), T.max(), 50)
            axes.plot(1000 / line, [fit.coefficient(t) for t in line], color=color, linewidth=1)
        except DataError:
            pass
        axes.errorbar(1000 / T, D, error, fmt="o", color=color, markersize=5, capsize=2, label=label)
        if number == 0:
            _published(axes, T, float(D.min()))
    axes.set_yscale("log")
    axes.set_xlabel("1000 K / T")
    axes.set_ylabel("D of Li (cm²/s)")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _published(axes: "Axes", temperatures: np.ndarray, lowest: float) -> None:
    """Lines that have the published slopes; their heights mean nothing."""
    line = np.linspace(temperatures.min(), temperatures.max(), 50)
    for (source, energy), style in zip(ACTIVATION_ENERGIES_EV.items(), ("--", ":"), strict=True):
        values = 0.5 * lowest * np.exp(energy / units.kB * (1 / temperatures.min() - 1 / line))
        axes.plot(1000 / line, values, style, color=GUIDE, linewidth=1, label=f"slope, {source}: {energy:g} eV")


def _ticks(row: dict) -> list[tuple[float, str]]:
    """Places and names along the path."""
    ticks: list[tuple[float, str]] = []
    for (first, last), distances in zip(row["labels"], row["distances_per_A"], strict=True):
        for name, place in ((first, distances[0]), (last, distances[-1])):
            if ticks and abs(ticks[-1][0] - place) < 1e-6:
                known = ticks[-1][1]
                ticks[-1] = (place, known if known == name else f"{known}|{name}")
            else:
                ticks.append((place, name))
    return ticks


def _lines(axes: "Axes", row: dict, length: float, color: str) -> None:
    scale = length / row["distances_per_A"][-1][-1]  # lattice constants differ a little
    for distances, frequencies in zip(row["distances_per_A"], row["frequencies_THz"], strict=True):
        axes.plot(np.array(distances) * scale, frequencies, color=color, linewidth=0.9)


def _measured(axes: "Axes", crystal: str, ticks: list[tuple[float, str]]) -> None:
    for it in FREQUENCIES:
        if it.crystal == crystal:
            places = [place for place, label in ticks if it.point in label.split("|")]
            axes.plot(places, [it.THz] * len(places), "o", color="k", markersize=5, zorder=5, clip_on=False)


def _save(figure: "Figure", path: Path) -> None:
    """As a PNG with a palette, which is a third as large."""
    from io import BytesIO

    from matplotlib import rc_context
    from PIL import Image

    with rc_context(STYLE), BytesIO() as memory, atomic_path(path) as temporary:
        figure.savefig(memory, dpi=DPI, format="png", metadata={"Software": None})
        Image.open(memory).convert("RGB").quantize(PALETTE).save(temporary, format="png", optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
