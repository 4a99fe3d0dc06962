"""What stands in a training file: checked in full before anything is read or computed."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tribond.data.frames import LABELS, Label, StressUnit
from tribond.errors import ConfigError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Strict):
    """One data source: files of one level of theory."""

    name: str
    files: list[str] = Field(min_length=1)  # relative to the training file; `*` allowed
    labels: list[Label] = Field(default=list(LABELS), min_length=1)
    stress_unit: StressUnit = "eV/A^3"
    reference_energies: str = "fit"  # "fit": of its own; or the name of the source whose zero of energy it shares
    repeat: float = Field(default=1.0, gt=0)  # times an epoch that a frame is seen
    in_validation: bool = True  # False: its compounds in the validation fold are left out altogether
    unknown_elements: Literal["error", "skip"] = "error"  # what to do with frames that the model has no embedding for
    max_force_eV_per_A: float = Field(default=100.0, gt=0)  # frames beyond are left out
    max_stress_GPa: float = Field(default=1000.0, gt=0)


class DataConfig(_Strict):
    """Where structures come from and how they are split."""

    train: list[SourceConfig] = Field(min_length=1)
    validation: list[SourceConfig] = []  # their zero is that of the training source of the same name
    # Without `validation`, one compound in so many of `train` is held out, chosen by its formula; 0 holds out nothing.
    validation_folds: int = Field(default=10, ge=0)
    validation_fold: int = Field(default=0, ge=0)  # another number, another tenth: for cross-validation

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [source.name for source in self.train]
        if len(set(names)) < len(names):
            msg = f"two sources have the same name: {names}"
            raise ValueError(msg)
        if "fit" in names:
            msg = "a source cannot be called 'fit'"
            raise ValueError(msg)
        own = [source.name for source in self.train if source.reference_energies in ("fit", source.name)]
        for source in [*self.train, *self.validation]:
            if source.reference_energies not in ("fit", *own):
                msg = f"source {source.name}: reference_energies must be 'fit' or one of those that fit: {own}"
                raise ValueError(msg)
        for source in self.validation:
            if source.reference_energies == "fit" and source.name not in names:
                msg = f"validation source {source.name}: name it like a training source, or say whose zero it shares"
                raise ValueError(msg)
        if self.validation_folds == 1 or self.validation_fold >= max(self.validation_folds, 1):
            msg = "validation_folds must be 0 or at least 2, and validation_fold less than that"
            raise ValueError(msg)
        if self.train[0].reference_energies not in ("fit", names[0]):
            msg = "the first training source fits reference energies of its own: they become the model's"
            raise ValueError(msg)
        return self


class ModelConfig(_Strict):
    """A new model from a preset, or an existing one to go on with."""

    preset: str = "paper"
    elements: list[str] | Literal["data"] | None = None  # None: the preset's; "data": those in the training data
    settings: dict[str, Any] = {}  # M3GNetConfig fields that differ from the preset
    start_from: str | None = None  # name or path of a model to fine-tune, instead of the three above
    # Before fine-tuning, shift the elements' energies so that the model fits the first source best: another level of
    # theory, or another code, has another zero of energy. False: the first source is on the model's zero already.
    refit_reference_energies: bool = True

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.start_from is not None and (self.preset != "paper" or self.elements is not None or self.settings):
            msg = "the model in start_from brings its own preset, elements and settings; leave these out"
            raise ValueError(msg)
        return self


class LossConfig(_Strict):
    """Weights of the terms: energy per atom (eV), forces (eV/Å), stress (GPa). Zero leaves a term out."""

    energy: float = Field(default=1.0, ge=0)
    forces: float = Field(default=1.0, ge=0)
    stress: float = Field(default=0.1, ge=0)
    huber_delta: float = Field(default=0.01, gt=0)

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not (self.energy or self.forces or self.stress):
            msg = "all weights are zero: there is nothing to learn"
            raise ValueError(msg)
        return self


class OptimizerConfig(_Strict):
    """Adam with linear warm-up and cosine decay, gradient clipping and an exponential moving average of the weights."""

    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate_fraction: float = Field(default=0.01, ge=0, le=1)
    warmup_steps: int = Field(default=100, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    ema_decay: float = Field(default=0.999, ge=0, lt=1)  # of the average, less in the first steps; 0: no averaging


class TrainingConfig(_Strict):
    """A whole training file."""

    name: str
    output: str = "training"  # folder, relative to the training file
    data: DataConfig
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(default=100_000, ge=1)
    edge_budget: int = Field(default=20_000, ge=1)  # most bonds in a batch
    validate_every: int = Field(default=1000, ge=1)  # steps
    patience: int | None = Field(default=None, ge=1)  # validations without improvement before stopping early
    checkpoint_every_minutes: float = Field(default=10.0, gt=0)
    seed: int = Field(default=0, ge=0)
    accelerator: str = "auto"  # Lightning's: cpu, gpu, auto
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    workers: int = Field(default=0, ge=0)  # processes that prepare batches, for GPUs
    metadata: dict[str, Any] = {}  # goes into the model file: licence, level_of_theory, training_data, ...

    @classmethod
    def read(cls, file: Path | str) -> Self:
        """Read and check a training file.

        Raises:
            ConfigError: if it cannot be read, or naming every setting that is wrong.
        """
        path = Path(file)
        try:
            content = yaml.safe_load(path.read_text())
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            msg = f"{path} is not YAML: {error}"
            raise ConfigError(msg) from error
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            problems = [
                f"  {'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}" for problem in error.errors()
            ]
            msg = f"{path} has settings that cannot be used:\n" + "\n".join(problems)
            raise ConfigError(msg) from error
