"""A real S3 server on a loopback port, and buckets on it."""

from __future__ import annotations

import atexit
import base64
import functools
import http.client
import ipaddress
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.site.sources import S3Config
from tests.sources.s3_proxy import Proxy

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
def server(tls: bool = False, strict: bool = False) -> int:
    """The port of the server, started once for all tests and stopped with them; a ``strict`` one knows no key."""
    pytest.importorskip("moto") if os.environ.get("REQUIRE_ALL") != "1" else __import__("moto")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    if tls:
        command += ["-c", str(authority().certificate), "-k", str(authority().key)]
    known = {"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if strict else {}
    process = subprocess.Popen(
        command, env={**os.environ, **known}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
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
