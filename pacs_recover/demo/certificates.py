"""A real certificate authority for the demo: root, intermediate, and what they issue, all on P-256."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

SERVER_NAME = "pacs-bridge.demo-hospital.example"
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM, not encrypted: as the service reads it."""
        pkcs8, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, pkcs8, clear)


@dataclass(frozen=True)
class Authority:
    """A root and the intermediate that issues; their keys are kept nowhere, as a hospital's are not on the bridge."""

    root: Identity
    intermediate: Identity

    def server(self, issued: datetime) -> Identity:
        """A server certificate of 90 days."""
        names = x509.SubjectAlternativeName(
            [x509.DNSName(SERVER_NAME), x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        )
        return self._issue(SERVER_NAME, issued, 90, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, issued: datetime) -> Identity:
        """A client certificate of one year, with which the bridge calls its receivers."""
        names = x509.SubjectAlternativeName([x509.DNSName("client." + SERVER_NAME)])
        return self._issue("client." + SERVER_NAME, issued, 365, ExtendedKeyUsageOID.CLIENT_AUTH, names)

    def files(self, server: Identity, client: Identity) -> dict[str, bytes]:
        """The content of the service's certificate directory, by file name; ``server.crt`` carries its intermediate."""
        return {
            "ca.crt": self.root.certificate_pem,
            "intermediate.crt": self.intermediate.certificate_pem,
            "server.crt": server.certificate_pem + self.intermediate.certificate_pem,
            "server.key": server.key_pem,
            "client.crt": client.certificate_pem + self.intermediate.certificate_pem,
            "client.key": client.key_pem,
        }

    def _issue(
        self, name: str, issued: datetime, days: int, usage: ObjectIdentifier, names: x509.SubjectAlternativeName
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, self.intermediate, issued, timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(names, critical=False)
        return Identity(builder.sign(self.intermediate.key, hashes.SHA256()), key)


def authority(now: datetime) -> Authority:
    """A root of ten years and an intermediate of six, both two years old."""
    root = _certificate_authority("Demo Hospital Root CA (synthetic)", None, now - 2 * YEAR, 10 * YEAR, 1)
    issuing = _certificate_authority("Demo Hospital Issuing CA (synthetic)", root, now - 2 * YEAR, 6 * YEAR, 0)
    return Authority(root, issuing)


def _certificate_authority(
    name: str, issuer: Identity | None, issued: datetime, lifetime: timedelta, path_length: int
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key, issuer, issued, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: Identity | None, issued: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Demo Hospital"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    signer = issuer.key if issuer else key
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issued)
        .not_valid_after(issued + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
