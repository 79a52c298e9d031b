"""A real S3 server on a loopback port, and a proxy before it that does what networks do."""

from __future__ import annotations

import atexit
import base64
import functools
import http.client
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pacs_recover.site.model import S3Config

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
NOT_OURS = [
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "AWS_ROLE_ARN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "REQUESTS_CA_BUNDLE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
]


@contextmanager
def credentials() -> Iterator[None]:
    """Variables as a client of the test's server has them, and none of the machine's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NOT_OURS:
            patch.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def server(tls: bool = False) -> int:
    """The port of the server, started once for all tests and stopped with them."""
    pytest.importorskip("moto") if os.environ.get("REQUIRE_ALL") != "1" else __import__("moto")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    if tls:
        command += ["-c", str(authority().certificate), "-k", str(authority().key)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(_stop, process)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        assert process.poll() is None, "the S3 server ended at once"
        time.sleep(0.05)
    raise AssertionError("the S3 server does not answer")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


@dataclass(frozen=True)
class Authority:
    """A CA of our own, and what it gave the server for 127.0.0.1."""

    bundle: Path
    certificate: Path
    key: Path


@functools.cache
def authority() -> Authority:
    """Made once for all tests."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    home, now = Path(tempfile.mkdtemp(prefix="s3-ca-")), datetime.now(UTC)
    home.chmod(0o755)
    ca_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def signed(subject: str, public: Any, *extensions: tuple[Any, bool]) -> bytes:
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("test CA")).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = (x509.BasicConstraints(ca=True, path_length=0), True), (usage, True), (identifier, False)
    own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = Authority(home / "ca.pem", home / "server.pem", home / "server.key")
    made.bundle.write_bytes(signed("test CA", ca_key.public_key(), *ca))
    made.certificate.write_bytes(signed("127.0.0.1", own_key.public_key(), (own, False), (issuer, False)))
    made.key.write_bytes(
        own_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


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
        request = Request(self.command, unquote(self.path), {k.lower(): v for k, v in self.headers.items()})
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


class Bucket:
    """A bucket of its own on the server, seen through a proxy of its own."""

    def __init__(self, *, versions: bool = False, lock: bool = False) -> None:
        import boto3
        from botocore.config import Config

        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.proxy = Proxy(server())
        self.client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{server()}",
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )
        self.client.create_bucket(Bucket=self.name, ObjectLockEnabledForBucket=lock)
        if versions:
            self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})

    def put(self, key: str, content: bytes = b"content", **more: Any) -> str:
        """Store an object; its version."""
        named = {"Bucket": self.name, "Key": key, "ContentMD5": base64.b64encode(md5(content).digest()).decode()}
        return str(self.client.put_object(**named, Body=content, **more).get("VersionId") or "")

    def put_many(self, keys: Iterable[str]) -> None:
        """Store empty objects, as fast as the server takes them (it asks for no signature)."""
        connection = http.client.HTTPConnection("127.0.0.1", server(), timeout=60)
        for key in keys:
            connection.request("PUT", f"/{self.name}/{key}", b"", {"Content-Length": "0"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()

    def delete(self, key: str) -> None:
        """Delete it as anybody would: where versions are kept it gets a delete marker."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def config(self, **more: Any) -> S3Config:
        """As a site file names it."""
        told = {"name": "s3", "bucket": self.name, "endpoint": self.proxy.url, "region": "us-east-1"}
        return S3Config(**{**told, **more})

    def state(self) -> list[tuple[Any, ...]]:
        """All that a write would change."""
        found = self.client.list_object_versions(Bucket=self.name).get("Versions", [])
        return [(one["Key"], one["ETag"], one["LastModified"], one["VersionId"], one["StorageClass"]) for one in found]

    def close(self) -> None:
        """End the proxy and the client."""
        self.proxy.close()
        self.client.close()


def not_listing(prefix: str) -> Meddle:
    """Listing what begins with this is denied."""
    asked = f"prefix={prefix}"
    return lambda request: Fault("AccessDenied") if request.method == "GET" and asked in request.path else None


def tls_context() -> ssl.SSLContext:
    """That of a server of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority().certificate, authority().key)
    return context
