"""One X.509 certificate: what it says, read so that nothing odd in it escapes as a warning or a traceback."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from pacs_recover.errors import BadBackup
from pacs_recover.formats import private_key
from pacs_recover.text import safe

ODD = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for a certificate that breaks the rules."""
WEAK_HASHES = ("md5", "sha1")
MOST_NAMES = 100
"""Alternative names that are shown of one certificate."""
EMAIL = "emailAddress"
"""OpenSSL's name for an attribute that RFC 4514 leaves as its number."""


@dataclass(frozen=True)
class Certificate:
    """One certificate of a file, its texts made harmless."""

    file: str
    """Relative to the directory that was read."""
    position: int
    """In its file, from 1."""
    subject: str
    issuer: str
    serial: str
    """Hexadecimal, as openssl prints it."""
    sans: tuple[str, ...]
    names_hosts: bool
    """Whether one of its alternative names is a host's, as in a server's certificate."""
    not_before: datetime
    not_after: datetime
    is_ca: bool
    """By its basic constraints; one without any is a CA if it names itself as its issuer, as old roots do."""
    may_issue: bool
    """Whether its extensions do not forbid that it issues others; one of the first version has none."""
    public: bytes | None
    """Its public key as SubjectPublicKeyInfo, DER; None for a kind that cannot be read."""
    weakness: str
    """What in its key or signature is no longer trusted; empty for nothing."""
    parsed: x509.Certificate = field(repr=False)

    @property
    def name(self) -> str:
        """How it is called in a list: its file, and which one of that file."""
        return self.file if self.position == 1 else f"{self.file} #{self.position}"

    @property
    def own_issuer(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.parsed.issuer == self.parsed.subject


@contextmanager
def quietly() -> Iterator[None]:
    """The parser warns of what it will refuse one day (a negative serial, say); we report what we find ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def from_pem(text: bytes, file: str, position: int) -> Certificate:
    """One PEM block that says it is a certificate. BadBackup where it cannot be read."""
    try:
        parsed = x509.load_pem_x509_certificate(text.replace(b" X509 CERTIFICATE", b" CERTIFICATE"))
        return _describe(parsed, file, position)
    except ODD:
        raise BadBackup(f"its certificate {position} is damaged and cannot be read") from None


def from_der(data: bytes, file: str) -> Certificate | None:
    """A whole file as one DER certificate; None where it is none."""
    try:
        return _describe(x509.load_der_x509_certificate(data), file, 1)
    except ODD:
        return None


def _describe(parsed: x509.Certificate, file: str, position: int) -> Certificate:
    key, ca, names = _public_key(parsed), _basic_constraint(parsed), _alternative_names(parsed)
    return Certificate(
        file=file,
        position=position,
        subject=distinguished(parsed.subject),
        issuer=distinguished(parsed.issuer),
        serial=serial(parsed.serial_number),
        sans=tuple(_alternative_name(name) for name in names),
        names_hosts=any(isinstance(name, x509.DNSName | x509.IPAddress) for name in names),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        is_ca=parsed.issuer == parsed.subject if ca is None else ca,
        may_issue=ca is not False,
        public=private_key.public_bytes(key) if key else None,
        weakness=_weakness(parsed, key),
        parsed=parsed,
    )


def _public_key(parsed: x509.Certificate) -> PublicKeyTypes | None:
    try:
        return parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def distinguished(name: x509.Name) -> str:
    """A name in the order of the certificate, as ``openssl x509 -subject`` prints it from version 3.2 on."""
    return safe(", ".join("+".join(_attribute(part) for part in rdn) for rdn in name.rdns), 300)


def _attribute(part: x509.NameAttribute[str | bytes]) -> str:
    label = EMAIL if part.oid == NameOID.EMAIL_ADDRESS else part.rfc4514_attribute_name
    value = part.value if isinstance(part.value, str) else part.value.hex()
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    special = any(char in value for char in ',+<>;"') or value[:1] in ("#", " ") or value[-1:] == " "
    return f'{label}="{escaped}"' if special else f"{label}={escaped}"


def serial(number: int) -> str:
    """A serial number as openssl prints it: hexadecimal, an even number of digits."""
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + "0" * (len(digits) % 2) + digits


def _alternative_names(parsed: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    try:
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(found)[:MOST_NAMES]


def _alternative_name(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DNSName | x509.RFC822Name | x509.UniformResourceIdentifier | x509.IPAddress):
        return safe(name.value)
    return distinguished(name.value) if isinstance(name, x509.DirectoryName) else "another kind of name"


def _basic_constraint(parsed: x509.Certificate) -> bool | None:
    """Whether it says that it is an authority; None where it says nothing."""
    try:
        return parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return None


def _weakness(parsed: x509.Certificate, key: PublicKeyTypes | None) -> str:
    """The limits are those of NIST SP 800-131A; the signature of a root proves nothing, so its hash does not matter."""
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < 2048:
        return f"weak key ({private_key.kind(key)})"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 224:
        return f"weak key ({private_key.kind(key)})"
    try:
        algorithm = parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "signed with an algorithm that is not known here"
    weak = algorithm is not None and algorithm.name in WEAK_HASHES and parsed.issuer != parsed.subject
    return f"weak signature ({algorithm.name.upper()})" if algorithm and weak else ""
