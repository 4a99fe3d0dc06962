"""Which of several processes this one is: known before anything is imported or started."""

import os


def by_torchrun() -> bool:
    """Whether `torchrun` has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def by_srun() -> bool:
    """Whether this is one of several tasks that Slurm's `srun` has started; a shell inside of a job is none."""
    return "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def process_rank() -> int:
    """The number of this process among all that train together."""
    name = "RANK" if by_torchrun() else "SLURM_PROCID" if by_srun() else "LOCAL_RANK"
    return int(os.environ.get(name, "0"))


def is_first_process() -> bool:
    """Whether this is the process that writes and speaks."""
    return process_rank() == 0
