"""Whether the certificates and keys of one directory are fit for a service that starts now.

A certificate counts as the service's *own* when it is no authority, or has a key here. Own certificates that are
expired, not valid yet, without a sound chain or beside a key of another are bad: the service would not start or nobody
would talk to it. An authority is only trusted or passed on: that one of a bundle has expired is a warning, unless it is
needed for an own certificate, whose chain is then broken.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import PurePath

from pacs_recover.formats.certificate import Certificate
from pacs_recover.formats.chain import Issuers
from pacs_recover.formats.private_key import PrivateKey
from pacs_recover.model import Fact, FactState
from pacs_recover.text import count

SOON = timedelta(days=30)
"""A certificate that expires within this time is a warning."""
ROLE = re.compile(r"full-?chain|cert(ificate)?|crt|priv(ate)?|key|[-_.]", re.IGNORECASE)
"""What a certificate's file name does not share with its key's: ``tls-cert.pem`` and ``tls-key.pem``."""


@dataclass(frozen=True)
class Assessed:
    """One certificate and what was found of it."""

    certificate: Certificate
    days_left: int
    """Whole days; negative once it has expired."""
    key_matches: bool | None
    """Whether its private key is here; None where no key is, or only an encrypted one."""
    own: bool
    findings: tuple[Fact, ...]
    """Validity first; the label is the certificate's name."""

    @property
    def state(self) -> FactState:
        """The worst state of any finding."""
        states = {fact.state for fact in self.findings}
        return "bad" if "bad" in states else "warn" if "warn" in states else "ok"

    @property
    def pressing(self) -> tuple[Fact, ...]:
        """What is not fine about its dates and, of an own one, its key."""
        return tuple(fact for fact in self.findings[: 2 if self.own else 1] if fact.state != "ok")


class Directory:
    """The certificates and keys that lie together, as of one moment."""

    def __init__(self, certificates: Iterable[Certificate], keys: Iterable[PrivateKey], now: datetime) -> None:
        self._certificates = tuple(certificates)
        self._keys = tuple(keys)
        self._now = now
        self._issuers = Issuers(self._certificates, now)
        self._public_of_keys = {key.public for key in self._keys if key.public}
        self._public_of_certificates = {one.public for one in self._certificates if one.public}
        self._namesakes: defaultdict[str, set[PrivateKey]] = defaultdict(set)
        for key in self._keys:
            self._namesakes[pair_name(key.file)].add(key)

    def certificates(self) -> Iterator[Assessed]:
        """Every certificate, assessed, in the order of the files."""
        for certificate in self._certificates:
            yield self._assess(certificate)

    def keys(self) -> Iterator[Fact]:
        """What is worth saying of the keys themselves, one line for each."""
        own = [one for one in self._certificates if self._is_own(one)]
        lonely = any(one.public not in self._public_of_keys for one in own)
        namesakes = {pair_name(one.file) for one in own}
        for key in self._keys:
            if key.problem:
                yield Fact(key.file, key.problem, "bad")
            elif key.encrypted:
                yield Fact(key.file, "private key, encrypted: which certificate it belongs to is not known", "warn")
            elif key.public in self._public_of_certificates:
                yield Fact(key.file, f"private key, {key.kind}")
            else:
                needed = lonely or pair_name(key.file) in namesakes
                yield Fact(key.file, f"private key, {key.kind}: matches no certificate", "bad" if needed else "warn")

    def _assess(self, one: Certificate) -> Assessed:
        own = self._is_own(one)
        matches, key = self._key(one)
        findings = [self._validity(one, own)]
        if own:
            chain = self._issuers.chain(one)
            findings += [Fact(one.name, *key), Fact(one.name, chain.words, chain.state)]
        if one.weakness:
            findings.append(Fact(one.name, one.weakness, "warn"))
        return Assessed(one, (one.not_after - self._now).days, matches, own, tuple(findings))

    def _is_own(self, one: Certificate) -> bool:
        """A self-signed server certificate is often marked as an authority: its key or its host names give it away."""
        first = one.position == 1
        named = first and (pair_name(one.file) in self._namesakes or (one.own_issuer and one.names_hosts))
        return not one.is_ca or one.public in self._public_of_keys or named

    def _validity(self, one: Certificate, own: bool) -> Fact:
        state: FactState = "bad" if own else "warn"
        left = one.not_after - self._now
        if left < timedelta(0):
            ago = count((-left).days, "day")
            return Fact(one.name, f"EXPIRED on {one.not_after:%Y-%m-%d} ({ago} ago)", state)
        if one.not_before > self._now:
            return Fact(one.name, f"NOT VALID before {one.not_before:%Y-%m-%d %H:%M} UTC", state)
        until = f"{one.not_after:%Y-%m-%d} ({count(left.days, 'day')} left)"
        if left < SOON:
            return Fact(one.name, f"expires soon, on {until}", "warn")
        return Fact(one.name, f"valid until {until}")

    def _key(self, one: Certificate) -> tuple[bool | None, tuple[str, FactState]]:
        """By public key, not by name; but a key of the same name that is another's is what the service would load."""
        namesakes = self._namesakes.get(pair_name(one.file), set()) if one.position == 1 else set()
        others = sorted(key.file for key in namesakes if key.public and key.public != one.public)
        if others and not any(key.public == one.public for key in namesakes):
            return False, (f"MISMATCHED: {others[0]} is the key of another certificate", "bad")
        if one.public and one.public in self._public_of_keys:
            return True, ("its key is here and matches", "ok")
        if any(key.encrypted for key in self._keys):
            return None, ("whether its key matches is not known: the key is encrypted", "warn")
        return None, ("its private key is not beside it", "warn")


def pair_name(file: str) -> str:
    """What the names of a certificate and its key have in common, with their directory."""
    path = PurePath(file)
    return str(path.parent / ROLE.sub("", path.stem.lower()))


def order(assessed: Iterable[Assessed]) -> Iterator[Fact]:
    """Files whose certificates do not lie as a server sends them: its own first, then each one's issuer."""
    files: dict[str, list[Assessed]] = {}
    for one in assessed:
        files.setdefault(one.certificate.file, []).append(one)
    for file, found in files.items():
        chain = [one.certificate.parsed for one in found]
        in_order = all(one.issuer == other.subject for one, other in pairwise(chain))
        if any(one.own for one in found) and not (found[0].own and in_order):
            yield Fact(file, "its certificates are out of order: the service's own, then each one's issuer", "warn")
