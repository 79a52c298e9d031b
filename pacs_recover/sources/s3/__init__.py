"""Backups in a bucket of AWS S3, or of any server that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO

from pacs_recover.authority import Authority
from pacs_recover.errors import SourceError
from pacs_recover.model import Backup, Fact
from pacs_recover.site.model import Objective
from pacs_recover.site.sources import S3Config
from pacs_recover.sources import Problem
from pacs_recover.sources.s3 import archive, bucket
from pacs_recover.sources.s3.archive import Thaw, Tier
from pacs_recover.sources.s3.client import connected
from pacs_recover.sources.s3.download import opened
from pacs_recover.sources.s3.errors import Told, Unreadable
from pacs_recover.sources.s3.listing import Listing
from pacs_recover.sources.s3.place import Place, place_of
from pacs_recover.text import safe


class S3Source:
    """The backups below one prefix of a bucket, told by their names as in a directory."""

    kind = "s3"
    proof = ""

    def __init__(self, config: S3Config, zone: tzinfo, objectives: Mapping[str, Objective] | None = None) -> None:
        self.name = config.name
        self.config = config
        self.zone = zone
        """In which names are read."""
        self.objectives = dict(objectives or {})
        """By component: what the time to read an archived backup is held against."""

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """Every backup below the prefix, page by page; older and deleted ones too, where the bucket keeps versions."""
        with connected(self.config) as client:
            yield from Listing(self, client, component).run()

    @contextmanager
    def open(self, backup: Backup, scratch: Path) -> Iterator[BinaryIO]:  # noqa: ARG002 - the protocol's
        """The object's bytes, fetched in parallel, verified at their end. SourceError, here and by later reads."""
        place = place_of(backup.key)
        if place.bucket != self.config.bucket:
            raise SourceError(
                f"{place} is not in the bucket {safe(self.config.bucket)} of the source {safe(self.name)}",
                "the site file has changed since: see pacs-recover catalog",
            )
        with self._thawed(backup, place), opened(self.config, place, backup.size) as file:
            yield file

    @contextmanager
    def _thawed(self, backup: Backup, place: Place) -> Iterator[None]:
        """Have the error of an archived object say how long a thaw takes, and how it is asked for."""
        try:
            yield
        except Unreadable as error:
            if error.code != "InvalidObjectState":
                raise
            objective = self.objectives.get(backup.component)
            archived = archive.needs_thaw(backup.storage_class or "", objective.rto if objective else None)
            told = Told(f"it is archived and not thawed; {archived}", f"pacs-recover thaw {safe(backup.id)}")
            raise Unreadable(place, error.code, told) from error


class S3Archive:
    """The same bucket, asked about single objects, and for a thaw."""

    def __init__(self, source: S3Source) -> None:
        self.source = source

    def facts(self, backup: Backup) -> tuple[Fact, ...]:
        """What the bucket says of this object beyond its listing. SourceError."""
        return bucket.facts_of(self.source, backup)

    def state_of(self, backup: Backup) -> Thaw:
        """Whether it can be read now. SourceError."""
        return archive.state_of(self.source, backup)

    def thaw(self, backup: Backup, authority: Authority, tier: Tier, days: int) -> Thaw:
        """Have an archived backup made readable for some days, which costs. Refused, SourceError, UsageError."""
        return archive.thaw(self.source, backup, authority, tier, days)


__all__ = ["S3Archive", "S3Source"]
