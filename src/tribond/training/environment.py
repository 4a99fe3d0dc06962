"""Where, with what and by which command a training was run: kept beside its model."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import tribond
from tribond.files import write_json
from tribond.training.devices import Launch

GIT_SECONDS = 10.0


def record_start(file: Path, launch: Launch, first_step: int) -> None:
    """Add this start of a training to a JSON file: one that goes on may do so elsewhere, or with other versions.

    Args:
        file: replaced as a whole; begun anew if it cannot be read.
        launch: the processes.
        first_step: steps that were taken before.
    """
    try:
        starts = list(json.loads(file.read_text())["starts"])
    except (OSError, ValueError, KeyError, TypeError):
        starts = []
    write_json(file, {"starts": [*starts, _start(launch, first_step)]})


def _start(launch: Launch, first_step: int) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps_before": first_step,
        "command": shlex.join(sys.argv),
        "working_directory": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "processors_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "devices_per_machine": launch.devices,
        "machines": launch.nodes,
        "started_by": launch.starter,
        "tribond": tribond.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": _packages(),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository that a folder is in, and how many files differ from it; None where there is none."""
    if shutil.which("git") is None:
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed_files": len(changed.splitlines())}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)  # noqa: S603 - no shell
    return done.stdout.strip()


def _processor() -> str:
    """Its name: platform.processor() says little on Linux."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _packages() -> dict[str, str]:
    found = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    return {name: found[name] for name in sorted(filter(None, found), key=str.lower)}
