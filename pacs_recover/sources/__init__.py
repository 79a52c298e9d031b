"""The places that hold backups. They are only ever read: the protocol has no verb that writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from msgspec import Struct

from pacs_recover.model import Backup

if TYPE_CHECKING:
    from pacs_recover.site import Site


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

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """Its backups (of one component) in no certain order, each as soon as it is known. SourceError."""
        ...

    def open(self, backup: Backup, scratch: Path) -> AbstractContextManager[BinaryIO]:
        """The bytes of a backup as stored, in their order; what must be assembled first goes into ``scratch``.

        Raises SourceError, here and by later reads.
        """
        ...


def sources_of(site: Site, journals: Iterable[Path]) -> tuple[Source, ...]:
    """The site's own sources, what the runs of these journals set aside, and files that are named by path."""
    from pacs_recover.sources.aside import AsideSource
    from pacs_recover.sources.file import FileSource
    from pacs_recover.sources.local import LocalSource

    own = (LocalSource(config.name, config.path, site.zone(config)) for config in site.sources)
    return (*own, AsideSource(journals), FileSource(site.zone()))
