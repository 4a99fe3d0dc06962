import numpy as np
import pytest
from PIL import Image

from tribond.errors import DataError
from tribond.results.figures import new_figure, save_figure, title
from tribond.results.tables import read_csv, write_csv


def test_numbers_come_back_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)
    write_csv(tmp_path / "x.csv", {"step": range(50), "energy_eV": values, "pressure_GPa": [None] * 49 + [np.nan]})
    table = read_csv(tmp_path / "x.csv")
    assert list(table) == ["step", "energy_eV", "pressure_GPa"]
    np.testing.assert_array_equal(table["energy_eV"], values)
    assert np.isnan(table["pressure_GPa"]).all()


def test_columns_of_different_lengths_are_refused(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        write_csv(tmp_path / "x.csv", {"a": [1], "b": [1, 2]})
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("text", ["", "a,b\n1,two\n", "a,b\n1\n"])
def test_what_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=r"x\.csv"):
        read_csv(tmp_path / "x.csv")


def test_a_figure_is_written_twice_and_the_same_every_time(tmp_path):
    contents = []
    for name in ("one", "two"):
        figure, panels = new_figure(2, sharex=True)
        title(panels[0], "file_$name$.cif")
        for axes in panels:
            axes.plot([0, 1], [0, 1], label="line")
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        contents.append((tmp_path / f"{name}.svg").read_bytes())
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width > 1000
    assert contents[0] == contents[1]
    assert b"file_$name$.cif" in contents[0]
