"""Chains of certificates: who issued whom, proven by signature, up to a certificate that issued itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from pacs_recover.formats.certificate import Certificate
from pacs_recover.model import FactState

LONGEST = 10
"""Certificates of one chain; real ones have two to four."""
MOST_CANDIDATES = 8
"""Certificates of one name whose signatures are tried, so that a thousand of one name cost no minutes."""


@dataclass(frozen=True)
class Chain:
    """How far a certificate's issuers can be followed, and what is wrong with them."""

    words: str
    state: FactState


class Issuers:
    """The certificates that may have issued others, by their subject."""

    def __init__(self, certificates: Iterable[Certificate], now: datetime) -> None:
        self._now = now
        self._by_subject: defaultdict[x509.Name, list[Certificate]] = defaultdict(list)
        for certificate in {one.parsed: one for one in certificates}.values():
            self._by_subject[certificate.parsed.subject].append(certificate)

    def chain(self, certificate: Certificate) -> Chain:
        """Follow the issuers of a certificate to the root."""
        current = certificate
        for _ in range(LONGEST):
            if current.own_issuer and _signed(current, current):
                words = "self-signed" if current is certificate else f"complete up to {current.subject}"
                return Chain(words, "ok")
            found = self._issuer(current)
            if isinstance(found, Chain):
                return found
            current = found
        return Chain(f"broken chain: more than {LONGEST} issuers", "bad")

    def _issuer(self, certificate: Certificate) -> Certificate | Chain:
        """The best certificate that signed this one; where there is none that is sound, what that means."""
        named = self._by_subject[certificate.parsed.issuer]
        if not named:
            return Chain(f"issuer not beside it: {certificate.issuer}", "warn")
        signers = [one for one in sorted(named, key=self._worth)[:MOST_CANDIDATES] if _signed(certificate, one)]
        if not signers:
            return Chain(f"broken chain: {certificate.issuer} did not sign {certificate.name}", "bad")
        best = signers[0]
        if not best.may_issue:
            return Chain(f"broken chain: {best.name} is no certificate authority", "bad")
        if not self._valid(best):
            when = "expired" if best.not_after < self._now else "is not valid yet"
            return Chain(f"broken chain: its issuer {best.name} ({best.subject}) {when}", "bad")
        return best

    def _worth(self, certificate: Certificate) -> tuple[bool, bool, float]:
        """A renewed authority keeps its name and key: the one that may issue and is valid comes first."""
        return (not certificate.may_issue, not self._valid(certificate), -certificate.not_after.timestamp())

    def _valid(self, certificate: Certificate) -> bool:
        return certificate.not_before <= self._now <= certificate.not_after


def _signed(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer's key made the certificate's signature; one that cannot be checked counts as no."""
    try:
        _verify(certificate.parsed, issuer.parsed.public_key())
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _verify(parsed: x509.Certificate, key: PublicKeyTypes) -> None:
    """Check a signature; the library's own check knows no SHA-1 and MD5, which make a weak chain, not a broken one.

    Raises InvalidSignature; TypeError for a key that makes no such signatures.
    """
    signature, signed, algorithm = parsed.signature, parsed.tbs_certificate_bytes, parsed.signature_hash_algorithm
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, signed)
    elif isinstance(key, rsa.RSAPublicKey) and algorithm:
        scheme = parsed.signature_algorithm_parameters
        key.verify(signature, signed, scheme if isinstance(scheme, PSS) else PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm:
        key.verify(signature, signed, ec.ECDSA(algorithm))
    elif isinstance(key, dsa.DSAPublicKey) and algorithm:
        key.verify(signature, signed, algorithm)
    else:
        raise TypeError("a key that signs no certificates")
