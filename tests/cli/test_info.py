from tests.small_models import random_model, small_config
from tribond import compiled
from tribond.backends.choose import describe


def test_info_says_what_the_model_is_and_where_it_comes_from(tribond, model_file):
    result = tribond("info", model_file)
    assert result.exit_code == 0, result.output
    rows = {line[:17].strip(): line[17:].strip() for line in result.stdout.splitlines()}
    assert rows["name"] == "small"
    assert rows["elements"] == "4: H O Al Cu"
    assert rows["cutoff"] == "5 Å for bonds, 4 Å for angles"
    assert rows["level of theory"] == "none"
    assert rows["training data"] == "nothing at all"
    assert rows["licence"] == "BSD-3-Clause"
    assert rows["errors"] == "energy MAE: huge"
    assert rows["seed"] == "0"
    assert "1 block" in rows["parameters"]
    assert rows["computed by"] in {f"C++ for {name}, on this CPU" for name in compiled.NAMES.values()} | {
        f"{describe(random_model(small_config()))}, on this CPU"  # installed without a C++ compiler
    }


def test_info_shows_the_reference_energy_of_every_element(tribond, model_file):
    words = tribond("info", model_file).stdout.partition("reference energies")[2].split()
    values = dict(zip(words[1::2], words[2::2], strict=True))
    assert values == {"H": "-1.0000", "O": "-2.0000", "Al": "-3.0000", "Cu": "-4.0000"}


def test_files_that_are_no_models_are_named(tribond, tmp_path):
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"junk")
    result = tribond("info", junk)
    assert result.exit_code == 1
    assert "not a readable model file" in result.output


def test_unknown_models_are_wrong_usage(tribond):
    result = tribond("info", "nothing")
    assert result.exit_code == 2
    assert "names are: default" in result.output
