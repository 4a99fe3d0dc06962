"""Logs that survive an interruption, and silence from Lightning."""

import csv
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

from tribond.training.lightning_internals import put_rows


def csv_logger(output: Path, first_step: int) -> CSVLogger:
    """A log at logs/csv/metrics.csv that keeps what an interrupted training wrote up to its last checkpoint.

    Args:
        output: the folder of the training.
        first_step: steps before the checkpoint; rows from there on will come again and are dropped.
    """
    logger = CSVLogger(output, "logs", version="csv")
    file = Path(logger.log_dir) / "metrics.csv"
    if first_step and file.is_file():
        with file.open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if int(row["step"]) < first_step]
        put_rows(logger, [{name: value for name, value in row.items() if value} for row in rows])
    return logger


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice to itself: which devices there are, what one could buy, what it finds unusual."""
    names = ("lightning", "lightning.pytorch", "lightning.fabric")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
