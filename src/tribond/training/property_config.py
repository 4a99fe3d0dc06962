"""What stands in a training file for a model of properties: one with a block `property`."""

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, model_validator

from tribond.data.property_table import StateColumns, TargetColumn
from tribond.training.config import ModelConfig, TrainingConfig
from tribond.training.data_config import Strict


class TargetConfig(Strict):
    """One number to learn."""

    name: str
    key: str | None = None  # the column, or key of the structure's info; a.b looks into dictionaries. None: the name
    unit: str = ""
    log: bool = False  # learn its logarithm: for what is positive and spans orders of magnitude
    weight: float = Field(default=1.0, gt=0)  # of its term in the loss


class StateConfig(Strict):
    """What a prediction depends on besides the structure: a temperature, a level of theory."""

    keys: list[str] = Field(min_length=1)
    categories: list[str] = Field(default_factory=list)  # of one key: its values; none: the keys are numbers

    @model_validator(mode="after")
    def _one_category(self) -> Self:
        if self.categories and (len(self.keys) > 1 or len(set(self.categories)) < max(2, len(self.categories))):
            msg = "categories are two or more different values of one key"
            raise ValueError(msg)
        return self


class PropertyConfig(Strict):
    """What is learnt."""

    kind: Literal["intensive", "extensive", "classes"] = "intensive"
    targets: list[TargetConfig] = Field(min_length=1)
    classes: list[str] = Field(
        default_factory=list
    )  # of kind `classes`: what the one target says, such as [metal, insulator]
    readout: Literal["weighted_atom", "set2set", "mean"] | None = None  # None: weighted_atom; extensive is a sum
    state: StateConfig | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            msg = f"two targets have the same name: {names}"
            raise ValueError(msg)
        if self.kind == "classes":
            if len(self.targets) > 1 or len(set(self.classes)) < max(2, len(self.classes)):
                msg = "classes: name one target, and two or more different classes"
                raise ValueError(msg)
        elif self.classes:
            msg = f"classes belong to kind: classes, not to kind: {self.kind}"
            raise ValueError(msg)
        if self.kind != "intensive" and any(target.log for target in self.targets):
            msg = f"log is for kind: intensive; {'a class has' if self.kind == 'classes' else 'a sum over atoms has'} none"
            raise ValueError(msg)
        if self.kind == "extensive" and self.readout is not None:
            msg = "an extensive property is a sum over atoms; leave out readout"
            raise ValueError(msg)
        return self

    def columns(self) -> list[TargetColumn]:
        """Where the targets stand in the data."""
        return [TargetColumn(it.key or it.name, it.log, tuple(self.classes)) for it in self.targets]

    def state_columns(self) -> StateColumns | None:
        """Where the state stands."""
        return None if self.state is None else StateColumns(tuple(self.state.keys), tuple(self.state.categories))


class PropertyData(Strict):
    """Where structures with properties come from and how they are split, by compound."""

    files: list[str] = Field(min_length=1)  # relative to the training file; `*` allowed
    validation: list[str] = Field(
        default_factory=list
    )  # files to validate with; none: one compound in `validation_folds`
    test: list[str] = Field(default_factory=list)  # files to test the final model with, once
    structure: str = "structure"  # the column of tables with structures
    id: str | None = None  # the column with names of rows, for messages and tables of predictions
    format: str | None = None  # of files of structures
    validation_folds: int = Field(default=10, ge=0)  # one compound in so many is held out; 0 holds out nothing
    validation_fold: int = Field(default=0, ge=0)
    test_fold: int | None = Field(default=None, ge=0)  # another of these folds, for nothing but the final test
    bad_rows: Literal["error", "skip"] = "error"
    unknown_elements: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _folds(self) -> Self:
        if self.validation_folds == 1 or self.validation_fold >= max(self.validation_folds, 1):
            msg = "validation_folds must be 0 or at least 2, and validation_fold less than that"
            raise ValueError(msg)
        if self.test_fold is not None:
            if self.test:
                msg = "test and test_fold exclude each other; leave one out"
                raise ValueError(msg)
            held_out = None if self.validation else self.validation_fold
            if self.test_fold >= self.validation_folds or self.test_fold == held_out:
                msg = "test_fold must be less than validation_folds, and another than validation_fold"
                raise ValueError(msg)
        return self


class PropertyModelConfig(ModelConfig):
    """A new model from a preset, or one to go on with: a potential or a model of another property."""

    keep_readout: bool = False  # go on with its readout too: it predicts the same property already
    base_learning_rate_fraction: float = Field(default=1.0, gt=0)  # of what comes from the old model

    @model_validator(mode="after")
    def _only_with_a_start(self) -> Self:
        if self.start_from is None and (self.keep_readout or self.base_learning_rate_fraction != 1.0):
            msg = "keep_readout and base_learning_rate_fraction need start_from: there is nothing old to keep"
            raise ValueError(msg)
        return self


class PropertyTrainingConfig(TrainingConfig):
    """A whole training file for a model of properties. It has no stages."""

    property: PropertyConfig
    data: PropertyData  # type: ignore[assignment]  # read by what trains properties alone
    model: PropertyModelConfig = PropertyModelConfig()
    loss: Literal["huber", "mse", "mae"] = "huber"  # type: ignore[assignment]  # of numbers scaled to a spread of one
    steps: int = Field(default=2000, ge=1)
    edge_budget: int = Field(default=10_000, ge=1)
    validate_every: int = Field(default=100, ge=1)
    cross_validation: int | None = Field(default=None, ge=3)  # train so many models, each tested on another fold

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.stages or self.best_by or self.average_validations is not None:
            msg = "stages, best_by and average_validations are for potentials; leave them out"
            raise ValueError(msg)
        if self.devices != 1 or self.nodes != 1:
            msg = "models of properties are trained on one device; leave out devices and nodes"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _validations(self) -> Self:
        data = self.data
        if self.cross_validation is not None and (data.validation or data.test or data.test_fold is not None):
            msg = "cross_validation makes its own validation and test sets; leave out validation, test and test_fold"
            raise ValueError(msg)
        return self

    def of_fold(self, fold: int) -> "PropertyTrainingConfig":
        """The training of one fold of a cross-validation: tested on this fold, stopped by the next one."""
        folds = self.cross_validation or 1
        split = {"validation_folds": folds, "validation_fold": (fold + 1) % folds, "test_fold": fold}
        changes = {
            "data": self.data.model_copy(update=split),
            "output": str(Path(self.output) / f"fold-{fold}"),
            "name": f"{self.name}, fold {fold}",
            "cross_validation": None,
        }
        return self.model_copy(update=changes)


def read_training_file(file: Path) -> TrainingConfig:
    """The settings of a training file: of a model of properties if it has a block `property`, else of a potential.

    Raises:
        ConfigError: as of `TrainingConfig.read`.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        content = None  # said in words by the reading below
    kind = PropertyTrainingConfig if isinstance(content, dict) and "property" in content else TrainingConfig
    return kind.read(file)
