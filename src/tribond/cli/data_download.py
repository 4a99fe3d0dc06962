"""`tribond data download`: published data sets, resumed where a connection broke off and checked."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tribond.cli import options, output
from tribond.errors import DataError, DownloadError

if TYPE_CHECKING:
    from tribond.checkpoints.download import RemoteFile
    from tribond.data.published import DataFile, DataSet

FIGSHARE_API = "https://api.figshare.com/v2/articles"
TIMEOUT_S = 30.0


def download(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of the data set. [default: list those that are known]")
    ] = None,
    output_folder: Annotated[
        Path | None, options.output("DIR", "Where the files go. [default: a folder NAME here]")
    ] = None,
) -> None:
    """Download a published data set: MPtrj, MatPES-PBE-2025.1, MatPES-R2SCAN-2025.1 or MPF.2021.2.8.

    Files are compared with the checksums of their publishers. A download that was cut off goes on where it stopped.

    Exit status: 0 all is there, 1 it could not be had, 2 the name is unknown.
    """
    from tribond.checkpoints.download import fetch
    from tribond.data.published import DATA_SETS

    if name is None:
        _print_list(DATA_SETS)
        return
    if name not in DATA_SETS:
        raise typer.BadParameter(f"{name} is unknown; there are {', '.join(DATA_SETS)}", param_hint="NAME")
    data_set = DATA_SETS[name]
    folder = output_folder or Path(name)
    options.check_folder(folder)
    if data_set.note:
        output.note(data_set.note)
    files = [_remote(file) for file in data_set.files]
    _check_space(files, folder)
    with output.download_progress() as progress:
        paths = fetch(files, folder, progress=progress)
    terminal = output.console()
    for file, path in zip(files, paths, strict=True):
        terminal.print(f"{path} is there", markup=False, soft_wrap=True)
        if file.checksum is None:
            with path.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            output.note(f"no checksum of {file.name} is known to compare with; what came has sha256 {found}")
    terminal.print(f"licence and citation: {data_set.page}", markup=False, soft_wrap=True)
    if not data_set.note:
        quoted = " ".join(str(path) for path in paths)
        terminal.print(f"a store of it: tribond data build {name}.store {quoted}", markup=False, soft_wrap=True)


def _print_list(data_sets: "dict[str, DataSet]") -> None:
    table = output.plain_table("name", "structures", "level of theory", "licence and citation", right=("structures",))
    for it in data_sets.values():
        table.add_row(it.name, f"{it.structures:,}", it.level, it.page)
    output.console().print(table)


def _remote(file: "DataFile") -> "RemoteFile":
    """The file with the checksum that is known or that its publisher names."""
    from tribond.checkpoints.download import RemoteFile

    md5, size = file.md5, file.size
    if md5 is None and file.figshare is not None:
        md5, size = figshare_checksum(FIGSHARE_API, file.figshare, int(file.url.rpartition("/")[2]))
    return RemoteFile(name=file.name, url=file.url, sha256=None, size=size, md5=md5)


def figshare_checksum(api: str, article: int, number: int) -> tuple[str | None, int | None]:
    """The md5 and the size that figshare computed of a file when it was published; None where it does not say.

    Args:
        api: address of its list of articles.
        article: number of the article.
        number: of the file.
    """
    import requests

    try:
        response = requests.get(f"{api}/{article}", timeout=TIMEOUT_S)
        response.raise_for_status()
        content: Any = response.json()
        (found,) = [it for it in content["files"] if it["id"] == number]
        md5, size = str(found["computed_md5"]), int(found["size"])
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return None, None
    return (md5, size) if re.fullmatch("[0-9a-f]{32}", md5) else (None, size)


def _check_space(files: "list[RemoteFile]", folder: Path) -> None:
    """Say at once that a disk is too small, and not after ten gigabytes.

    Raises:
        DownloadError: if it is.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise DataError(f"{existing} is a file, not a folder")
    missing = 0
    for file in files:
        there = folder / file.name
        part = there.with_name(f"{there.name}.part")
        have = next((path.stat().st_size for path in (there, part) if path.exists()), 0)
        missing += max((file.size or 0) - have, 0)
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise DownloadError(f"{missing / 1e9:.1f} GB are still to come, and {existing} has {free / 1e9:.1f} GB left")
