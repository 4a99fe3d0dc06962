"""Time and memory against size, as small SVG files for the documentation."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.speed.codes import CODES
from benchmarks.speed.summary import Comparison, Single

COLOURS = {
    "tribond": "#0b6e4f",
    "matgl": "#c1443c",
    "matgl-compiled": "#e58f88",
    "mattersim": "#2f5fa7",
    "tensorflow": "#d08a1d",
}
Points = dict[str, list[tuple[int, float]]]


def time_points(compared: Sequence[Comparison], alone: Sequence[Single]) -> Points:
    """Microseconds an atom of silicon by code; sizes that were compared in turns, and the larger ones of tribond."""
    points: Points = {}
    for it in compared:
        if it.case.structure and it.case.structure.startswith("Si "):
            atoms = int(it.case.structure.split()[1])
            for code, seconds in it.seconds.items():
                points.setdefault(code, []).append((atoms, 1e6 * seconds / atoms))
    largest = max((atoms for atoms, _ in points.get("tribond", [])), default=0)
    for single in alone:
        if single.code == "tribond" and not single.dense and single.atoms > largest and single.seconds:
            points.setdefault("tribond", []).append((single.atoms, 1e6 * single.seconds / single.atoms))
    return _sorted(points)


def memory_points(alone: Sequence[Single]) -> Points:
    """Megabytes above import by code."""
    points: Points = {}
    for it in alone:
        if not it.dense and it.peak_bytes:
            points.setdefault(it.code, []).append((it.atoms, it.peak_bytes / 1e6))
    return _sorted(points)


def _sorted(points: Points) -> Points:
    return {code: sorted(points[code]) for code in CODES if code in points}


def draw(points: Points, unit: str, path: Path, limit: Callable[[float], float] | None = None) -> None:
    """A picture with logarithmic axes.

    Args:
        points: atoms and value by code.
        unit: of the values.
        path: an .svg file.
        limit: the value that no code can go below, by number of atoms.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tribond", "font.family": "sans-serif"}):
        figure = Figure(figsize=(6.0, 3.6), layout="constrained")
        axes = figure.subplots()
        for code, values in points.items():
            sizes, numbers = zip(*values, strict=True)
            axes.plot(sizes, numbers, "o-", color=COLOURS[code], label=CODES[code].label, markersize=4, linewidth=1.5)
        if limit is not None and points:
            sizes = sorted({size for values in points.values() for size, _ in values})
            axes.plot(sizes, [limit(size) for size in sizes], "--", color="#666666", label="limit", linewidth=1.2)
        axes.set(xscale="log", yscale="log", xlabel="atoms of silicon", ylabel=unit)
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
