"""Model files of other codes that tribond does not read: named by what stands in them, without running anything."""

import zipfile
from pathlib import Path

PICKLED = {".pt", ".pth", ".ckpt", ".bin"}  # endings of files that are opened to see what they hold
LOOKED_AT = 1 << 22  # bytes of a pickle that are searched for the names of its classes
CODES = {
    b"mace.": "a model of MACE",
    b"chgnet": "a model of CHGNet",
    b"nequip": "a model of NequIP or Allegro",
    b"sevenn": "a model of SevenNet",
    b"orb_models": "a model of Orb",
    b"fairchem": "a model of fairchem",
    b"ocpmodels": "a model of the Open Catalyst Project",
    b"alignn": "a model of ALIGNN",
    b"schnetpack": "a model of SchNetPack",
    b"deepmd": "a model of DeePMD-kit",
}
BEGINNINGS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and DeePMD-kit write models"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive (unpack it first)"),
)


def foreign_model(path: Path) -> str | None:
    """What a file is, if tribond does not read its kind; None if it may be a model that it reads."""
    name = path.name.lower()
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return None
    what = next((what for sign, what in BEGINNINGS if head.startswith(sign)), None)
    if what is not None:
        return what
    if name.endswith(".onnx") or (head[:1] == b"\x08" and b"onnx" in head):
        return "an ONNX graph"
    if head.startswith(b"PK"):
        return _in_archive(path)
    if name.endswith(".pb"):
        return "a frozen graph of TensorFlow, as DeePMD-kit writes it"
    return _other(head, path.suffix.lower())


def _other(head: bytes, ending: str) -> str | None:
    code = next((what for sign, what in CODES.items() if head.startswith(b"\x80") and sign in head), None)
    if code is not None or ending in PICKLED or _is_safetensors(head):
        return code
    return "a pickle of Python" if head.startswith(b"\x80") else "a file of an unknown kind"


def _is_safetensors(head: bytes) -> bool:
    """Whether a length in 8 bytes and JSON follow each other."""
    return head[8:9] == b"{"


def _in_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [name for name in names if name.endswith("data.pkl")]
            content = b""
            if pickles:
                with archive.open(pickles[0]) as stream:
                    content = stream.read(LOOKED_AT)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError):
        return None
    code = next((what for sign, what in CODES.items() if sign in content.lower()), None)
    if any("/code/" in name for name in names) or any(name.endswith("constants.pkl") for name in names):
        return f"a TorchScript file{f' ({code})' if code else ''}"
    if any(name.endswith(".so") or "aotinductor" in name for name in names):
        return "a package compiled by PyTorch; `tribond.load_exported` reads those of tribond"
    if code is None and b"composition_model" in content:
        code = "a model of CHGNet"
    return code or (None if path.suffix.lower() in PICKLED else "a zip archive, perhaps of PyTorch, of an unknown code")
