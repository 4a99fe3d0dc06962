"""Several trainings, each tested on another part of the data."""

import logging
from collections.abc import Callable
from pathlib import Path

from ase.data import atomic_numbers

from tribond.training.property_config import PropertyTrainingConfig
from tribond.training.property_run import PropertyResult, read_table, train_property

logger = logging.getLogger(__name__)


def cross_validate(
    config: PropertyTrainingConfig,
    folder: Path,
    report: Callable[[PropertyTrainingConfig, PropertyResult], object],
    *,
    restart: bool = False,
    progress: bool = True,
) -> None:
    """Train a model for each fold, in OUTPUT/fold-N; those that are complete are not trained again.

    Args:
        config: the training file, with `cross_validation`.
        folder: what file names in it are relative to.
        report: called after each training, with its own settings.
        restart: begin all of them anew.
        progress: show bars.
    """
    number = config.cross_validation or 0
    if config.model.elements == "data" and config.model.start_from is None:
        # Those of all rows, or a fold could not be tested on an element that it alone has.
        table = read_table(config, config.data.files, folder)
        elements = sorted({symbol for atoms in table.structures for symbol in atoms.symbols}, key=atomic_numbers.get)
        config = config.model_copy(update={"model": config.model.model_copy(update={"elements": elements})})
    for fold in range(number):
        logger.info("fold %d of %d", fold + 1, number)
        part = config.of_fold(fold)
        report(part, train_property(part, folder, restart=restart, progress=progress))
