import mmap
import sys

import pytest

from tribond.speed import memory
from tribond.speed.memory import PeakMemory

MEGA = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")


def take(megabytes):
    """Fresh from the system, page by page, not from what an allocator has kept."""
    memory = mmap.mmap(-1, megabytes * MEGA)
    for _ in range(megabytes):
        memory.write(b"x" * MEGA)
    return memory


def touch(megabytes):
    take(megabytes).close()


@linux
def test_the_peak_is_what_was_held_at_most_even_if_it_is_gone():
    peak = PeakMemory()
    touch(100)
    assert 90 * MEGA < peak.peak() < 250 * MEGA


@linux
def test_restart_forgets_the_peak_but_not_the_start():
    peak = PeakMemory()
    with take(100):
        touch(400)
        peak.restart()
        touch(50)
        assert 120 * MEGA < peak.peak() < 350 * MEGA


def test_the_smaller_of_machine_and_container_is_available(tmp_path, monkeypatch):
    for name, text in {
        "FREE": "MemTotal: 9 kB\nMemAvailable:    5000 kB\n",
        "GROUP_LIMIT": "max\n",
        "GROUP_USED": "7",
    }.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert PeakMemory().available() == 5000 * 1024
    (tmp_path / "GROUP_LIMIT").write_text("1007\n")
    assert PeakMemory().available() == 1000
    (tmp_path / "FREE").unlink()
    assert PeakMemory().available() is None


def test_where_the_kernel_keeps_no_record_the_peak_of_the_process_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "RESET", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    largest = iter([500, 800])
    monkeypatch.setattr(memory, "_largest_ever", lambda: next(largest))
    assert PeakMemory().peak() == 300
