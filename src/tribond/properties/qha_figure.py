"""The figure of the quasi-harmonic approximation."""

from typing import TYPE_CHECKING

from tribond.results.figures import COLORS, new_figure, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tribond.properties.qha import QuasiHarmonic

PANELS = (
    ("volume_A3_per_atom", "volume (Å³/atom)", 1.0),
    ("linear_expansion_per_K", "linear expansion (10⁻⁶/K)", 1e6),
    ("heat_capacity_P_J_per_K_per_mol_formula", "$C_P$ (J/K per mol of formula)", 1.0),
    ("bulk_modulus_GPa", "bulk modulus (GPa)", 1.0),
)


def draw(found: "QuasiHarmonic", label: str = "") -> "Figure":
    """Volume, linear thermal expansion, heat capacity and isothermal bulk modulus against temperature.

    Args:
        found: to draw.
        label: of the title.
    """
    figure, panels = new_figure(2, 2, height=5.6, width=8.0, sharex=True)
    columns = found.columns()
    title(panels[0], label)
    for axes, color, (name, text, scale) in zip(panels, COLORS, PANELS, strict=False):
        axes.plot(found.temperatures_K, columns[name] * scale, color=color)
        axes.set_ylabel(text)
        axes.set_xlim(0, float(found.temperatures_K[-1]))
        axes.ticklabel_format(axis="y", useOffset=False)
    for axes in panels[2:]:
        axes.set_xlabel("temperature (K)")
    return figure
