"""Downloads: nothing without need, nothing twice, nothing unchecked, and errors that help without a network."""

import hashlib
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock

from tests.checkpoints.http_server import GOOD, Fault, FileServer
from tribond.checkpoints import download
from tribond.checkpoints.download import RemoteFile, cache_folder, fetch
from tribond.errors import DownloadError

CHUNK = download.CHUNK_BYTES
CONTENT = b"".join(number.to_bytes(4) for number in range(2 * CHUNK))  # eight chunks, none like another
HALF = len(CONTENT) // 2
OTHER = CONTENT[::-1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """The way to this machine leads through nobody else's."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with FileServer(CONTENT) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server) -> RemoteFile:
    return RemoteFile(name="model.bin", url=server.url, sha256=sha256(CONTENT), size=len(CONTENT))


@pytest.fixture
def unchecked(server) -> RemoteFile:
    return RemoteFile(name="model.bin", url=server.url, sha256=None, size=None)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Not there yet."""
    return tmp_path / "cache" / "models"


def get(file, folder, progress=None, timeout_s=5.0, pauses_s=(0.0, 0.0, 0.0)) -> Path:
    """The file, without the patience of real life."""
    (path,) = fetch([file], folder, progress=progress, timeout_s=timeout_s, pauses_s=pauses_s)
    return path


def failure(file, folder, **settings) -> str:
    """What the error says, which always holds the address and what to do without a network."""
    with pytest.raises(DownloadError) as error:
        get(file, folder, **settings)
    message = str(error.value)
    assert message.startswith(f"{file.url}: ")
    assert message.endswith(f"put it into {folder} as {file.name}")
    assert not (folder / file.name).exists()
    return message


def visible(folder: Path) -> dict[str, bytes]:
    """What is in the folder, but for the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


# The cache


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIBOND_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRIBOND_CACHE", "~/there")
    assert cache_folder() == tmp_path / "there"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [None, ""])
def test_or_in_the_place_for_caches(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("TRIBOND_CACHE", raising=False)
    else:
        monkeypatch.setenv("TRIBOND_CACHE", value)
    assert cache_folder() == platformdirs.user_cache_path("tribond", appauthor=False)


# Whole files


def test_a_file_comes_whole_and_nothing_else_stays(file, folder, server):
    assert get(file, folder) == folder / "model.bin"
    assert visible(folder) == {"model.bin": CONTENT}
    assert len(server.requests) == 1
    assert "Range" not in server.requests[0]
    assert server.requests[0]["Accept-Encoding"] == "identity"  # a compressed file could not be resumed


def test_so_does_one_without_a_checksum(unchecked, folder):
    assert get(unchecked, folder).read_bytes() == CONTENT


def test_so_does_one_whose_length_the_server_does_not_say(file, folder, server):
    server.will([Fault(no_length=True)])
    assert get(file, folder).read_bytes() == CONTENT


def test_so_does_an_empty_one(server, folder):
    server.content = b""
    empty = RemoteFile(name="empty", url=server.url, sha256=sha256(b""), size=0)
    assert get(empty, folder).read_bytes() == b""


def test_several_files_come_in_their_order(server, folder):
    files = [RemoteFile(name=name, url=server.url, sha256=None, size=len(CONTENT)) for name in ("b", "a")]
    assert fetch(files, folder) == [folder / "b", folder / "a"]
    assert fetch([], folder) == []


def test_checksums_may_be_in_capitals(file, folder, server):
    capital = RemoteFile(name=file.name, url=file.url, sha256=file.sha256.upper(), size=None)
    assert get(capital, folder) == get(capital, folder)


def test_files_are_as_readable_as_any_other(file, folder):
    path = get(file, folder)
    (folder / "plain").write_text("")
    assert path.stat().st_mode == (folder / "plain").stat().st_mode


# Files that are there


@pytest.mark.parametrize("known", [{"sha256": sha256(CONTENT)}, {"size": len(CONTENT)}, {}], ids=str)
def test_what_is_there_is_used_without_asking_the_network(server, tmp_path, known):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    file = RemoteFile(name="model.bin", url=server.url, **({"sha256": None, "size": None} | known))
    assert get(file, tmp_path, progress=pytest.fail) == tmp_path / "model.bin"
    assert not server.requests
    assert visible(tmp_path) == {"model.bin": CONTENT}


def test_a_folder_that_cannot_be_written_is_good_enough_for_that(file, tmp_path, monkeypatch):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    before = list(tmp_path.iterdir())
    monkeypatch.setattr(Path, "mkdir", pytest.fail)
    assert get(file, tmp_path)
    assert list(tmp_path.iterdir()) == before


def test_a_file_put_there_by_hand_serves_even_where_the_address_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    assert get(RemoteFile(name="model.bin", url="ftp://x/y", sha256=sha256(CONTENT), size=None), tmp_path)


@pytest.mark.parametrize("content", [OTHER, b"", CONTENT[:-1]], ids=["other", "empty", "short"])
def test_a_wrong_file_is_neither_used_nor_replaced(file, tmp_path, server, content):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(DownloadError, match=f"sha256 is {sha256(content)}, expected {sha256(CONTENT)}") as error:
        get(file, tmp_path)
    assert str(error.value).startswith(f"{path} is not the file at {file.url}")
    assert "delete it to download it again" in str(error.value)
    assert path.read_bytes() == content
    assert not server.requests
    path.unlink()
    assert get(file, tmp_path).read_bytes() == CONTENT


def test_without_a_checksum_the_size_tells(server, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"short")
    with pytest.raises(DownloadError, match=f"it has 5 bytes, expected {len(CONTENT)}; delete it"):
        get(RemoteFile(name="model.bin", url=server.url, sha256=None, size=len(CONTENT)), tmp_path)


def test_a_part_is_not_taken_for_the_file(file, tmp_path, server):
    """Not even one of its length: where it goes on, the server has nothing to send."""
    (tmp_path / "model.bin.part").write_bytes(CONTENT[:-1] + b"x")
    assert get(file, tmp_path).read_bytes() == CONTENT
    assert server.requests[0]["Range"] == f"bytes={len(CONTENT)}-"  # beyond its end: status 416
    assert "Range" not in server.requests[1]
    assert visible(tmp_path) == {"model.bin": CONTENT}


def test_a_part_that_is_whole_is_the_file(file, tmp_path, server):
    """The process may have been killed between the last byte and the last step."""
    (tmp_path / "model.bin.part").write_bytes(CONTENT)
    assert get(file, tmp_path).read_bytes() == CONTENT
    assert not server.requests
    assert visible(tmp_path) == {"model.bin": CONTENT}


def test_without_a_checksum_a_file_of_unknown_length_is_refused(unchecked, folder, server):
    """It may have been cut off anywhere."""
    server.will([Fault(no_length=True)])
    assert "does not say how long" in failure(unchecked, folder)
    assert not visible(folder)


# Connections that break off


def test_a_download_that_breaks_off_goes_on_where_it_was(file, folder, server):
    server.will([Fault(cut_off_after=HALF), GOOD])
    assert get(file, folder).read_bytes() == CONTENT
    first, second = server.requests
    assert "Range" not in first
    assert second["Range"] == f"bytes={HALF}-"
    assert second["If-Range"] == f'"{hash(CONTENT)}"'
    assert server.bytes_sent == len(CONTENT)
    assert visible(folder) == {"model.bin": CONTENT}


def test_it_may_break_off_three_times(file, folder, server):
    server.will([Fault(cut_off_after=CHUNK)] * 3 + [GOOD])
    assert get(file, folder).read_bytes() == CONTENT
    assert [request.get("Range") for request in server.requests] == [
        None,
        *(f"bytes={count * CHUNK}-" for count in (1, 2, 3)),
    ]


def test_after_that_it_is_an_error_and_the_next_call_goes_on(file, folder, server):
    server.will([Fault(cut_off_after=CHUNK)])
    message = failure(file, folder)
    assert f"broke off after {4 * CHUNK} of {len(CONTENT)} bytes (IncompleteRead" in message
    assert "4 attempts" in message
    assert visible(folder) == {"model.bin.part": CONTENT[: 4 * CHUNK]}
    server.will([GOOD])
    assert get(file, folder).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={4 * CHUNK}-"
    assert server.bytes_sent == len(CONTENT)


def test_between_attempts_there_is_a_pause(file, folder, server, monkeypatch):
    server.will([Fault(cut_off_after=0)])
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    failure(file, folder, pauses_s=download.PAUSES_S)
    assert pauses == list(download.PAUSES_S)


@pytest.mark.parametrize("fault", [Fault(hang_up=True), Fault(status=503), Fault(status=429)], ids=str)
def test_a_server_in_trouble_is_asked_again(file, folder, server, fault):
    server.will([fault, fault, GOOD])
    assert get(file, folder).read_bytes() == CONTENT


def test_a_part_is_not_lost_while_the_server_is_in_trouble(file, folder, server):
    server.will([Fault(cut_off_after=HALF), Fault(status=503), Fault(hang_up=True), GOOD])
    assert get(file, folder).read_bytes() == CONTENT
    assert server.bytes_sent == len(CONTENT)


def test_a_server_that_falls_silent_is_given_up(file, folder, server):
    server.will([Fault(hang_after=HALF), GOOD])
    assert get(file, folder, timeout_s=0.1).read_bytes() == CONTENT
    assert server.bytes_sent == len(CONTENT)


def test_a_server_that_is_always_silent_is_an_error(file, folder, server):
    server.will([Fault(hang_after=0)])
    before = time.monotonic()
    message = failure(file, folder, timeout_s=0.05)
    assert "timed out" in message
    assert time.monotonic() - before < 5
    assert len(server.requests) == 4


# Servers that do not go on


@pytest.mark.parametrize(
    "answer",
    [
        Fault(ignore_range=True),
        Fault(headers={"Content-Range": f"bytes {HALF - 1}-{len(CONTENT) - 1}/{len(CONTENT)}"}),
        Fault(headers={"Content-Range": "nonsense"}),
        Fault(status=416),
    ],
    ids=["no ranges", "another range", "no range", "416"],
)
def test_where_the_server_does_not_go_on_it_starts_again(file, folder, server, answer):
    server.will([Fault(cut_off_after=HALF), answer, GOOD])
    assert get(file, folder).read_bytes() == CONTENT


def test_a_server_that_sends_the_rest_in_pieces_is_asked_for_all_of_them(unchecked, folder, server):
    piece = CONTENT[HALF : HALF + CHUNK]
    headers = {
        "Content-Range": f"bytes {HALF}-{HALF + CHUNK - 1}/{len(CONTENT)}",
        "Content-Length": str(len(piece)),
    }
    server.will([Fault(cut_off_after=HALF), Fault(headers=headers, cut_off_after=CHUNK), GOOD])
    assert get(unchecked, folder).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={HALF + CHUNK}-"


def test_a_file_that_changes_meanwhile_is_not_pieced_together(unchecked, folder, server):
    server.will([Fault(cut_off_after=HALF), Fault(new_content=OTHER), GOOD])
    assert get(unchecked, folder).read_bytes() == OTHER
    assert len(server.requests) == 2


def test_without_checksum_and_version_nothing_is_resumed(unchecked, folder, server):
    server.with_etag = False
    server.will([Fault(cut_off_after=HALF), GOOD])
    assert get(unchecked, folder).read_bytes() == CONTENT
    assert "Range" not in server.requests[1]


def test_a_date_is_a_version_too(unchecked, folder, server):
    """And a weak tag is none."""
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    server.will([Fault(cut_off_after=HALF, headers={"ETag": 'W/"1"', "Last-Modified": date}), GOOD])
    assert get(unchecked, folder).read_bytes() == CONTENT
    assert server.requests[1]["If-Range"] == date


def test_without_a_checksum_a_part_of_earlier_days_is_not_trusted(unchecked, tmp_path, server):
    (tmp_path / "model.bin.part").write_bytes(OTHER[:HALF])
    assert get(unchecked, tmp_path).read_bytes() == CONTENT
    assert "Range" not in server.requests[0]


# Files that are not what they should be


def test_a_wrong_checksum_is_an_error_and_nothing_stays(file, folder, server):
    server.content = OTHER
    message = failure(file, folder)
    assert f"its sha256 is {sha256(OTHER)}, expected {sha256(CONTENT)}" in message
    assert visible(folder) == {}
    assert len(server.requests) == 1


def test_a_part_of_another_file_is_found_out_and_removed(file, tmp_path):
    (tmp_path / "model.bin.part").write_bytes(OTHER[:HALF])
    assert "sha256" in failure(file, tmp_path)
    assert visible(tmp_path) == {}
    assert get(file, tmp_path).read_bytes() == CONTENT


def test_a_wrong_size_is_an_error_where_there_is_no_checksum(server, folder):
    file = RemoteFile(name="model.bin", url=server.url, sha256=None, size=len(CONTENT) + 1)
    assert f"it has {len(CONTENT)} bytes, expected {len(CONTENT) + 1}" in failure(file, folder)
    assert visible(folder) == {}


def test_a_server_that_promises_more_than_it_has_is_an_error(unchecked, folder, server):
    server.will([Fault(headers={"Content-Length": str(len(CONTENT) + 7)})])
    assert f"of {len(CONTENT) + 7} bytes" in failure(unchecked, folder)


# Servers that refuse


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (202, 1), (204, 1), (304, 1), (206, 1), (500, 4)])
def test_a_status_that_is_no_file_is_an_error_that_names_it(file, folder, server, status, requests):
    server.will([Fault(status=status, headers={"Content-Range": "nonsense"})])
    assert f"the server answers {status} " in failure(file, folder)
    assert len(server.requests) == requests


def test_where_nobody_listens_the_connection_is_refused(folder, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", pytest.fail)  # it would be refused again
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/model.bin"
        message = failure(RemoteFile(name="model.bin", url=url, sha256=None, size=None), folder, pauses_s=(9,))
    assert "no answer from 127.0.0.1 (Connection refused)" in message


def test_the_reason_is_not_what_the_caller_was_busy_with(file, folder, server):
    server.will([Fault(hang_up=True)])
    try:
        raise FileNotFoundError(2, "No such model")
    except FileNotFoundError:
        message = failure(file, folder)
    assert "no answer from 127.0.0.1 (Remote end closed connection without response)" in message


def test_a_name_that_nobody_knows_is_an_error(folder, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(download.time, "sleep", pytest.fail)
    message = failure(RemoteFile(name="m", url="https://no.example/m", sha256=None, size=None), folder, pauses_s=(9,))
    assert "no answer from no.example (Name or service not known)" in message


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/model.bin",
        "http://localhost.example.org/model.bin",
        "http://127.0.0.1@example.org/model.bin",
        "ftp://localhost/model.bin",
        "file:///etc/hostname",
        "data:,x",
        "/etc/hostname",
        "",
    ],
)
def test_only_https_is_allowed(folder, url, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)
    assert "only https:// is allowed" in failure(RemoteFile(name="m", url=url, sha256=None, size=None), folder)


@pytest.mark.parametrize("target", ["http://example.org/m", "http://127.0.0.1/m", "file:///etc/hostname", "/other"])
def test_redirects_lead_only_to_https(file, folder, server, target):
    server.will([Fault(status=302, headers={"Location": target})])
    message = failure(file, folder)
    assert "redirects to " in message
    assert "which is not https" in message
    assert len(server.requests) == 1


# https


@pytest.fixture
def tls_server(server, tmp_path):
    """The server, with a certificate that nobody signed; returns the certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate]
    subject = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", *curve, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # the client goes away, as it should
    return certificate


