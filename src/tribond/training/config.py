"""What stands in a training file: checked in full before anything is read or computed."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from tribond.errors import ConfigError
from tribond.terms.known import KEY, terms_of
from tribond.training.data_config import DataConfig, SourceConfig, Strict, Weights
from tribond.training.parts import Part

__all__ = [
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "SourceConfig",
    "StageConfig",
    "StageLoss",
    "StageSource",
    "TrainingConfig",
    "Weights",
]


LoggerName = Literal["tensorboard", "wandb", "mlflow"]


class ModelConfig(Strict):
    """A new model from a preset, or an existing one to go on with."""

    preset: str = "paper"
    elements: list[str] | Literal["data"] | None = None  # None: the preset's; "data": those in the training data
    settings: dict[str, Any] = Field(default_factory=dict)  # M3GNetConfig fields that differ from the preset
    # Added to the network's energy in the model file, such as d3bj:pbe, and taken off the labels before training. None: none,
    # or those of the model in start_from.
    terms: list[str] | None = None
    start_from: str | None = None  # name or path of a model to fine-tune, instead of the three above
    # Before fine-tuning, shift the elements' energies so that the model fits the first source best: another level of
    # theory, or another code, has another zero of energy. False: the first source is on the model's zero already.
    refit_reference_energies: bool = True
    freeze: list[Part] = Field(default_factory=list)  # parts of the model in start_from that are left as they are

    @model_validator(mode="after")
    def _something_to_keep(self) -> Self:
        if self.start_from is None and self.freeze:
            msg = "freeze needs start_from: there is nothing old to keep"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.start_from is not None and (self.preset != "paper" or self.elements is not None or self.settings):
            msg = "the model in start_from brings its own preset, elements and settings; leave these out"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _known_terms(self) -> Self:
        terms_of({KEY: self.terms or []})  # a ConfigError is a ValueError: its message is shown
        return self


class LossConfig(Strict):
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


class OptimizerConfig(Strict):
    """Adam with linear warm-up and cosine decay, gradient clipping and an exponential moving average of the weights."""

    learning_rate: float = Field(default=1e-3, gt=0)
    final_learning_rate_fraction: float = Field(default=0.01, ge=0, le=1)
    warmup_steps: int = Field(default=100, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    ema_decay: float = Field(default=0.999, ge=0, lt=1)  # of the average, less in the first steps; 0: no averaging


class StageLoss(Strict):
    """Weights of the terms in a stage; what is left out is as in `loss`."""

    energy: float | None = Field(default=None, ge=0)
    forces: float | None = Field(default=None, ge=0)
    stress: float | None = Field(default=None, ge=0)


class StageSource(Strict):
    """A source in a stage; what is left out is as in `data`, and a `repeat` takes the place of a `share` there."""

    share: float | None = Field(default=None, ge=0, le=1)
    repeat: float | None = Field(default=None, gt=0)
    weights: Weights | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.share is not None and self.repeat is not None:
            msg = "share and repeat exclude each other; leave one out"
            raise ValueError(msg)
        return self


class StageConfig(Strict):
    """A stretch of the training; what it does not say is as at the top."""

    name: str | None = None
    steps: int = Field(ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    final_learning_rate_fraction: float | None = Field(default=None, ge=0, le=1)
    warmup_steps: int | None = Field(default=None, ge=0)
    edge_budget: int | None = Field(default=None, ge=1)
    loss: StageLoss = StageLoss()
    sources: dict[str, StageSource] = Field(default_factory=dict)


class TrainingConfig(Strict):
    """A whole training file."""

    name: str
    output: str = "training"  # folder, relative to the training file
    data: DataConfig
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(default=100_000, ge=1)  # with stages: of all of them together
    stages: list[StageConfig] = Field(default_factory=list)
    edge_budget: int = Field(default=20_000, ge=1)  # most bonds in a batch
    validate_every: int = Field(default=1000, ge=1)  # steps
    patience: int | None = Field(default=None, ge=1)  # validations without improvement before stopping early
    # Sources whose losses, averaged, decide which validation is the best; none: the loss over all structures.
    best_by: list[str] = Field(default_factory=list)
    average_validations: int | None = Field(default=None, ge=2)  # at the end, try the mean of the weights of so many
    average_of: Literal["last", "best"] = "last"  # which
    checkpoint_every_minutes: float = Field(default=10.0, gt=0)
    seed: int = Field(default=0, ge=0)
    accelerator: str = "auto"  # Lightning's: cpu, gpu, auto
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1  # on each machine; they share every batch
    nodes: int = Field(default=1, ge=1)  # machines
    precision: Literal["float32"] = "float32"
    allow_tf32: bool = False  # products of matrices on NVIDIA GPUs with 11 bits instead of 24
    workers: int = Field(default=0, ge=0)  # processes that prepare batches, for GPUs
    logger: list[LoggerName] | LoggerName | Literal["none"] = "tensorboard"  # beside the CSV file
    metadata: dict[str, Any] = Field(
        default_factory=dict
    )  # goes into the model file: licence, level_of_theory, training_data, ...

    @field_validator("precision", mode="before")
    @classmethod
    def _no_half_precision(cls, value: Any) -> Any:
        if value != "float32":
            msg = (
                f"{value!s} is not possible, trainings are in float32: forces are derivatives, and the 8 or 11 bits of "
                "bfloat16, float16 and mixed precision would round them by more than the errors that models have"
            )
            raise ValueError(msg)
        return value

    @model_validator(mode="before")
    @classmethod
    def _steps_of_stages(cls, content: Any) -> Any:
        """With stages the steps are theirs."""
        if not isinstance(content, dict) or not content.get("stages") or "steps" in content:
            return content
        try:
            return content | {"steps": sum(stage["steps"] for stage in content["stages"])}
        except (KeyError, TypeError):
            return content  # what is wrong with a stage is said by its own checks

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if self.stages and self.steps != sum(stage.steps for stage in self.stages):
            msg = "the stages have steps of their own; leave out steps"
            raise ValueError(msg)
        names = [source.name for source in self.data.train]
        for number, stage in enumerate(self.stages, 1):
            unknown = [name for name in stage.sources if name not in names]
            if unknown:
                msg = f"stage {number}: there is no training source called {', '.join(unknown)}"
                raise ValueError(msg)
        for number in range(max(1, len(self.stages))):
            where = f"stage {number + 1}: " if self.stages else ""
            loss = self.stage_loss(number)
            if not (loss.energy or loss.forces or loss.stress):
                msg = f"{where}all weights are zero: there is nothing to learn"
                raise ValueError(msg)
            _check_shares(self.stage_sources(number), where)
        return self

    @model_validator(mode="after")
    def _no_terms_in_metadata(self) -> Self:
        if KEY in self.metadata:
            msg = f"metadata: {KEY} says what is added to the energy; write model.terms instead"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _validations(self) -> Self:
        validating = self.data.validation_names()
        unknown = [name for name in self.best_by if name not in validating]
        if unknown:
            msg = f"best_by: {', '.join(unknown)} does not validate; those that do: {', '.join(validating) or 'none'}"
            raise ValueError(msg)
        if self.average_validations is not None and not validating:
            msg = "average_validations needs validation data"
            raise ValueError(msg)
        return self

    def loggers(self) -> list[LoggerName]:
        """Names of the loggers beside the CSV file, each once."""
        if isinstance(self.logger, list):
            return list(dict.fromkeys(self.logger))
        return [] if self.logger == "none" else [self.logger]

    def stage_sources(self, stage: int) -> list[SourceConfig]:
        """The training sources as they are in a stage, counted from 0; without stages, as they are."""
        changes = self.stages[stage].sources if self.stages else {}
        return [_in_stage(source, changes.get(source.name)) for source in self.data.train]

    def stage_loss(self, stage: int) -> LossConfig:
        """The loss of a stage, counted from 0; without stages, the loss."""
        if not self.stages:
            return self.loss
        changes = self.stages[stage].loss.model_dump(exclude_none=True)
        return self.loss.model_copy(update=changes)

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
        except (
            ValueError,
            yaml.YAMLError,
            RecursionError,
        ) as error:  # also: no text, numbers or nesting beyond measure
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


def _in_stage(source: SourceConfig, change: StageSource | None) -> SourceConfig:
    if change is None:
        return source
    update: dict[str, Any] = {} if change.weights is None else {"weights": change.weights}
    if change.share is not None:
        update |= {"share": change.share, "repeat": 1.0}
    if change.repeat is not None:
        update |= {"share": None, "repeat": change.repeat}
    return source.model_copy(update=update)


def _check_shares(sources: list[SourceConfig], where: str) -> None:
    """Raise ValueError if shares do not add up."""
    total = sum(source.share or 0.0 for source in sources)
    rest = [source.name for source in sources if source.share is None]
    if rest and total > 1 - 1e-6:
        msg = f"{where}the shares are {total:.6g} together and leave nothing for {', '.join(rest)}"
        raise ValueError(msg)
    if not rest and abs(total - 1) > 1e-6:
        msg = f"{where}every source has a share, and together they are {total:.6g} instead of 1"
        raise ValueError(msg)
