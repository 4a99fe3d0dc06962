"""Model files over https: offline first, resumed where they were cut off, checked, then moved into place."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tribond.errors import DownloadError

if TYPE_CHECKING:
    from requests import RequestException, Response

# `requests` knows certificates on every system and the proxies of the environment. Libraries for downloads were looked
# at: pooch neither resumes nor retries and follows redirects anywhere, huggingface_hub is for its own hub.

TIMEOUT_S = 30.0  # without a connection, or without another byte
PAUSES_S = (0.5, 1.0, 2.0)  # before each new attempt when a connection broke off
PATIENCE_S = 120.0  # with another process that fetches the same file and makes no headway
CHUNK_BYTES = 2**14  # small: what has come of a chunk is lost when the connection breaks off
MAX_REDIRECTS = 10
LOCAL = {"localhost", "127.0.0.1"}

Progress = Callable[[str, int, int | None], None]  # (file name, bytes so far, total if known)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that a publisher offers.

    Attributes:
        name: what it is called in the folder.
        url: https://, or http:// on this machine.
        sha256: its checksum in hex; None if nobody published one.
        size: bytes, if known; only looked at where there is no checksum.
        md5: a weaker checksum in hex, where nobody published the other one: against damage, not against malice.
    """

    name: str
    url: str
    sha256: str | None
    size: int | None
    md5: str | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The kind and the digits of the stronger checksum that is known."""
        known = (("sha256", self.sha256), ("md5", self.md5))
        return next(((kind, digits.lower()) for kind, digits in known if digits is not None), None)


class _BrokenOffError(Exception):
    """The server was there, but the file did not come through; another attempt may help."""


def cache_folder() -> Path:
    """Where downloads are kept: $TRIBOND_CACHE, or tribond's place in the user's cache. It may not exist yet."""
    chosen = os.environ.get("TRIBOND_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("tribond", appauthor=False)


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
    pauses_s: Sequence[float] = PAUSES_S,
) -> list[Path]:
    """Have files in a folder: those that are there already are checked, the others downloaded.

    The network is used only if a file is missing. What has come of one that was cut off stays as `NAME.part`, and the
    next call goes on from there if the checksum is known. Processes that want the same file wait for each other.

    Args:
        files: what to have.
        folder: where; made if need be.
        progress: called with the name, the bytes so far and the total of a file that is being downloaded. The bytes
            only grow, unless the server starts again from the beginning.
        timeout_s: how long to wait for a connection, or for the next bytes.
        pauses_s: the wait before each new attempt when a connection broke off.

    Returns:
        The paths, in the order of the files.

    Raises:
        DownloadError: if a file cannot be had, or one in the folder is not the one that was asked for.
    """
    paths = []
    for file in files:
        path = folder / file.name
        try:
            if not _is_there(file, path):
                folder.mkdir(parents=True, exist_ok=True)
                transfer = _Transfer(file, path, timeout_s, progress or (lambda *_: None))
                with _alone(transfer):
                    if not _is_there(file, path):  # another process may have been faster
                        _download(transfer, pauses_s)
        except OSError as error:
            what = f"cannot read or write in {folder} ({error.strerror or error}); TRIBOND_CACHE names another folder"
            raise _failure(file, path, what) from error
        paths.append(path)
    return paths


# ------------------------------------------------------------------------------------------- files in the folder


def _is_there(file: RemoteFile, path: Path) -> bool:
    """Whether the folder has the file; a wrong one is an error."""
    if not path.exists():
        return False
    if mismatch := _mismatch(file, path):
        msg = f"{path} is not the file at {file.url}: {mismatch}; delete it to download it again"
        raise DownloadError(msg)
    return True


def _mismatch(file: RemoteFile, path: Path) -> str:
    """What is wrong with a file, empty if nothing is."""
    if file.checksum is None:
        found_size = path.stat().st_size
        return "" if file.size in {None, found_size} else f"it has {found_size} bytes, expected {file.size}"
    kind, expected = file.checksum
    with path.open("rb") as content:
        found = hashlib.file_digest(content, kind).hexdigest()
    return "" if found == expected else f"its {kind} is {found}, expected {expected}"


def _failure(file: RemoteFile, path: Path, what: str) -> DownloadError:
    by_hand = f"without a network, get it on another machine and put it into {path.parent} as {path.name}"
    return DownloadError(f"{file.url}: {what}; {by_hand}")


# ------------------------------------------------------------------------------------------------- one download


@contextmanager
def _alone(transfer: "_Transfer") -> Iterator[None]:
    """Keep other processes and threads from the same file, after waiting for those that came first."""
    from filelock import FileLock, Timeout

    path = transfer.path
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    while not lock.is_locked:
        size = transfer.size_of_part()
        try:
            lock.acquire(timeout=PATIENCE_S)
        except Timeout as error:
            if transfer.size_of_part() == size:
                what = "another process is fetching it and makes no headway: end that process, then try again"
                raise _failure(transfer.file, path, what) from error
    try:
        yield
    finally:
        lock.release()


def _download(transfer: "_Transfer", pauses_s: Sequence[float]) -> None:
    """Fetch the part file, in as many attempts as it takes, check it and move it into place."""
    file, path, part = transfer.file, transfer.path, transfer.part
    if file.checksum is not None and part.is_file() and not _mismatch(file, part):
        part.replace(path)  # whole already: an earlier call was ended before its last step
        return
    for pause_s in (*pauses_s, None):
        try:
            transfer.attempt()
            break
        except _BrokenOffError as error:
            if pause_s is None:
                raise _failure(file, path, f"{error}, in the last of {len(pauses_s) + 1} attempts") from error
            time.sleep(pause_s)
    if mismatch := _mismatch(file, part):
        part.unlink()
        raise _failure(file, path, f"what the server sent is not the file that was expected: {mismatch}")
    part.replace(path)


@dataclass
class _Transfer:
    """A file on its way."""

    file: RemoteFile
    path: Path
    timeout_s: float
    progress: Progress
    validator: str | None = None  # which version of the file the server began to send

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    def size_of_part(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def attempt(self) -> None:
        """Fetch what the part file lacks, or everything.

        Raises:
            _BrokenOffError: if it is worth another attempt.
            DownloadError: if it is not.
        """
        import requests

        # Otherwise nothing would tell if the part were the beginning of another file.
        resumable = self.file.checksum is not None or self.validator is not None
        offset = self.size_of_part() if resumable else 0
        response = self._get(offset)
        if offset and (response.status_code == 416 or _extent(response)[0] not in {0, offset}):
            response.close()
            offset = 0
            response = self._get(offset)
        with response:
            self._check(response, offset)
            done, total = _extent(response)
            if total is None and self.file.checksum is None:
                what = "the server does not say how long the file is, and without a checksum nobody could tell if it is whole"
                raise _failure(self.file, self.path, what)
            with self.part.open("ab" if done else "wb") as output:
                self.progress(self.file.name, done, total)
                try:
                    for chunk in response.iter_content(CHUNK_BYTES):
                        output.write(chunk)
                        done += len(chunk)
                        self.progress(self.file.name, done, total)
                except requests.RequestException as error:
                    msg = f"the connection broke off after {done} of {total or 'unknown'} bytes ({_root(error)})"
                    raise _BrokenOffError(msg) from error
                output.flush()
                os.fsync(output.fileno())  # a new name may reach the disk before the content does
        if total not in {None, done}:
            msg = f"{done} bytes came where the server promised {total}"
            raise _BrokenOffError(msg)

    def _check(self, response: "Response", offset: int) -> None:
        """Refuse an answer that is not the file from this byte on, or from the beginning."""
        status = response.status_code
        if status not in {200, 206} or _extent(response)[0] not in {0, offset}:
            what = f"the server answers {status} {response.reason}"
            if status == 429 or status >= 500:
                raise _BrokenOffError(what)
            raise _failure(self.file, self.path, what)
        tag = response.headers.get("ETag", "W/")
        self.validator = response.headers.get("Last-Modified") if tag.startswith("W/") else tag

    def _get(self, offset: int) -> "Response":
        """Ask for the file from this byte on, along redirects."""
        import requests

        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if offset and self.validator:
            headers["If-Range"] = self.validator
        url = self.file.url
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
            raise _failure(self.file, self.path, "only https:// is allowed, and http:// on this machine")
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = requests.get(
                    url, headers=headers, stream=True, timeout=self.timeout_s, allow_redirects=False
                )
            except requests.RequestException as error:
                what = f"no answer from {urlsplit(url).hostname} ({_root(error)})"
                if _may_pass(error):
                    raise _BrokenOffError(what) from error
                raise _failure(self.file, self.path, what) from error
            if response.next is None:
                return response
            response.close()
            url = response.next.url or ""
            if urlsplit(url).scheme != "https":
                raise _failure(self.file, self.path, f"the server redirects to {url}, which is not https")
        raise _failure(self.file, self.path, f"the server redirects more than {MAX_REDIRECTS} times")


def _extent(response: "Response") -> tuple[int, int | None]:
    """The first byte that an answer brings (-1 if it does not say), and the size of the whole file if it says."""
    if response.status_code != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    found = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", response.headers.get("Content-Range", ""))
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _may_pass(error: "RequestException") -> bool:
    """Whether the server was reached: without a name, a route or a certificate, further attempts would fail alike."""
    import requests
    from urllib3.exceptions import MaxRetryError  # what requests wraps when no connection came about

    broke_off = isinstance(error, requests.ConnectionError | requests.Timeout)
    return broke_off and not isinstance(error.args[0], MaxRetryError)


def _root(error: BaseException) -> str:
    """What went wrong at the bottom of what requests and urllib3 wrap around it."""
    while True:  # not along __context__, which also leads to whatever the caller of fetch was handling
        wrapped = (getattr(error, "reason", None), error.__cause__, *error.args)
        inner = next((item for item in wrapped if isinstance(item, BaseException)), None)
        if inner is None:
            return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        error = inner
