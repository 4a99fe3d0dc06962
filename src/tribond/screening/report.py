"""The report of a screening: one HTML file with its figures in it, which needs no network."""

import base64
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

from tribond.files import write_atomically
from tribond.results.figures import COLORS, DPI, GUIDE, STYLE, new_figure
from tribond.screening.columns import FAILED, OK, best_by
from tribond.screening.gather import Tally
from tribond.screening.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEST = 20
ERRORS = 15  # kinds of errors that are told
FEWEST_BINS, MOST_BINS = 8, 40
HULL = "above_hull_eV_per_atom"
FAR_BELOW = -0.2  # eV/atom


@dataclass(frozen=True)
class Histogram:
    """One figure: how often values occur.

    Attributes:
        column: of the results.
        title: above the figure.
        axis: below it.
        logarithmic: whether values are shown by their magnitude.
        zero: whether a line stands at zero.
    """

    column: str
    title: str
    axis: str
    logarithmic: bool = False
    zero: bool = False


HISTOGRAMS = (
    Histogram("above_hull_eV_per_atom", "Energy above the hull", "eV/atom", zero=True),
    Histogram("formation_energy_eV_per_atom", "Formation energy", "eV/atom", zero=True),
    Histogram("volume_change_percent", "Change of the volume by relaxation", "%", zero=True),
    Histogram("bulk_modulus_GPa", "Bulk modulus", "GPa"),
    Histogram("seconds", "Time of one core for a structure", "s", logarithmic=True),
)
STYLESHEET = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #888; font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; display: inline-block; } img { width: 28rem; max-width: 100%; }
p.about { color: #555; } td.text { overflow-wrap: anywhere; }
@media print { figure { break-inside: avoid; } }
"""


def write_report(plan: Plan, tally: Tally, path: Path, *, title: str, about: Mapping[str, str]) -> None:
    """Counts, failures, histograms and the best candidates of a screening.

    Args:
        plan: all of whose shards are there.
        tally: of its shards.
        path: of the file, HTML.
        title: of the page.
        about: what else stands at its head, by name: model, versions.
    """
    body = [f"<h1>{_text(title)}</h1>", _facts(about), "<h2>Outcomes</h2>", _counts(tally)]
    errors = _errors(plan)
    if errors:
        body += [
            "<h2>Failures</h2>",
            _table(["kind", "step", "what", "structures", "for example"], errors, numbers={3}),
        ]
    steps = _funnel(plan)
    body += ["<h2>Steps</h2>", _table(["step", "came", "left here"], steps, numbers={1, 2})]
    by = best_by(plan.settings.steps, plan.settings.rank_by)
    if tally.best and by is not None:
        body += [f"<h2>Best candidates</h2><p>By {_text(by.removeprefix('-'))}, the "]
        body += ["highest first." if by.startswith("-") else "lowest first.", "</p>", _best(plan, tally, by)]
    if (warning := far_below_hull(plan)) is not None:
        body.append(f"<p><b>{_text(warning)}</b></p>")
    figures = [_figure(plan, it) for it in HISTOGRAMS if it.column in {column.name for column in plan.columns}]
    body += ["<h2>Distributions</h2>", *(it for it in figures if it)]
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f"<style>{STYLESHEET}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    write_atomically(path, page.encode())


def far_below_hull(plan: Plan) -> str | None:
    """A warning where structures are more stable than new compounds ever are: then the references lack a phase."""
    if HULL not in {it.name for it in plan.columns}:
        return None
    rows = f"from rows where {HULL} < {FAR_BELOW}"
    ((count, lowest, formula),) = _query(plan, f"select count(*), min({HULL}), min_by(formula, {HULL}) {rows}")
    if not count:
        return None
    lie = "structure lies" if count == 1 else "structures lie"
    return (
        f"{count:,} {lie} more than {-FAR_BELOW} eV/atom below the hull (lowest {formula}: {lowest:.2f}): known phases of "
        "their elements are missing among the references, or the potential is wrong there"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _facts(about: Mapping[str, str]) -> str:
    lines = "<br>".join(f"{_text(name)}: {_text(value)}" for name, value in about.items())
    return f'<p class="about">{lines}</p>'


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: set[int]) -> str:
    def cells(tag: str, row: Sequence[Any]) -> str:
        return "".join(
            f'<{tag} class="{"number" if place in numbers else "text"}">{_text(value)}</{tag}>'
            for place, value in enumerate(row)
        )

    lines = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead>\n<tbody>{lines}</tbody></table>"


def _counts(tally: Tally) -> str:
    rows = [(status, f"{count:,}", f"{100 * count / tally.rows:.1f} %") for status, count in tally.counts.most_common()]
    rows.append(("all", f"{tally.rows:,}", f"{tally.seconds / 3600:.3g} core hours"))
    return _table(["outcome", "structures", ""], rows, numbers={1, 2})


def _query(plan: Plan, query: str) -> list[tuple[Any, ...]]:
    """What a query of SQL says of all shards, called `rows` in it."""
    import duckdb
    from pyarrow.dataset import dataset

    shards = dataset([str(plan.shard(number)) for number in range(len(plan.sizes))], format="parquet")
    with duckdb.connect(config={"threads": 1, "memory_limit": "512MB"}) as database:
        database.register("rows", shards)
        return database.execute(query).fetchall()


def _errors(plan: Plan) -> list[tuple[Any, ...]]:
    # Numbers in messages differ from structure to structure; without them they are one kind of error.
    what = "regexp_replace(error, '[-+]?[0-9]+[.]?[0-9]*', '…', 'g') as what"
    query = f"select failure, step, {what}, count(*) as n, min_by(label, number) from rows where status = '{FAILED}'"  # noqa: S608, constants of ours
    found = _query(plan, f"{query} group by failure, step, what order by n desc, what limit {ERRORS}")
    return [(kind, step, str(what)[:300], f"{count:,}", label) for kind, step, what, count, label in found]


def _funnel(plan: Plan) -> list[tuple[Any, ...]]:
    gone_by = f"select step, count(*) from rows where status <> '{OK}' group by step"  # noqa: S608, a constant of ours
    left = dict(_query(plan, gone_by))
    came, rows = plan.total, []
    for number, name in enumerate(["read", *(step.kind for step in plan.settings.steps)]):
        gone = left.get(f"{number} {name}", 0)
        rows.append((f"{number} {name}", f"{came:,}", f"{gone:,}"))
        came -= gone
    return [*rows, ("kept", f"{came:,}", "")]


def _best(plan: Plan, tally: Tally, by: str) -> str:
    """The best, with all numbers that say something of them."""
    names = [it.name for it in plan.columns]
    shown = [by.removeprefix("-")]
    shown += [it.column for it in HISTOGRAMS if it.column in names and it.column not in {*shown, "seconds"}]
    shown += [it for it in ("energy_eV_per_atom", "space_group", "num_atoms") if it in names and it not in shown]
    wanted = [it[1] for it in tally.best[:BEST]]
    chosen = ", ".join(f'"{it}"' for it in shown)
    numbers = ", ".join(str(int(it)) for it in wanted)
    query = f"select number, formula, label, {chosen} from rows where number in ({numbers})"  # noqa: S608, columns of ours
    found = {it[0]: it for it in _query(plan, query)}
    rows = [
        (place, found[number][1], *(_number(it) for it in found[number][3:]), number, found[number][2])
        for place, number in enumerate(wanted, 1)
    ]
    head = ["", "formula", *(it.replace("_", " ") for it in shown), "number", "structure"]
    return _table(head, rows, numbers={0, *range(2, len(head) - 1)})


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _values(plan: Plan, column: str) -> NDArray[np.float64]:
    """Of all rows that have one, from all shards."""
    parts: list[NDArray[np.float64]] = []
    for number in range(len(plan.sizes)):
        table = parquet.read_table(plan.shard(number), columns=[column, "status"])
        values = table[column].to_numpy()
        read = np.asarray(table["status"].to_pylist()) != FAILED
        parts.append(np.asarray(values, dtype=np.float64)[read])
    found = np.concatenate(parts)
    return found[np.isfinite(found)]


def _figure(plan: Plan, histogram: Histogram) -> str:
    values = _values(plan, histogram.column)
    if histogram.logarithmic:
        values = values[values > 0]
    if len(values) < 2:
        return ""
    figure, (axes,) = new_figure(height=3.2)
    outside = _draw(axes, values, histogram)
    axes.set_title(histogram.title, loc="left")
    axes.set_xlabel(histogram.axis)
    axes.set_ylabel("structures")
    png = _png(figure.savefig)
    caption = f"{len(values):,} structures, median {np.median(values):.3g} {histogram.axis}"
    if outside:
        caption += f"; {outside:,} are outside of the figure ({values.min():.3g} to {values.max():.3g})"
    encoded = base64.b64encode(png).decode()
    alt = _text(f"{histogram.title}: {caption}")
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{encoded}"><figcaption>{_text(caption)}</figcaption></figure>'


def _draw(axes: "Axes", values: NDArray[np.float64], histogram: Histogram) -> int:
    """The bars; a few far values are left out, or there would be one bar.

    Returns:
        How many are left out.
    """
    from matplotlib.ticker import MaxNLocator

    bins = int(np.clip(2 * np.sqrt(len(values)), FEWEST_BINS, MOST_BINS))
    low, high = np.percentile(values, [1, 99])
    span = max(high - low, 1e-9 * max(1.0, abs(high)))
    low, high = max(float(values.min()), low - 0.5 * span), min(float(values.max()), high + 0.5 * span)
    if histogram.logarithmic:
        low, high = float(values.min()), float(values.max())
        edges = np.geomspace(low, max(high, low * 1.01), bins + 1)
        axes.set_xscale("log")
    else:
        edges = np.linspace(low, high if high > low else low + 1e-9 * max(1.0, abs(low)), bins + 1)
    inside = values[(values >= edges[0]) & (values <= edges[-1])]
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.hist(inside, bins=edges, color=COLORS[0])  # type: ignore[arg-type]  # an array is a sequence of edges
    if histogram.zero and edges[0] < 0 < edges[-1]:
        axes.axvline(0, color=GUIDE, linewidth=1)
    return len(values) - len(inside)


def _png(save: Callable[..., object]) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context(STYLE):
        save(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
