"""The pool: every task comes back once, as a result or as its failure, whatever happens to its process."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tribond.errors import StructureError
from tribond.screening.pool import Failure, PoolError, each


def behave(task):
    if task == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "leaves":
        os._exit(3)
    if task == "hangs":
        time.sleep(60)
    if task == "wrong":
        raise StructureError("two atoms at one place")
    if task == "bug":
        raise ZeroDivisionError("division by zero")
    return f"did {task}"


def leave(_task):
    os._exit(1)


def slow_start():
    time.sleep(2.5)


def test_the_clock_starts_when_a_process_is_ready():
    (done,) = each(behave, [1], jobs=1, time_limit_s=lambda _task: 2.0, prepare=slow_start)
    assert done.result == "did 1"


def threads(_task):
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    _ = np.linalg
    most = max(library["num_threads"] for library in threadpool_info())
    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], most


def test_bad_tasks_cost_themselves_and_nothing_else():
    tasks = [*range(20), "dies", "leaves", "wrong", "bug", "hangs", *range(20, 40)]
    found = {done.task: done.result for done in each(behave, tasks, jobs=2, time_limit_s=lambda _task: 2.0)}
    assert len(found) == len(tasks)
    assert all(found[number] == f"did {number}" for number in range(40))
    assert found["dies"] == Failure("crash", "its process died (signal 11, SIGSEGV)")
    assert found["leaves"] == Failure("crash", "its process died (exit status 3)")
    assert found["wrong"] == Failure("error", "two atoms at one place")
    assert found["bug"] == Failure("error", "ZeroDivisionError: division by zero")
    assert found["hangs"] == Failure("time", "it took longer than 2 s", 2.0)


def test_processes_that_all_die_are_no_matter_of_the_tasks():
    with pytest.raises(PoolError, match=r"die at once: its process died \(exit status 1\)"):
        list(each(leave, range(50), jobs=2))


def die():
    os._exit(1)


def test_processes_that_die_before_they_begin_are_no_matter_of_the_tasks_either():
    with pytest.raises(PoolError, match="die before they begin"):
        list(each(behave, range(50), jobs=2, prepare=die))


def die_twice(diary):
    with diary.open("a") as file:
        file.write("begun\n")
    if len(diary.read_text().split()) < 3:
        os._exit(1)


def test_a_pool_that_is_lost_costs_no_task(tmp_path):
    found = [done.result for done in each(behave, range(9), jobs=1, prepare=partial(die_twice, tmp_path / "diary"))]
    assert sorted(found) == [f"did {number}" for number in range(9)]


def test_each_process_has_one_thread_and_this_one_keeps_its_own():
    before = os.environ.get("OMP_NUM_THREADS")
    (done,) = each(threads, ["?"], jobs=1)
    assert done.result == (1, "1", 1)
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_tasks_are_taken_as_they_are_needed():
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield number

    for done in each(behave, tasks(), jobs=1):
        if done.task == 3:
            assert len(taken) < 20
            break


SCRIPT = """
import multiprocessing, time
from tribond.screening.pool import each
def nap(task):
    time.sleep(0.2)
if __name__ == "__main__":
    for done in each(nap, range(10_000), jobs=2):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def works(pid):
    """Whether there is such a process, and it is no zombie that waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_parent_leaves_no_processes_behind(tmp_path: Path):
    (tmp_path / "parent.py").write_text(SCRIPT)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True) as parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(works(pid) for pid in children)
        parent.kill()
    deadline = time.monotonic() + 20
    while any(works(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(works(pid) for pid in children)
