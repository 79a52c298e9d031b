"""Real servers of Git repositories on the loopback, with throw-away keys: sshd, and https with git's own CGI."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SEPARATED = Path("/run/sshd")
"""Where sshd of Debian locks itself in; root's does not start without it, and only its service makes it."""


def run(*words: str | Path) -> None:
    """Run a program that must succeed."""
    subprocess.run(words, check=True, capture_output=True)


class Ssh:
    """A running sshd, and a client's settings for it in files that a test may spoil."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        for key in ("host", "user", "stranger"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / key)
        shutil.copy(home / "user.pub", home / "authorized")
        self.config = home / "client"
        self.knows("host")
        self.signs_in_with("user")

    def url(self, path: Path) -> str:
        """A repository on it."""
        return f"ssh://{getuser()}@127.0.0.1:{self.port}{path}"

    def knows(self, *keys: str) -> None:
        """Have the client know these keys as the host's."""
        lines = [f"[127.0.0.1]:{self.port} {(self.home / f'{key}.pub').read_text()}" for key in keys]
        (self.home / "known").write_text("".join(lines))

    def signs_in_with(self, key: str) -> None:
        """Have the client use this key."""
        own = {"IdentityFile": self.home / key, "UserKnownHostsFile": self.home / "known"}
        plain = {"IdentitiesOnly": "yes", "IdentityAgent": "none", "GlobalKnownHostsFile": "/dev/null"}
        self.config.write_text("".join(f"{name} {value}\n" for name, value in (own | plain).items()))

    def client(self) -> Path:
        """A directory for PATH with an ssh that reads these settings and is otherwise the real one."""
        program = self.home / "bin/ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        program.chmod(0o755)
        return program.parent


@contextmanager
def ssh_server(home: Path) -> Iterator[Ssh]:
    """An sshd for this user alone."""
    server = Ssh(home)
    settings = {
        "Port": server.port,
        "ListenAddress": "127.0.0.1",
        "HostKey": home / "host",
        "AuthorizedKeysFile": home / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (home / "sshd").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        SEPARATED.mkdir(mode=0o755, exist_ok=True)
    program = shutil.which("sshd")
    assert program
    process = subprocess.Popen([program, "-D", "-e", "-f", home / "sshd"], stderr=subprocess.DEVNULL)
    try:
        wait_for(server.port)
        yield server
    finally:
        process.terminate()
        process.wait(10)


class Https:
    """What an https server says: git's own CGI, the plain files, or one answer to everything."""

    def __init__(self, home: Path) -> None:
        self.root = home
        self.authority = home / "tls.pem"
        self.answer = 0
        """A status that everything is answered with; 0: as git does."""
        self.dumb = False
        self.port = 0

    def url(self, path: str) -> str:
        """A repository on it."""
        return f"https://127.0.0.1:{self.port}/{path}"


@contextmanager
def https_server(home: Path) -> Iterator[Https]:
    """An https server whose authority is its own certificate."""
    said = Https(home)
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", home / "tls.key", "-out", said.authority, "-days", "2", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(said.authority, home / "tls.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(said)) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        said.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield said
        server.shutdown()
        thread.join()


def handler(said: Https) -> type[BaseHTTPRequestHandler]:
    """A class of handlers for one server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # with lengths: TLS would miss the end of a connection that is just closed

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if said.answer:
                self.send_error(said.answer)
            elif said.dumb:
                self.file(said.root / path.lstrip("/"))
            else:
                self.cgi(path, query)

        do_POST = do_GET

        def file(self, path: Path) -> None:
            if not path.is_file():
                self.send_error(404)
                return
            self.gives(200, {}, path.read_bytes())

        def cgi(self, path: str, query: str) -> None:
            own = {
                "GIT_PROJECT_ROOT": str(said.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=plain | own, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            self.gives(int(headers.pop("Status", "200").split()[0]), headers, content)

        def gives(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Until something listens there."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")
