"""Shards: the same function everywhere, each row exactly once, whatever dies."""

# ruff: noqa: E402 - what the extra brings is asked for first

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

pytest.importorskip("duckdb")
pytest.importorskip("pymatgen")
parquet = pytest.importorskip("pyarrow.parquet")

from tribond.errors import ConfigError
from tribond.screening import plan as plans
from tribond.screening.engines import Local, run
from tribond.screening.gather import tally_of
from tribond.screening.journal import Journal, Outcome, blame
from tribond.screening.plan import load, make, read_input
from tribond.screening.pool import Done, Failure, PoolError
from tribond.screening.settings import Settings
from tribond.screening.shard import compute_shard, read_summary
from tribond.screening.works import Model

NOBODY = Model("none")
WORKER = Path(__file__).with_name("shard_worker.py")


def settings(*steps, **more):
    return Settings.model_validate({"sources": [{"files": "x"}], "steps": list(steps), **more})


def metals(*symbols):
    return [(f"{number}", bulk(symbol, "fcc", a=4.0)) for number, symbol in enumerate(symbols)]


def rows_of(plan):
    rows = [row for number in range(len(plan.sizes)) for row in parquet.read_table(plan.shard(number)).to_pylist()]
    return sorted(rows, key=lambda row: row["number"])


