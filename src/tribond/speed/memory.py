"""Peak memory, and what is left of it. Imports nothing but Python itself, so that it can measure other codes, too."""

import os
import sys
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
FREE = Path("/proc/meminfo")
GROUP_LIMIT, GROUP_USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


class PeakMemory:
    """The most that this process holds in main memory, above what it held when this object was made.

    On Linux the kernel's own record of the peak is set back when an object is made and by `restart`; elsewhere it is the
    peak of the whole life of the process, and what stayed below an earlier peak counts as nothing.
    """

    def __init__(self) -> None:
        self.start = self._restarted()

    def restart(self) -> None:
        """Forget the peak so far; what it is compared with stays."""
        self._restarted()

    def peak(self) -> int:
        """Bytes above the start, since the start or the last `restart`."""
        return max(0, _of_status("VmHWM", fallback=_largest_ever()) - self.start)

    def available(self) -> int | None:
        """Bytes that this process can still take without pushing anything out; None where the system does not say."""
        try:
            free = 1024 * _number_after("MemAvailable:", FREE.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        with suppress(OSError, ValueError):  # no group, or its limit is the word "max"
            free = min(free, _number_in(GROUP_LIMIT) - _number_in(GROUP_USED))  # a container may have less
        return max(0, free)

    @staticmethod
    def _restarted() -> int:
        """Set the kernel's record back, if it lets us, and say what the process holds now.  Bytes."""
        try:
            RESET.write_text("5")
        except OSError:
            return _largest_ever()  # as a peak is never forgotten, count from the last one
        return _of_status("VmRSS", fallback=_largest_ever())


def _of_status(name: str, fallback: int) -> int:
    """A number of /proc/self/status in bytes."""
    try:
        return 1024 * _number_after(f"{name}:", STATUS.read_text(encoding="ascii", errors="replace"))
    except (OSError, ValueError):
        return fallback


def _number_after(label: str, text: str) -> int:
    """The whole number behind a label in the kernel's tables, where everything is in kB.

    Raises:
        ValueError: if there is none.
    """
    _, found, rest = text.partition(label)
    if not found:
        raise ValueError(label)
    return int(rest.split(maxsplit=1)[0])


def _number_in(path: Path) -> int:
    """A file that holds one whole number."""
    return int(path.read_text(encoding="ascii"))


def _largest_ever() -> int:
    """The peak in the life of this process, bytes; 0 where the system keeps no record."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest  # macOS counts bytes, everybody else kB


def give_back() -> None:
    """Return memory that was freed to the system, where the C library can: glibc keeps it otherwise."""
    if os.name != "posix":
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
