"""A proxy before an S3 server that does what networks and denials do."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Fault:
    """What the proxy does to one exchange."""

    code: str = ""
    """An error that is answered instead, with ``status``."""
    status: int = 403
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Answered instead of the error's XML, or of the server's body."""
    delay: float = 0
    cut: int | None = None
    """Bytes of the body after which the connection is broken."""
    flip: int | None = None
    """The byte of the body that is changed."""
    answer: dict[str, str] = field(default_factory=dict)
    """Headers of the server's answer that are replaced."""
    swap: tuple[str, str] | None = None
    """A part of the request's path and what the server gets in its place."""
    without: tuple[str, ...] = ()
    """Headers of the request that the server does not get to see."""


@dataclass(frozen=True)
class Request:
    """One request that came by."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


Meddle = Callable[[Request], Fault | None]


class Proxy:
    """Before the server, on a port of its own."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.meddle: Meddle = lambda request: None
        self.seen: list[Request] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The endpoint to use."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop it."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @contextmanager
    def meddling(self, meddle: Meddle) -> Iterator[None]:
        """Do this to every exchange for a while."""
        before, self.meddle = self.meddle, meddle
        try:
            yield
        finally:
            self.meddle = before


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, unquote(self.path), {k.lower(): v for k, v in self.headers.items()}, body)
        self.owner.seen.append(request)
        fault = self.owner.meddle(request) or Fault()
        time.sleep(fault.delay)
        if fault.code or (fault.body is not None and fault.status != 200):
            self._error(fault)
            return
        try:
            self._pass_on(body, fault)
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _error(self, fault: Fault) -> None:
        xml = f"<Error><Code>{fault.code}</Code><Message>said so</Message></Error>"
        if self.command == "POST":  # as STS has it
            xml = f"<ErrorResponse>{xml}</ErrorResponse>"
        data = fault.body if fault.body is not None else xml.encode()
        self.send_response_only(fault.status)
        for name, value in {
            "Content-Length": str(len(data)),
            "Content-Type": "text/xml",
            "Date": self.date_time_string(),
            **fault.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _pass_on(self, body: bytes, fault: Fault) -> None:
        server = http.client.HTTPConnection("127.0.0.1", self.owner.upstream, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in fault.without and k != "Connection"}
        path = self.path.replace(*fault.swap) if fault.swap else self.path
        server.request(self.command, path, body, headers)
        answer = server.getresponse()
        data = bytearray(answer.read() if fault.body is None else fault.body)
        server.close()
        if fault.flip is not None and fault.flip < len(data):
            data[fault.flip] ^= 1
        self.send_response(answer.status)
        skipped = ("connection", "transfer-encoding", "date", "server", "content-length")
        for name, value in answer.getheaders():
            if name.lower() not in skipped and name.lower() not in fault.answer:
                self.send_header(name, value)
        for name, value in fault.answer.items():
            self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(data[: fault.cut])
        if fault.cut is not None and fault.cut < len(data):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


def not_listing(prefix: str) -> Meddle:
    """Listing what begins with this is denied."""
    asked = f"prefix={prefix}"
    return lambda request: Fault("AccessDenied") if request.method == "GET" and asked in request.path else None
