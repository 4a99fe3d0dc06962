"""The decks that come with tribond run, on two ranks, for a few steps."""

from pathlib import Path

import pytest

import tribond
from tests.lammps.conftest import thermo

EXAMPLES = Path(__file__).parents[2] / "examples" / "lammps"
DECKS = sorted(EXAMPLES.glob("in.*"))
SHORT = {"steps": 20, "settle": 5, "size": 2, "points": 4, "every": 1}


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.name)
def test_it_runs(deck, path):
    deck.save(tribond.load())
    text = path.read_text()
    assert text.count("plugin          load ${plugin}\n") == 1
    variables = SHORT | {"plugin": str(deck.plugin), "model": "model.safetensors"}
    images = 5 if path.name == "in.neb" else 0
    printed = deck.run(text, ranks=images or 2, variables=variables, partitions=images)
    if images:
        printed = (deck.folder / "log.lammps").read_text()
        assert "Climbing replica" in printed
    assert thermo(printed)[-1, 0] > 0
