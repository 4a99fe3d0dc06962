import pytest

from benchmarks.speed import report, summary
from benchmarks.speed.log import Log

CODES = ["tribond", "matgl", "mattersim"]
FLOPS = 393_216


@pytest.fixture
def log(tmp_path):
    """Two cases, each of three turns on a machine that slows down; one peer fails on the larger."""
    log = Log(tmp_path / "a.jsonl")
    for turn, drift in enumerate((1.0, 2.0, 4.0)):
        seconds = {"tribond": 0.001 * drift, "matgl": 0.007 * drift, "mattersim": 0.02 * drift}
        log.add(case="Si 64", turn=turn, seconds=seconds, errors={}, rate=1e11)
        seconds = {"tribond": 0.1 * drift, "mattersim": 0.5 * drift}
        log.add(case="Si 512", turn=turn, seconds=seconds, errors={"matgl": "no memory"}, rate=(1.0, 1e11, 1e12)[turn])
    # The machine is half as fast for the two largest, and the largest one takes twice as long besides.
    for structure, seconds, around in (
        ("Si 512", 0.05, []),
        ("Si 4096", 0.4, [0.05]),
        ("Si 32768", 6.4, [0.1, 0.1, 9.0]),
        ("Si 97336", 38.0, [0.1]),
    ):
        record = {"alone": "tribond", "structure": structure, "seconds": [seconds], "reference_seconds": around}
        log.add(**record, rate=1e11, peak_bytes=10**8)
    log.add(alone="matgl", structure="Si 4096", error="killed")
    return log


@pytest.fixture(autouse=True)
def few_bonds(monkeypatch):
    monkeypatch.setattr(summary, "count_bonds", lambda structure: 28 * int(structure.split()[1]))


def test_ratios_are_those_of_each_turn(log):
    small, large = summary.comparisons(log, CODES, FLOPS)
    assert small.seconds == pytest.approx({"tribond": 0.002, "matgl": 0.014, "mattersim": 0.04})
    assert small.fastest_peer == "matgl"
    assert small.times_faster == pytest.approx(7.0)
    assert large.fastest_peer == "mattersim"  # the other one failed
    assert large.times_faster == pytest.approx(5.0)
    assert large.times_limit == pytest.approx(0.2 / (28 * 512 * FLOPS / 1e11))


def test_goals_hold_or_not(log):
    singles = summary.singles(log)
    found = {
        goal.text.partition(":")[0]: goal for goal in summary.goals(summary.comparisons(log, CODES, FLOPS), singles)
    }
    assert found["Si 64"].holds
    assert found["Si 64"].found == "7.0 times MatGL"
    assert not found["Si 512"].holds  # the later one of this name is the limit
    assert found["Si 4096"].holds
    assert found["Si 4096"].found == "0.10 GB"
    (flat,) = [goal for name, goal in found.items() if name.startswith("time of an atom")]
    assert not flat.holds
    assert flat.found == "2.00 times"


def test_rates_are_shown_and_compared_as_rates(tmp_path):
    log = Log(tmp_path / "a.jsonl")
    seconds = {"tribond": 0.5, "matgl": 2.0}
    log.add(case="training step of 32", turn=0, seconds=seconds, errors={}, rate=1e11)
    compared = summary.comparisons(log, list(seconds), FLOPS)
    assert [it.times_faster for it in compared] == [4.0]
    (goal,) = summary.goals(compared, [])
    assert goal.holds
    assert goal.text == "training step of 32: at least 3 times as fast as the fastest peer"
    table = "\n".join(report.comparison_table(compared, list(seconds)))
    assert "| training step of 32 | 64.0 structures/s | 16.0 structures/s | **4.0** |  |" in table


def test_tables_say_everything(log):
    lines = list(report.comparison_table(summary.comparisons(log, CODES, FLOPS), CODES))
    assert lines[0] == "| | tribond | MatGL | MatterSim | × fastest peer | × limit |"
    assert lines[2].startswith("| Si 64 | 2.00 ms | 14.0 ms | 40.0 ms | **7.0** |")
    assert lines[3].startswith("| Si 512 | 200 ms | fails | 1000 ms | **5.0** |")
    assert len({line.count("|") for line in lines}) == 1
    singles = summary.singles(log)
    assert list(report.memory_table(singles, CODES))[-1] == "| Si 4096 | 100 MB | fails |  |"
    scaling = list(report.scaling_table(singles, FLOPS))
    assert scaling[-1] == "| 97,336 atoms | 2,725,408 | 390 | 2.00 | 3.5 | 100 | 37 |"
    assert len({line.count("|") for line in scaling}) == 1


def test_nothing_measured_is_no_error(tmp_path):
    log = Log(tmp_path / "a.jsonl")
    assert summary.comparisons(log, CODES, FLOPS) == []
    assert summary.goals([], summary.singles(log)) == []
    assert summary.overall_rate(log) is None
