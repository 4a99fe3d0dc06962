"""A file that exists under exactly this name is read, whatever signs stand in it."""

import pytest

from tribond.errors import DataError, StructureError
from tribond.reading.names import matching, parse_index, split_index


@pytest.mark.parametrize("name", ["a@2.xyz", "a@2", "Li[Ni]O2.xyz", "a*.xyz", "a,b.xyz", "x?.xyz", "a@:"])
def test_exact_names_win(tmp_path, name):
    for other in ("a", "LiN.xyz", "ab.xyz", "xa.xyz"):
        (tmp_path / other).touch()
    (tmp_path / name).touch()
    assert matching(str(tmp_path / name)) == [str(tmp_path / name)]
    assert split_index(str(tmp_path / name)) == (tmp_path / name, None)


def test_then_indices_then_patterns(tmp_path):
    for name in ("run1.xyz", "run2.xyz"):
        (tmp_path / name).touch()
    assert matching(f"{tmp_path}/run1.xyz@3") == [f"{tmp_path}/run1.xyz@3"]
    assert matching(f"{tmp_path}/run*.xyz@:2") == [f"{tmp_path}/run1.xyz@:2", f"{tmp_path}/run2.xyz@:2"]
    with pytest.raises(DataError, match=r"no file matches .*none\*"):
        matching(f"{tmp_path}/none*")


def test_what_is_no_index():
    assert parse_index("-5:") == slice(-5, None)
    for wrong in ("1.5", "::0", "a"):
        with pytest.raises(StructureError, match="is no index"):
            parse_index(wrong)
