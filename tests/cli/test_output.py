import json

import pytest

from tribond.cli import output
from tribond.files import write_json


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you ...")])
def test_running_out_of_memory_is_no_surprise(capsys, error):
    output.report(error, "big.cif")
    message = capsys.readouterr().err
    assert message.startswith("error: big.cif: not enough memory")
    assert "unexpected" not in message


def test_json_is_for_the_eye(tmp_path):
    write_json(tmp_path / "new" / "x.json", {"unit": "eV/Å", "values": [1.5, None]})
    text = (tmp_path / "new" / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"unit": "eV/Å", "values": [1.5, None]}
    assert '  "unit": "eV/Å",\n' in text
