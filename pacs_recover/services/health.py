"""Asking the service's health endpoint: only an answer of 200 to 299 counts."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from pacs_recover import __version__
from pacs_recover.text import safe, seconds

if TYPE_CHECKING:
    import ssl

LONGEST = 64 << 10
"""Bytes of an answer that are read, headers included."""
DRAIN = 0.2
"""Seconds that the rest of an answer may take to arrive."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r\n]")
_PRINTABLE = re.compile("[!-~]+")


@dataclass(frozen=True)
class Health:
    """Whether the service answered that it is well, and the evidence."""

    ok: bool
    detail: str


def probe(url: str, timeout: float = 5.0) -> Health:
    """Ask once, within ``timeout`` seconds in all (looking up a host's name apart); never raises, shows no content.

    It speaks to that address and no other: no proxy, no redirect. The certificate of a loopback address is not
    verified (it is issued for another name, if it is not self-signed); that of any other is.
    """
    try:
        if not _PRINTABLE.fullmatch(url):
            raise ValueError
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return Health(False, "the health URL must begin with http:// or https:// and name a host")
    except ValueError:
        return Health(False, "the health URL cannot be read")
    asked = f"GET {safe(parts.path or '/')} at {safe(parts.hostname)}:{port}"
    try:
        code = _ask(parts, parts.hostname, port, time.monotonic() + timeout)
    except TimeoutError:
        return Health(False, f"{asked}: no answer within {seconds(timeout)}")
    except OSError as error:
        return Health(False, f"{asked}: {_reason(error)}")
    except ValueError as error:
        return Health(False, f"{asked}: {error}")
    unverified = " (certificate not verified: loopback)" if parts.scheme == "https" and _loops(parts.hostname) else ""
    return Health(200 <= code <= 299, f"{asked}: {code}{_meaning(code)}{unverified}")


def _meaning(code: int) -> str:
    if code == 404:
        return ", there is no such path: PACS Bridge answers at /health/ready, not at /health"
    if code == 503:
        return ", it says that it is not ready"
    if 300 <= code <= 399:
        return ", a redirect, which is not followed: give the final address"
    return ""


def _ask(parts: SplitResult, host: str, port: int, deadline: float) -> int:
    """The status code. OSError, ssl.SSLError, TimeoutError; ValueError for what is not HTTP."""
    connection = socket.create_connection((host, port), _left(deadline))
    with connection if parts.scheme == "http" else _secured(connection, host, deadline) as stream:
        stream.settimeout(_left(deadline))
        stream.sendall(_request(parts, host, port))
        received = b""
        for piece in _pieces(stream, deadline):
            received += piece
            if match := _STATUS.match(received):
                _drain(stream, min(deadline, time.monotonic() + DRAIN))
                return int(match[1])
            if len(received) > 16:
                break
    raise ValueError("it does not answer in HTTP: is it the right port?" if received else "it hangs up without a word")


def _request(parts: SplitResult, host: str, port: int) -> bytes:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    lines = (f"GET {path} HTTP/1.1", f"Host: {name}:{port}", f"User-Agent: pacs-recover/{__version__}", "Accept: */*")
    return ("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode("ascii", "strict")


def _pieces(stream: socket.socket, deadline: float) -> Iterator[bytes]:
    """What comes, piece by piece, against one deadline: a server that drips does not hold us up."""
    total = 0
    while total < LONGEST:
        stream.settimeout(_left(deadline))
        piece = stream.recv(4096)
        if not piece:
            return
        total += len(piece)
        yield piece


def _reason(error: OSError) -> str:
    import ssl  # deferred: most services are asked without TLS

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {safe(error.verify_message)}"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS as expected ({safe(error.reason or error)})"
    return safe(error.strerror or error)


def _drain(stream: socket.socket, deadline: float) -> None:
    """Take the rest of the answer: one that hangs up in the middle makes the service log an error."""
    with suppress(OSError):
        for _ in _pieces(stream, deadline):
            pass


def _secured(connection: socket.socket, host: str, deadline: float) -> ssl.SSLSocket:
    import ssl

    context = ssl.create_default_context()
    if _loops(host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        connection.settimeout(_left(deadline))
        return context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _loops(host: str) -> bool:
    """Whether a host is this very machine, by its address or by the name that every machine has for itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
