"""A server on this machine that offers one file, as well or as badly as a test wants."""

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one request is answered; the default is well."""

    status: int | None = None  # this, and no content
    headers: dict[str, str] = field(default_factory=dict)  # instead of those of a good answer
    cut_off_after: int | None = None  # bytes, then the connection is closed
    hang_up: bool = False  # close the connection without an answer
    hang_after: int | None = None  # bytes, then silence
    ignore_range: bool = False  # send everything, whatever was asked for
    no_length: bool = False
    new_content: bytes | None = None  # the file changes before this request


GOOD = Fault()


class FileServer(ThreadingHTTPServer):
    """Offers `content` under any path, with the next fault of `faults` for each request, and the last one for good."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.faults: list[Fault] = [GOOD]
        self.with_etag = True
        self.requests: list[dict[str, str]] = []  # headers, as they came
        self.bytes_sent = 0
        self.closing = threading.Event()  # ends the silence of those that hang

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.bin"

    def will(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)

    def next_fault(self) -> Fault:
        return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # those are the clients that went away
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self):
        server, fault = self.server, self.server.next_fault()
        server.requests.append(dict(self.headers))
        if fault.new_content is not None:
            server.content = fault.new_content
        if fault.hang_up:
            return
        tag = f'"{hash(server.content)}"'
        start = 0
        wanted = self.headers.get("Range")
        if wanted and not fault.ignore_range and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        total = len(server.content)
        too_far = start >= total > 0
        self.send_response(fault.status or (416 if too_far else 206 if start else 200))
        content = b"" if fault.status or too_far else server.content[start:]
        headers = {"Content-Length": str(len(content)), "Content-Range": f"bytes {start}-{total - 1}/{total}"}
        if server.with_etag:
            headers["ETag"] = tag
        if not start:
            del headers["Content-Range"]
        if fault.no_length:
            del headers["Content-Length"]
        for name, value in (headers | fault.headers).items():
            self.send_header(name, value)
        self.end_headers()
        sent = content[: fault.cut_off_after if fault.hang_after is None else fault.hang_after]
        server.bytes_sent += len(sent)
        self.wfile.write(sent)
        if fault.hang_after is not None:
            server.closing.wait()

    def log_message(self, *_):
        pass
