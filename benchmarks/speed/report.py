"""Tables in Markdown."""

from collections.abc import Iterator, Sequence

from benchmarks.speed.cases import REFERENCE
from benchmarks.speed.codes import CODES, PEERS
from benchmarks.speed.summary import OURS, Comparison, Goal, Single


def comparison_table(compared: Sequence[Comparison], codes: Sequence[str]) -> Iterator[str]:
    """Medians of every code, and how much faster tribond is than the fastest other."""
    peers = [code for code in PEERS if code in codes]
    yield f"| | tribond | {''.join(f'{CODES[code].label} | ' for code in peers)}× fastest peer | × limit |"
    yield f"|---|---:|{'---:|' * len(peers)}---:|---:|"
    for it in compared:
        cells = [shown(it, code) for code in (OURS, *peers)]
        ratio = "" if it.times_faster is None else f"**{it.times_faster:.1f}**"
        limit = "" if it.times_limit is None else f"{it.times_limit:.1f}"
        yield f"| {it.case.name} | {' | '.join(cells)} | {ratio} | {limit} |"


def shown(it: Comparison, code: str) -> str:
    """The median in the unit that people think in."""
    if code in it.errors:
        return "fails"
    if code not in it.seconds:
        return ""
    seconds = it.seconds[code]
    if it.case.kind == "step":
        return f"{significant(1e3 * seconds)} ms"
    unit = "steps/s" if it.case.kind == "dynamics" else "structures/s"
    return f"{significant(it.case.per / seconds)} {unit}"


def significant(value: float) -> str:
    """Three digits, never an exponent."""
    for above, digits in ((100, 0), (10, 1), (0, 2)):
        if value >= above:
            return f"{value:.{digits}f}"
    return f"{value:.2f}"


def memory_table(alone: Sequence[Single], codes: Sequence[str]) -> Iterator[str]:
    """Peak memory above import, every code in a process of its own."""
    shared = [code for code in codes if not CODES[code].only]
    common = [
        it
        for it in alone
        if not it.dense and any(it.structure == other.structure for other in alone if other.code in PEERS)
    ]
    structures = list(dict.fromkeys(it.structure for it in sorted(common, key=lambda it: it.atoms)))
    yield f"| peak memory above import | {' | '.join(CODES[code].label for code in shared)} |"
    yield f"|---|{'---:|' * len(shared)}"
    for structure in structures:
        of_code = {it.code: it for it in common if it.structure == structure}
        cells = [_megabytes(of_code.get(code)) for code in shared]
        yield f"| {structure} | {' | '.join(cells)} |"


def _megabytes(it: Single | None) -> str:
    if it is None:
        return ""
    return "fails" if it.peak_bytes is None else f"{it.peak_bytes / 1e6:,.0f} MB"


def scaling_table(alone: Sequence[Single], flops_per_bond: int) -> Iterator[str]:
    """Sizes of tribond from small to large, and compressed."""
    yield f"| silicon | bonds | µs/atom | × {REFERENCE} atoms | × limit | peak memory, MB | bytes/bond |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    ours = sorted((it for it in alone if it.code == OURS), key=lambda it: (it.dense, it.atoms))
    for it in ours:
        name = f"{it.atoms:,} atoms{', three times as dense' if it.dense else ''}"
        if it.seconds is None or it.peak_bytes is None:
            yield f"| {name} | {it.bonds:,} | fails | | | | |"
            continue
        limit = f"{it.seconds * it.rate / (it.bonds * flops_per_bond):.1f}" if it.rate else ""
        cells = [
            f"{it.bonds:,}",
            significant(1e6 * it.seconds / it.atoms),
            "" if it.times_reference is None else f"{it.times_reference:.2f}",
            limit,
            f"{it.peak_bytes / 1e6:,.0f}",
            f"{it.peak_bytes / it.bonds:,.0f}",
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def goal_lines(found: Sequence[Goal]) -> Iterator[str]:
    """Which goals hold."""
    for goal in found:
        yield f"- {'holds' if goal.holds else '**missed**'}: {goal.text}: {goal.found}"


def remarks(codes: Sequence[str], versions: dict[str, dict[str, str]], absent: dict[str, str]) -> Iterator[str]:
    """What was compared with what."""
    for code in codes:
        if CODES[code].only:  # the same packages as another line
            continue
        packages = ", ".join(f"{name} {number}" for name, number in versions.get(code, {}).items())
        differs = f"; its model: {CODES[code].model}" if CODES[code].model else ""
        yield f"- {CODES[code].label}: {packages}{differs}"
    for code, why in absent.items():
        yield f"- {CODES[code].label} is left out: {why.splitlines()[0]}"
