"""The health endpoint, asked over real sockets."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pacs_recover.services.health import probe

Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on the loopback interface that give each caller one answer, piece by piece; their ports."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(
        *pieces: bytes, pause: float = 0, wrap: ssl.SSLContext | None = None, asked: list[bytes] | None = None
    ) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        thread = threading.Thread(target=answer, args=(listener, pieces, pause, wrap, asked), daemon=True)
        threads.append(thread)
        thread.start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(10)


def answer(
    listener: socket.socket,
    pieces: tuple[bytes, ...],
    pause: float,
    wrap: ssl.SSLContext | None,
    asked: list[bytes] | None,
) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with suppress(OSError), wrap.wrap_socket(connection, server_side=True) if wrap else connection as stream:
                received = stream.recv(4096)
                if asked is not None:
                    asked.append(received)
                for piece in pieces:
                    stream.sendall(piece)
                    time.sleep(pause)


def reply(code: int, extra: str = "") -> bytes:
    return f"HTTP/1.1 {code} whatever\r\n{extra}Content-Length: 8\r\n\r\nDOE^JANE".encode()


@pytest.mark.parametrize("code", [200, 204, 299])
def test_an_answer_of_success_is_well(serve: Serve, code: int) -> None:
    asked: list[bytes] = []
    port = serve(reply(code), asked=asked)
    health = probe(f"http://127.0.0.1:{port}/health/ready?token=secret")
    assert health.ok
    assert health.detail == f"GET /health/ready at 127.0.0.1:{port}: {code}"
    assert asked[0].startswith(b"GET /health/ready?token=secret HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    ("code", "words"),
    [(503, "not ready"), (404, "/health/ready, not at /health"), (302, "not followed"), (500, "500"), (199, "199")],
)
def test_b15_any_other_answer_is_not_well_and_says_why(serve: Serve, code: int, words: str) -> None:
    port = serve(reply(code, "Location: http://127.0.0.1:1/\r\n"))
    health = probe(f"http://127.0.0.1:{port}/health")
    assert not health.ok
    assert f": {code}" in health.detail
    assert words in health.detail
    assert "DOE" not in health.detail


def test_a_port_where_nothing_listens_is_not_well() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        health = probe(f"http://127.0.0.1:{taken.getsockname()[1]}/health/ready")
    assert not health.ok
    assert "Connection refused" in health.detail


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ((b"\x0bMSH|^~\\&|PACS|DOE^JANE\r\x1c\r",), "does not answer in HTTP: is it the right port?"),
        ((), "hangs up without a word"),
        ((b"HTTP/1.1 2",), "does not answer in HTTP"),
    ],
)
def test_b15_what_is_not_http_is_not_well(serve: Serve, pieces: tuple[bytes, ...], words: str) -> None:
    health = probe(f"http://127.0.0.1:{serve(*pieces)}/health/ready")
    assert not health.ok
    assert words in health.detail
    assert "DOE" not in health.detail


def test_a_server_that_says_nothing_does_not_hold_us_up(serve: Serve) -> None:
    port = serve(b"", pause=1)
    began = time.monotonic()
    assert "no answer within 0.3 s" in probe(f"http://127.0.0.1:{port}/", 0.3).detail
    assert time.monotonic() - began < 3


def test_a_server_that_drips_does_not_hold_us_up(serve: Serve) -> None:
    port = serve(*[bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n"], pause=0.2)
    began = time.monotonic()
    assert not probe(f"http://127.0.0.1:{port}/", 0.5).ok
    assert time.monotonic() - began < 2


def test_an_answer_without_end_does_not_hold_us_up(serve: Serve) -> None:
    port = serve(reply(200), *[b"x" * 60000] * 1000)
    began = time.monotonic()
    assert probe(f"http://127.0.0.1:{port}/", 20).ok
    assert time.monotonic() - began < 10


def test_an_answer_that_arrives_in_pieces_is_read(serve: Serve) -> None:
    assert probe(f"http://127.0.0.1:{serve(b'HT', b'TP/1.0 20', b'0 OK', pause=0.05)}/").ok


def test_a_proxy_from_the_environment_is_not_asked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert probe(f"http://localhost:{serve(reply(200))}/").ok


@pytest.mark.parametrize(
    "url",
    ["", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/", "http://[::1/", "http://a/ b", "http://a/\r\nX: y"],
)
def test_a_url_that_cannot_be_asked_is_not_well(url: str) -> None:
    health = probe(url, 1)
    assert not health.ok
    assert "health URL" in health.detail


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a self-signed certificate."""
    key, file = (tmp_path_factory.mktemp("tls") / name for name in ("key.pem", "certificate.pem"))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    where = ["-keyout", str(key), "-out", str(file), "-subj", "/CN=bridge.example"]
    subprocess.run([*make, *where], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    return context


@pytest.mark.needs("openssl", reason="makes a certificate")
def test_on_the_loopback_interface_any_certificate_will_do_and_the_answer_says_so(
    serve: Serve, certificate: ssl.SSLContext
) -> None:
    health = probe(f"https://127.0.0.1:{serve(reply(200), wrap=certificate)}/health/ready")
    assert health.ok
    assert health.detail.endswith(": 200 (certificate not verified: loopback)")


@pytest.mark.needs("openssl", reason="makes a certificate")
def test_elsewhere_a_certificate_that_nobody_trusts_is_not_well(
    serve: Serve, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(reply(200), wrap=certificate)
    real = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda address, *rest: real(("127.0.0.1", port), *rest))
    health = probe("https://bridge.example/health/ready")
    assert not health.ok
    assert "its certificate is not trusted" in health.detail


def test_https_where_no_tls_is_spoken_is_not_well(serve: Serve) -> None:
    health = probe(f"https://127.0.0.1:{serve(reply(200))}/", 5)
    assert not health.ok
    assert "TLS" in health.detail


def test_a_tls_handshake_that_never_ends_does_not_hold_us_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        assert "no answer within" in probe(f"https://127.0.0.1:{listener.getsockname()[1]}/", 0.3).detail
        assert time.monotonic() - began < 3
