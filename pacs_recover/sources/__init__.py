"""The places that hold backups. They are only ever read: the protocol has no verb that writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from msgspec import Struct

from pacs_recover.authority import Authority
from pacs_recover.model import Backup, Fact
from pacs_recover.site.sources import GitConfig, LitestreamConfig, LocalConfig, S3Config, SourceConfig

if TYPE_CHECKING:
    from pacs_recover.site import Site
    from pacs_recover.sources.litestream import LitestreamSource
    from pacs_recover.sources.litestream_store import Store
    from pacs_recover.sources.s3.archive import Thaw, Tier

REPLICA = "litestream"
"""The kind of a source whose backups are points in time: very many, of one database."""


class Problem(Struct, frozen=True):
    """A part of a source that could not be read; the rest is listed all the same."""

    place: str
    """Already safe to show."""
    reason: str
    hint: str = ""


class Source(Protocol):
    """A place that holds backups."""

    @property
    def name(self) -> str:
        """What the site calls it; the part of an id after ``@``."""
        ...

    @property
    def kind(self) -> str:
        """Which kind of place it is."""
        ...

    @property
    def proof(self) -> str:
        """What a read to the end holds a backup's bytes against by itself; empty where a manifest can lie beside it."""
        ...

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """Its backups (of one component) in no certain order, each as soon as it is known. SourceError."""
        ...

    def open(self, backup: Backup, scratch: Path) -> AbstractContextManager[BinaryIO]:
        """The bytes of a backup as stored, in their order; what must be assembled first goes into ``scratch``.

        Raises SourceError, here and by later reads.
        """
        ...


class Archive(Protocol):
    """What a source can be asked of single backups, where they may have to be thawed to be read."""

    def facts(self, backup: Backup) -> tuple[Fact, ...]:
        """What it says of this one backup. SourceError."""
        ...

    def state_of(self, backup: Backup) -> Thaw:
        """Whether it can be read now. SourceError."""
        ...

    def thaw(self, backup: Backup, authority: Authority, tier: Tier, days: int) -> Thaw:
        """Have it made readable for some days: the one request to a source that changes anything, and it costs.

        Raises Refused, SourceError, UsageError.
        """
        ...


def archive_of(source: Source) -> Archive | None:
    """The archive behind a source, which itself only lists and opens; None where there is none."""
    if source.kind != "s3":
        return None
    from pacs_recover.sources.s3 import S3Archive, S3Source

    return S3Archive(source) if isinstance(source, S3Source) else None


def sources_of(site: Site, journals: Iterable[Path]) -> tuple[Source, ...]:
    """The site's own sources, what the runs of these journals set aside, and files that are named by path."""
    from pacs_recover.sources.aside import AsideSource
    from pacs_recover.sources.file import FileSource

    own = (_source(config, site) for config in site.sources)
    return (*own, AsideSource(journals), FileSource(site.zone()))


def _source(config: SourceConfig, site: Site) -> Source:
    """The source that a section of the site file describes; each kind is imported only where a site has one."""
    match config:
        case LocalConfig():
            from pacs_recover.sources.local import LocalSource

            return LocalSource(config.name, config.path, site.zone(config))
        case S3Config():
            from pacs_recover.sources.s3 import S3Source

            return S3Source(config, site.zone(config), site.objectives)
        case GitConfig():
            from pacs_recover.sources.git import GitSource

            return GitSource(config.name, config.repository, config.branch, config.directory)
        case LitestreamConfig():
            return replica_of(config, site)


def replica_of(config: LitestreamConfig, site: Site) -> LitestreamSource:
    """The Litestream replica that a section of the site file describes."""
    from pacs_recover.sources.litestream import LitestreamSource

    return LitestreamSource(config.name, _store(config), site.live.queue)


def _store(config: LitestreamConfig) -> Store:
    if config.s3 is not None:
        from pacs_recover.sources.s3.store import S3Store

        return S3Store(config.s3)
    from pacs_recover.sources.litestream_store import FileStore

    assert config.path is not None, "the site file was checked"
    return FileStore(config.path)
