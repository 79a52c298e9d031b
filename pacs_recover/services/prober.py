"""The process that asks a sandboxed service from inside its network: one JSON question a line, one JSON answer a line.

``python -m pacs_recover.services.prober PID`` enters the network of that process first, and ends where it cannot.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import hashlib
import os
import socket
import ssl
import sys
import time
from contextlib import ExitStack

import msgspec
from msgspec import Struct

from pacs_recover.errors import RecoverError
from pacs_recover.formats.mllp import Peer
from pacs_recover.services.health import probe
from pacs_recover.text import safe

NS_GET_USERNS = 0xB701
"""linux/nsfs.h: a descriptor of the user namespace that owns a namespace."""
HOST = "127.0.0.1"
"""Nothing else can be reached in there."""


class AskHealth(Struct, frozen=True, tag="health"):
    """GET a URL; only 200 to 299 is well."""

    url: str
    timeout: float


class AskPort(Struct, frozen=True, tag="port"):
    """Connect to a port of loopback, and hang up."""

    port: int
    timeout: float


class AskMllp(Struct, frozen=True, tag="mllp"):
    """Send one message to the HL7 port of loopback and wait for the answer."""

    port: int
    message: bytes
    timeout: float
    tls: bool = False
    certificate: str = ""
    """A client certificate's file, and its key's; empty: none is shown."""
    key: str = ""


class Answer(Struct, frozen=True, omit_defaults=True):
    """What was seen; ``problem`` is empty where that is an answer."""

    problem: str = ""
    hint: str = ""
    detail: str = ""
    content: str = ""
    """Of the answer, base64."""
    certificate: str = ""
    """SHA-256 of the certificate that the service showed, hexadecimal."""
    seconds: float = 0.0


Question = AskHealth | AskPort | AskMllp


def answer(question: Question) -> Answer:
    """Ask it; whatever goes wrong is an answer too."""
    if isinstance(question, AskHealth):
        health = probe(question.url, question.timeout)
        return Answer(problem="" if health.ok else health.detail, detail=health.detail)
    try:
        return _exchange(question)
    except RecoverError as error:
        return Answer(problem=error.message, hint=error.hint)
    except ssl.SSLError as error:
        return Answer(problem=f"the TLS handshake failed: {safe(error.reason or type(error).__name__)}")
    except TimeoutError:
        return Answer(problem=f"no answer within {question.timeout:g} s")
    except OSError as error:
        return Answer(problem=f"port {question.port}: {safe(error.strerror or error)}")


def _exchange(question: AskPort | AskMllp) -> Answer:
    began = time.monotonic()
    deadline = began + question.timeout
    with ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection((HOST, question.port), question.timeout))
        if isinstance(question, AskPort):
            return Answer(seconds=time.monotonic() - began)
        connection, shown = plain, ""
        if question.tls:
            connection = stack.enter_context(_context(question).wrap_socket(plain))
            shown = hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
        peer = Peer(connection)
        peer.send(question.message, deadline)
        content = base64.b64encode(peer.receive(deadline)).decode()
    return Answer(content=content, certificate=shown, seconds=time.monotonic() - began)


def _context(question: AskMllp) -> ssl.SSLContext:
    """Without verification, as the address is loopback's: that it is the restored certificate is seen by its hash."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if question.certificate:
        context.load_cert_chain(question.certificate, question.key or None, password=lambda: "")
    return context


def enter(pid: int) -> None:
    """Move into the network of a process, through the user namespace that owns it where we are not root. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if os.geteuid() != 0:
        _move(libc, fcntl.ioctl(network, NS_GET_USERNS))
    _move(libc, network)


def _move(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def main(argv: list[str]) -> int:
    """Enter, then answer until the questions end."""
    enter(int(argv[0]))
    decoder = msgspec.json.Decoder(Question)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(answer(decoder.decode(line))) + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
