"""The stages of a training, each with all its settings. A training without stages is one stage."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tribond.training.config import LossConfig, TrainingConfig
from tribond.training.loss import TERMS


@dataclass(frozen=True)
class Stage:
    """One stretch of steps."""

    name: str
    first_step: int  # steps before it
    steps: int
    learning_rate: float
    final_learning_rate_fraction: float
    warmup_steps: int
    edge_budget: int
    loss: LossConfig
    weights: tuple[tuple[float, ...], ...]  # (sources, 3) of energy, forces and stress
    shares: tuple[float | None, ...]  # (sources,)
    repeats: tuple[float, ...]  # (sources,)

    @property
    def end(self) -> int:
        """Steps up to its end."""
        return self.first_step + self.steps

    def learning_rate_at(self, step: int) -> float:
        """The part of the stage's learning rate that a step has: a straight rise, then a cosine decay.

        Args:
            step: counted from the beginning of the stage.
        """
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        low = self.final_learning_rate_fraction
        return low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2


def stages_of(config: TrainingConfig) -> list[Stage]:
    """All stages, in order, with what they take over from the top of the training file."""
    stages: list[Stage] = []
    optimizer = config.optimizer
    for number in range(max(1, len(config.stages))):
        given = config.stages[number] if config.stages else None
        sources = config.stage_sources(number)

        def chosen(name: str, default: Any, given: object = given) -> Any:
            value = getattr(given, name, None)
            return default if value is None else value

        stages.append(
            Stage(
                name=chosen("name", f"{number + 1}"),
                first_step=stages[-1].end if stages else 0,
                steps=chosen("steps", config.steps),
                learning_rate=chosen("learning_rate", optimizer.learning_rate),
                final_learning_rate_fraction=chosen(
                    "final_learning_rate_fraction", optimizer.final_learning_rate_fraction
                ),
                warmup_steps=chosen("warmup_steps", optimizer.warmup_steps),
                edge_budget=chosen("edge_budget", config.edge_budget),
                loss=config.stage_loss(number),
                weights=tuple(tuple(getattr(source.weights, term) for term in TERMS) for source in sources),
                shares=tuple(source.share for source in sources),
                repeats=tuple(source.repeat for source in sources),
            )
        )
    return stages


def stage_at(stages: Sequence[Stage], step: int) -> int:
    """The stage that a step belongs to, both counted from 0; after the last step, the last stage."""
    return max(number for number, stage in enumerate(stages) if number == 0 or stage.first_step <= step)


def learning_rate_factor(stages: Sequence[Stage], base: float) -> Callable[[int], float]:
    """The learning rate of a step, counted from 0, as a part of `base`."""

    def factor(step: int) -> float:
        stage = stages[stage_at(stages, step)]
        part = stage.learning_rate_at(step - stage.first_step)
        return part if stage.learning_rate == base else part * stage.learning_rate / base

    return factor


def are_mixed(config: TrainingConfig) -> bool:
    """Whether structures are drawn by share, stretch by stretch, and not epoch by epoch."""
    return bool(config.stages) or any(source.share is not None for source in config.data.train)
