"""How exactly a training computes: float32 throughout, whatever the program around it has set."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tribond.errors import ConfigError


@contextmanager
def single_precision(*, allow_tf32: bool) -> Iterator[None]:
    """Products of matrices in float32 while this lasts; in TF32 on GPUs that have it, if allowed.

    Raises:
        ConfigError: inside of an autocast to bfloat16 or float16, which would round forces away.
    """
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            name = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
            msg = f"a training in {name} is not possible: forces need float32; leave the torch.autocast around it"
            raise ConfigError(msg)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allow_tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
