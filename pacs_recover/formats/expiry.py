"""How long the certificates of a service that runs last, and what is wrong with them now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats import x509
from pacs_recover.formats.assessment import Assessed
from pacs_recover.model import Fact, FactState


class Outlook(Struct, frozen=True):
    """The service's own certificates; where a directory holds none, its authorities."""

    soonest: Assessed
    """The one that expires first."""
    certificates: int
    troubles: tuple[Fact, ...]
    """What somebody has to see to, the worst first; an issuer that lies elsewhere is none."""

    @property
    def state(self) -> FactState:
        """The worst state of any trouble."""
        return self.troubles[0].state if self.troubles else "ok"


def outlook(tree: Path, now: datetime | None = None) -> Outlook:
    """Read and judge a directory of certificates; ``now`` is aware.

    Raises BadBackup where there is no directory, no certificate, or far too much in it; SourceError where it cannot
    be read.
    """
    report = x509.read_directory(tree, now)
    if not report.certificates:
        _nothing(report)
    own = [one for one in report.certificates if one.own] or list(report.certificates)
    soonest = min(own, key=lambda one: one.certificate.not_after)
    troubles = sorted(_troubles(own, report), key=lambda fact: fact.state != "bad")
    return Outlook(soonest, len(own), tuple(troubles))


def _nothing(report: x509.Report) -> None:
    """What was not looked into (a link that leads elsewhere, say) may well be certificates."""
    unseen = [f"{fact.label} {fact.value}" for fact in report.facts if fact.state == "warn"]
    if unseen:
        raise SourceError(f"no certificate could be read: {unseen[0]}")
    raise BadBackup("there is no certificate in it")


def _troubles(own: list[Assessed], report: x509.Report) -> Iterator[Fact]:
    """Of the own certificates what is bad, dates and keys; of everything else what is bad."""
    for one in own:
        yield from (fact for fact in one.findings if fact.state == "bad" or fact in one.pressing)
    names = {one.certificate.name for one in own}
    yield from (fact for fact in report.facts if fact.state == "bad" and fact.label not in names)