@pytest.fixture
def secure(server, tls_server) -> RemoteFile:
    url = f"https://localhost:{server.server_port}/model.bin"
    return RemoteFile(name="model.bin", url=url, sha256=sha256(CONTENT), size=None)


def test_a_certificate_that_nobody_signed_is_refused(secure, folder, server):
    assert "certificate verify failed" in failure(secure, folder)
    assert not server.requests


def test_one_that_the_machine_trusts_is_not(secure, folder, tls_server, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server))
    assert get(secure, folder).read_bytes() == CONTENT


def test_redirects_are_followed_and_keep_the_range(secure, folder, server, tls_server, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server))
    elsewhere = Fault(status=302, headers={"Location": "/elsewhere"})
    server.will([elsewhere, Fault(cut_off_after=HALF), elsewhere, GOOD])
    assert get(secure, folder).read_bytes() == CONTENT
    assert [request.get("Range") for request in server.requests] == [None, None, *[f"bytes={HALF}-"] * 2]


def test_but_not_forever(secure, folder, server, tls_server, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server))
    server.will([Fault(status=302, headers={"Location": "/elsewhere"})])
    assert "redirects more than 10 times" in failure(secure, folder)


# Folders that cannot be written


def test_a_folder_that_cannot_be_made_is_an_error(file, tmp_path, server):
    (tmp_path / "occupied").write_text("")
    message = failure(file, tmp_path / "occupied" / "models")
    assert "Not a directory" in message
    assert "TRIBOND_CACHE" in message
    assert not server.requests


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_so_is_one_that_cannot_be_written(file, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in failure(file, tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_so_is_a_full_disk(file, tmp_path):
    (tmp_path / "model.bin.part").symlink_to("/dev/full")
    assert "No space left on device" in failure(file, tmp_path)


# Several at once


def test_threads_that_want_the_same_file_download_it_once(file, folder, server):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: get(file, folder), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert server.bytes_sent == len(CONTENT)


def test_so_do_processes(file, folder, server):
    code = f"""
import sys
from pathlib import Path
from tribond.checkpoints.download import RemoteFile, fetch
print(len(fetch([{file!r}], Path(sys.argv[1]))[0].read_bytes()))
"""
    server.will([Fault(cut_off_after=HALF), GOOD])
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in processes] == [str(len(CONTENT))] * 3
    assert server.bytes_sent == len(CONTENT)


def test_another_process_that_makes_no_headway_is_an_error(file, folder, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE_S", 0.05)
    folder.mkdir(parents=True)
    with FileLock(folder / ".model.bin.lock"):
        assert "another process is fetching it" in failure(file, folder)
    assert get(file, folder).read_bytes() == CONTENT


def test_one_that_makes_headway_is_waited_for(file, folder, server, monkeypatch):
    folder.mkdir(parents=True)
    lock = FileLock(folder / ".model.bin.lock")
    sizes = itertools.count()

    def growing(_):
        if (size := next(sizes)) == 10:  # after a few spells of patience the other process is done
            (folder / "model.bin").write_bytes(CONTENT)
            lock.release()
        return size

    monkeypatch.setattr(download, "PATIENCE_S", 0.01)
    monkeypatch.setattr(download._Transfer, "size_of_part", growing)
    lock.acquire()
    assert get(file, folder).read_bytes() == CONTENT
    assert not server.requests


# Progress


def reports(file, folder, **settings) -> tuple[list[int], set[int | None]]:
    """Bytes and totals that were reported."""
    calls = []
    get(file, folder, progress=lambda *call: calls.append(call), **settings)
    assert {name for name, _, _ in calls} == {file.name}
    return [done for _, done, _ in calls], {total for _, _, total in calls}


def test_progress_grows_from_nothing_to_the_total(file, folder):
    done, totals = reports(file, folder)
    assert done == sorted(done)
    assert (done[0], done[-1], len(done)) == (0, len(CONTENT), 9)
    assert totals == {len(CONTENT)}


def test_it_grows_on_when_a_download_is_resumed(file, folder, server):
    server.will([Fault(cut_off_after=HALF), GOOD])
    done, totals = reports(file, folder)
    assert done == sorted(done)
    assert done.count(HALF) == 2
    assert totals == {len(CONTENT)}


def test_the_total_may_be_unknown(file, folder, server):
    server.will([Fault(no_length=True)])
    done, totals = reports(file, folder)
    assert done[-1] == len(CONTENT)
    assert totals == {None}


def test_an_interrupted_download_is_resumed(file, folder, server):
    def interrupt(_, done, __):
        if done >= HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(file, folder, progress=interrupt)
    assert visible(folder) == {"model.bin.part": CONTENT[:HALF]}
    assert get(file, folder).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={HALF}-"


# Imports


def test_neither_the_import_nor_a_file_that_is_there_needs_the_network_library(tmp_path):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    code = f"""
import os, sys
from pathlib import Path
from tribond.checkpoints.download import RemoteFile, fetch
fetch([RemoteFile(name="model.bin", url="https://x/y", sha256={sha256(CONTENT)!r}, size=None)], Path({str(tmp_path)!r}))
print(sorted({{"requests", "platformdirs", "filelock", "torch"}} & set(sys.modules)), os.listdir({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['model.bin']"
