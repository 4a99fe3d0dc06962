import re
from pathlib import Path

import pytest
import yaml

from tribond.errors import ConfigError
from tribond.training.config import (
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SourceConfig,
    StageConfig,
    StageSource,
    TrainingConfig,
)
from tribond.training.stages import learning_rate_factor, stage_at, stages_of

SOURCE = {"name": "pbe", "files": ["pbe.xyz"]}


def check(**changes):
    return TrainingConfig.model_validate({"name": "test", "data": {"train": [SOURCE]}} | changes)


def test_a_name_and_one_file_are_enough():
    config = check()
    assert config.data.train[0].labels == ["energy", "forces", "stress"]
    assert config.model.preset == "paper"


def test_every_wrong_setting_is_named(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text("name: x\nsteps: 0\nloss: {energy: -1}\nlearning_rate: 1e-3\ndata: {train: [{name: a}]}\n")
    with pytest.raises(ConfigError) as caught:
        TrainingConfig.read(file)
    message = str(caught.value)
    for setting in ("steps", "loss.energy", "learning_rate", "data.train.0"):
        assert f"\n  {setting}: " in message


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "is not YAML"), ("", "settings that cannot be used"), ("- 1", "settings that cannot be used")],
)
def test_files_that_are_no_settings(tmp_path, content, message):
    file = tmp_path / "train.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.read(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        TrainingConfig.read(tmp_path / "train.yaml")


def test_what_is_written_can_be_read(tmp_path):
    (tmp_path / "config.json").write_text(check(metadata={"licence": "MIT"}).model_dump_json())
    assert TrainingConfig.read(tmp_path / "config.json") == check(metadata={"licence": "MIT"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"energy": 0, "forces": 0, "stress": 0}}, "all weights are zero"),
        ({"data": {"train": [SOURCE, SOURCE]}}, "two sources have the same name"),
        ({"data": {"train": [SOURCE | {"name": "fit"}]}}, "cannot be called 'fit'"),
        ({"data": {"train": [SOURCE, SOURCE | {"name": "b", "reference_energies": "c"}]}}, "must be 'fit' or one of"),
        ({"data": {"train": [SOURCE], "validation": [{"name": "b", "files": ["b.xyz"]}]}}, "name it like a training"),
        ({"data": {"train": [SOURCE], "validation_folds": 1}}, "validation_folds must be"),
        ({"data": {"train": [SOURCE], "validation_folds": 4, "validation_fold": 4}}, "validation_folds must be"),
        ({"model": {"start_from": "x", "elements": "data"}}, "brings its own"),
        ({"data": {"train": [SOURCE | {"share": 0.5, "repeat": 2}]}}, "share and repeat exclude"),
        ({"data": {"train": [SOURCE | {"share": 0.5}]}}, "together they are 0.5 instead of 1"),
        ({"data": {"train": [SOURCE, SOURCE | {"name": "b", "share": 1}]}}, "leave nothing for pbe"),
        ({"data": {"train": [SOURCE], "validation": [SOURCE | {"share": 0.5}]}}, "validated once; leave out share"),
        ({"stages": [{"steps": 2, "sources": {"b": {"share": 1}}}]}, "stage 1: there is no training source called b"),
        ({"stages": [{"steps": 2, "sources": {"pbe": {"share": 1, "repeat": 2}}}]}, "share and repeat exclude"),
        ({"stages": [{"steps": 2, "loss": {"energy": 0, "forces": 0, "stress": 0}}]}, "stage 1: all weights are zero"),
        ({"stages": [{"steps": 2}], "steps": 3}, "leave out steps"),
        ({"best_by": ["b"]}, "best_by: b does not validate; those that do: pbe"),
        ({"average_validations": 2, "data": {"train": [SOURCE], "validation_folds": 0}}, "needs validation data"),
        ({"devices": 0}, "greater than or equal to 1"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_contradictions(changes, message):
    with pytest.raises(ValueError, match=message):
        check(**changes)


def test_a_source_cannot_share_the_zero_of_one_that_shares():
    sources = [SOURCE, SOURCE | {"name": "b", "reference_energies": "pbe"}]
    sources += [SOURCE | {"name": "c", "reference_energies": "b"}]
    with pytest.raises(ValueError, match="one of those that fit"):
        check(data={"train": sources})


def test_stages_take_over_what_they_do_not_say():
    sources = [SOURCE | {"weights": {"energy": 2}}, SOURCE | {"name": "b", "share": 0.25}]
    stages = [{"steps": 10}, {"steps": 5, "learning_rate": 0.1, "loss": {"energy": 3}, "sources": {"b": {"repeat": 2}}}]
    config = check(data={"train": sources}, stages=stages, loss={"forces": 7}, edge_budget=99)
    assert config.steps == 15
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
    first, second = stages_of(config)
    assert (first.first_step, first.end, second.first_step, second.end) == (0, 10, 10, 15)
    assert (first.learning_rate, second.learning_rate) == (1e-3, 0.1)
    assert (first.loss.energy, second.loss.energy, second.loss.forces, second.edge_budget) == (1, 3, 7, 99)
    assert first.shares == (None, 0.25)
    assert (second.shares, second.repeats) == ((None, None), (1, 2))
    assert first.weights == second.weights == ((2, 1, 1), (1, 1, 1))
    assert [stage_at([first, second], step) for step in (0, 9, 10, 15)] == [0, 0, 1, 1]
    factor = learning_rate_factor([first, second], 1e-3)
    assert factor(0) == pytest.approx(1 / 101)
    assert factor(10) == pytest.approx(100 / 101)


DOCUMENTATION = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.mark.parametrize(
    "part",
    [TrainingConfig, DataConfig, SourceConfig, ModelConfig, LossConfig, OptimizerConfig, StageConfig, StageSource],
    ids=lambda c: c.__name__,
)
def test_every_setting_is_explained(part):
    text = DOCUMENTATION.read_text(encoding="utf-8")
    for name in part.model_fields:
        assert re.search(rf"^\|.*`{name}`.*\|", text, flags=re.MULTILINE), name


def test_the_examples_in_the_documentation_are_valid():
    examples = re.findall(
        r"^```yaml\n(.*?)^```", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    assert len(examples) == 4
    for example in examples:
        TrainingConfig.model_validate(yaml.safe_load(example))
