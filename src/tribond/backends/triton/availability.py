"""Whether the Triton kernels can run somewhere, asked without importing Triton."""

import os
import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch

OLDEST_TRITON = (3, 6)  # that they were run with
OLDEST_GPU = (8, 0)  # the first with the matrix units that they use; they were run on 9.0


@cache
def triton_runs_on(device: torch.device) -> bool:
    """Whether this is an NVIDIA GPU, new enough, and so is Triton, and there is the C compiler that Triton calls."""
    if device.type != "cuda" or torch.version.cuda is None:
        return False
    try:
        installed = tuple(int(part) for part in version("triton").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return False
    if not any(map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))):
        return False
    return installed >= OLDEST_TRITON and torch.cuda.get_device_capability(device) >= OLDEST_GPU
