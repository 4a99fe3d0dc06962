"""The file of a screening: what is wrong in it is named with its key, its value and what may stand there."""

import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("pydantic")
pytest.importorskip("duckdb")

from tribond.errors import ConfigError
from tribond.screening.prepare import read

GOOD = """
sources:
  - files: a.cif
steps:
  - predict
  - filter: num_atoms < 5 and formula like '%O%'
"""


HOUSE = Path(__file__).parents[2]


def refused(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "s.yaml")
    return str(caught.value)


def test_a_good_file_is_read_with_its_defaults(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    settings = read(tmp_path / "s.yaml").settings
    assert [step.kind for step in settings.steps] == ["predict", "filter"]
    assert settings.sources[0].names == ["a.cif"]
    assert (settings.results, settings.dtype, settings.shard_size) == ("results.parquet", "float64", None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps:", "modle: x\nsteps:", "modle: unknown key (value 'x'); known here: model, dtype, sources"),
        (
            "files: a.cif",
            "files: a.cif\n    fromat: cif",
            "fromat: unknown key (value 'cif'); known here: files, parquet",
        ),
        ("- predict", "- relax: {fmax: 1}", "fmax: unknown key (value 1); known here: fmax_eV_per_A, steps"),
        ("- predict", "- relax: {steps: -3}", "steps: input should be greater than or equal to 1, not -3"),
        ("- predict", "- relaxx", "'relaxx' is no step; write one of deduplicate, predict, relax"),
        ("- predict", "- predict: 3", "the settings of predict must be names with values, not 3"),
        ("- predict", "- above_hull", "above_hull needs energies; put predict or relax before it"),
        ("- predict", "- predict\n  - above_hull", "above_hull needs `references`"),
        (
            "steps:\n  - predict",
            "references: {files: a.cif}\nsteps:\n  - relax: {pressure_GPa: 5}\n  - above_hull",
            "above_hull is for structures at zero pressure, not 5 GPa",
        ),
        ("files: a.cif", "files: a.cif\n    optimade: b.json", "this has files and optimade"),
        ("files: a.cif", "prototypes: a.cif", "prototypes and substitute belong together"),
        ("steps:", "results: a/b.parquet\nsteps:", "must be a name that ends in .parquet"),
        ("steps:", "structures: a.cif\nsteps:", "must be a name that ends in .extxyz, or column"),
        ("steps:", "rank_by: mood\nsteps:", "rank_by: there is no column of numbers 'mood'; number, num_atoms"),
        ("num_atoms < 5", "num_atms < 5", 'Referenced column "num_atms" not found'),
        ("num_atoms < 5", "num_atoms <", "is no expression of SQL"),
        ("num_atoms < 5", "max(num_atoms) < 5", "cannot contain aggregates"),
        ("num_atoms < 5", "num_atoms < (select 5)", "looks at other rows than its own"),
        ("num_atoms < 5", "random() < 0.5", "random() is not the same each time"),
        ("num_atoms < 5", "seconds < 5", 'Referenced column "seconds" not found'),
        ("num_atoms < 5", "1=1); drop table rows; select (1=1", "must be one expression of SQL"),
        ("num_atoms < 5", "true) order by (1", "must be one expression of SQL"),
        ("num_atoms < 5", "true) union select 1 from rows where (true", "must be one expression of SQL"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    message = refused(tmp_path, GOOD.replace(old, new))
    assert said in message
    assert "s.yaml" in message


def test_what_is_no_yaml_or_no_screening_is_refused(tmp_path):
    assert "is not YAML" in refused(tmp_path, "a: [")
    assert "must hold `sources:` and `steps:`, not list" in refused(tmp_path, "[1]")
    assert "steps: missing" in refused(tmp_path, "sources: [{files: a.cif}]")


@pytest.mark.parametrize("name", ["docs", "examples"])
def test_what_the_documentation_shows_is_read(tmp_path, name):
    example = (HOUSE / "examples" / "screening" / "screen.yaml").read_text()
    first, *fragments = re.findall(r"```yaml\n(.*?)```", (HOUSE / "docs" / "screen.md").read_text(), re.DOTALL)
    assert first == example
    if name == "examples":
        assert len(read(HOUSE / "examples" / "screening" / "screen.yaml").settings.steps) == 6
        return
    assert len(fragments) == 2
    for fragment in fragments:
        whole = yaml.safe_load(example) | yaml.safe_load(fragment)
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(whole))
        read(tmp_path / "s.yaml")
