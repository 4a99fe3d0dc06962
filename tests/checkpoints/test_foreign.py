"""Model files of other codes are named."""

import zipfile

import pytest

from tribond.checkpoints.open_model import open_model
from tribond.errors import CheckpointError


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"archive/{name.replace('__', '.')}", content)


def test_archives(tmp_path):
    archive(tmp_path / "a.model", data__pkl=b"\x80\x02cmace.modules.models\nScaleShiftMACE\n")
    archive(tmp_path / "b.pt", data__pkl=b"\x80\x02", constants__pkl=b"")
    archive(tmp_path / "c.pth.tar", data__pkl=b"\x80\x02X\x0e\x00\x00\x00composition_model.fc.weight")
    (tmp_path / "d.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    (tmp_path / "e.pb").write_bytes(b"\n\x05const")
    (tmp_path / "f.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "g.tar.gz").write_bytes(b"\x1f\x8b\x08\x00")
    archive(tmp_path / "h.pth.tar", data__pkl=b"\x80\x02}.")
    (tmp_path / "i.model").write_bytes(b"\x80\x04K\x01.")
    (tmp_path / "gap.xml").write_text("<GAP_params></GAP_params>")
    for name, words in {
        "a.model": "a model of MACE",
        "b.pt": "a TorchScript file",
        "c.pth.tar": "a model of CHGNet",
        "d.onnx": "an ONNX graph",
        "e.pb": "TensorFlow",
        "f.h5": "HDF5",
        "g.tar.gz": r"a gzip archive \(unpack it first\),",
        "h.pth.tar": "a zip archive, perhaps of PyTorch, of an unknown code",
        "i.model": "a pickle of Python",
        "gap.xml": "a file of an unknown kind",
    }.items():
        with pytest.raises(CheckpointError, match=rf"{words}.*which tribond does not read. It reads tribond's own"):
            open_model(tmp_path / name)