class Processes:
    """An engine with a process for each shard."""

    def run(self, folder, numbers, waiting):
        command = [sys.executable, WORKER, folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
            for number in numbers:
                waiting()
                print(number, file=worker.stdin, flush=True)
                status = int(worker.stdout.readline())
                if status:
                    yield Done(number, Failure("crash", f"its process died ({status})"))
                else:
                    yield Done(number, read_summary(load(folder).shard(number)))


class Dying:
    """An engine whose processes die at once."""

    def run(self, folder, numbers, waiting):
        for number in numbers:
            waiting()
            yield Done(number, Failure("crash", "its process died (exit status 1)"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_structure_that_kills_or_hangs_costs_itself_and_nothing_else(tmp_path):
    symbols = ["Cu", "Ag", "Al", "Pd", "Pt", "Au", "Ni", "Pb"]
    wanted = settings({"predict": {"batch_atoms": 2}}, time_limit_s=1.0, shard_size=5)
    plan = make(tmp_path, wanted, NOBODY, [*metals(*symbols), ("bad", "no atoms in it")])
    assert plan.sizes == (5, 4)
    found = list(run(plan, Processes(), range(2)))
    assert sorted(it.rows for it in found) == [4, 5]
    rows = rows_of(plan)
    assert [row["number"] for row in rows] == list(range(9))
    assert [row["status"] for row in rows] == [
        "kept",
        "failed",
        "kept",
        "kept",
        "failed",
        "failed",
        "kept",
        "kept",
        "failed",
    ]
    assert [row["failure"] for row in rows if row["failure"]] == ["crash", "time", "error", "error"]
    assert rows[1]["error"] == f"its process died ({-6})"
    assert rows[4]["error"] == "it took longer than 1 s"
    assert rows[5]["error"] == "gold is dear"
    assert rows[5]["step"] == "1 predict"
    assert rows[8]["error"] == "no atoms in it"
    assert rows[0]["energy_eV_per_atom"] == -1 / 3  # to the last bit, through journal and table
    assert tally_of(plan).failures == {"crash": 1, "time": 1, "error": 2}
    diary = (tmp_path / "diary").read_text().split("\n")
    assert diary.count("Ag") == 2  # in a batch, then alone, twice
    assert sum("Ni" in line for line in diary) == 2  # with Au, then alone; others were not computed again
    assert not list((tmp_path / plans.WORKING).iterdir())


def test_processes_that_die_before_any_structure_end_the_work(tmp_path):
    plan = make(tmp_path / "out", settings("predict"), NOBODY, metals("Cu", "Al"))
    with pytest.raises(PoolError, match="die before they have begun with a structure"):
        list(run(plan, Dying(), range(1)))


def test_a_shard_is_computed_once_and_one_at_a_time(tmp_path):
    from filelock import FileLock

    plan = make(tmp_path, settings({"filter": "num_atoms = 1"}), NOBODY, metals("Cu"))
    plan.journal(0).parent.mkdir()
    with FileLock(plan.journal(0).with_suffix(".lock")):
        assert compute_shard(tmp_path, 0).busy
    assert compute_shard(tmp_path, 0).counts == {"kept": 1}
    before = plan.shard(0).stat().st_mtime_ns
    assert compute_shard(tmp_path, 0).counts == {"kept": 1}
    assert plan.shard(0).stat().st_mtime_ns == before
    assert not list(run(plan, Local(0), range(1)))


def test_duplicates_are_those_of_one_composition_the_first_stays(tmp_path):
    rattled = bulk("Cu", cubic=True)
    rattled.rattle(0.01, seed=1)
    found = [
        ("a", bulk("Cu")),
        ("b", bulk("Al")),
        ("c", rattled),
        ("d", bulk("Cu", "bcc", a=2.9)),
        ("e", bulk("Al") * 2),
        ("f", Atoms("Cu")),  # no crystal
    ]
    plan = make(tmp_path, settings("deduplicate", shard_size=1), NOBODY, found)
    assert plan.sizes == (2, 4)  # one composition is not parted: Al, then Cu
    assert [it.counts for it in run(plan, Local(0), range(2))] == [
        {"kept": 1, "duplicate": 1},
        {"kept": 3, "duplicate": 1},
    ]
    assert [row["duplicate_of"] for row in rows_of(plan)] == [None, None, 0, None, 1, None]
    assert rows_of(plan)[2]["step"] == "1 deduplicate"


def test_a_broken_structure_does_not_fail_those_of_its_composition(tmp_path):
    broken = bulk("Cu")
    broken.positions[0] = np.nan
    found = [("broken", broken), ("a", bulk("Cu")), ("b", bulk("Cu", cubic=True))]
    plan = make(tmp_path, settings("deduplicate"), NOBODY, found)
    assert [it.counts for it in run(plan, Local(0), range(1))] == [{"failed": 1, "kept": 1, "duplicate": 1}]
    assert "finite" in rows_of(plan)[0]["error"]


def test_a_filter_takes_what_is_true_and_empty_is_not(tmp_path):
    steps = ({"filter": "num_atoms > 1 or formula = 'Al'"}, {"filter": "duplicate_of > 1"})
    plan = make(
        tmp_path, settings("deduplicate", *steps), NOBODY, [*metals("Cu", "Al"), ("c", bulk("NaCl", "rocksalt", a=5))]
    )
    list(run(plan, Local(0), range(1)))
    assert [row["step"] for row in rows_of(plan)] == ["2 filter", "3 filter", "3 filter"]


def test_inputs_keep_order_and_bits_and_a_plan_that_was_killed_is_made_anew(tmp_path):
    def killed():
        yield from metals("Cu", "Al")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, settings("predict"), NOBODY, killed())
    with pytest.raises(ConfigError, match="holds no plan"):
        load(tmp_path)
    rattled = bulk("Cu", cubic=True)
    rattled.rattle(0.1, seed=1)
    plan = make(tmp_path, settings("predict", shard_size=2), NOBODY, [*metals("Cu", "Al"), ("c", rattled)])
    assert plan.sizes == (2, 1)
    _, (back,) = read_input(plan.input(1))
    assert (back.positions == rattled.positions).all()
    assert load(tmp_path) == plan


def test_a_journal_with_a_torn_end_is_taken_up(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as book:
        book.begin(0, [0, 1])
        book.end(0, 0, Outcome({"energy_eV": 1 / 3}, bulk("Cu")))
    with path.open("a") as file:
        file.write('["end", 0, 1, {"energ')
    again = Journal(path)
    assert list(again.done) == [(0, 0)]
    assert again.done[0, 0].values == {"energy_eV": 1 / 3}
    assert again.open is not None
    assert again.open[:2] == (0, [1])
    with again as book:
        book.end(0, 1, Outcome())
    assert len(Journal(path).done) == 2
    assert not blame(path, "it died", 10.0)  # nothing had begun that did not end


def test_best_candidates_follow_the_column_and_its_sign(tmp_path):
    found = [*metals("Cu", "Al"), ("c", bulk("Cu") * 3), ("d", bulk("Cu") * 2)]
    plan = make(tmp_path / "a", settings({"filter": "num_atoms < 20"}, rank_by="-num_atoms"), NOBODY, found)
    (summary,) = run(plan, Local(0), range(1))
    assert [it[:3] for it in summary.best] == [[8, 3, "d"], [1, 0, "0"], [1, 1, "1"]]


def test_shards_grow_so_that_few_structures_keep_many_cores_busy(tmp_path):
    found = [(f"{number}", bulk("Cu")) for number in range(200)]
    plan = make(tmp_path, settings("predict"), NOBODY, found)
    assert plan.sizes == (5,) * 16 + (10,) * 12
