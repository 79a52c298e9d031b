"""Where backups go: the site's own sources, written to beside being read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pacs_recover.errors import UsageError
from pacs_recover.making.artifact import Artifact
from pacs_recover.proving import Proven
from pacs_recover.site import GitConfig, LitestreamConfig, LocalConfig, S3Config, Site, SourceConfig
from pacs_recover.text import safe


@dataclass(frozen=True)
class Stored:
    """What came of storing one backup."""

    id: str
    """What the catalog calls it."""
    note: str = ""
    """What else there is to say: that it was there already."""
    proven: Proven | None = None
    """What was found of it there; None where nothing new was."""


class Destination(Protocol):
    """A place that takes files; nothing in it is ever overwritten."""

    @property
    def name(self) -> str:
        """What the site calls it."""
        ...

    def begin(self, component: str) -> Iterator[str]:
        """See that it is there, and clear away what a killed backup left; says what. RecoverError, OSError."""
        ...

    def has(self, made: Artifact) -> bool:
        """Whether a backup of this name is there. RecoverError, OSError."""
        ...

    def store(self, made: Artifact) -> Stored:
        """Store it, read it back, hold it against its hash. RecoverError, OSError."""
        ...


def chosen(site: Site, named: Sequence[str], components: Sequence[str]) -> tuple[SourceConfig, ...]:
    """The places that were named, else those of the site file, else its first directory. UsageError."""
    sources = {source.name: source for source in site.sources}
    wanted = list(dict.fromkeys(named or site.backup.to or _usual(site)))
    for name in wanted:
        if name not in sources:
            raise UsageError(f"there is no source {safe(name)}", f"one of: {', '.join(map(safe, sources))}")
        if isinstance(sources[name], LitestreamConfig):
            raise UsageError(f"{safe(name)} is a replica, which Litestream writes", "name a directory, a bucket or Git")
        if named and isinstance(sources[name], GitConfig) and "config" not in components:
            raise UsageError(
                f"{safe(name)} is a Git repository, which takes the configuration alone", "name another place: --to"
            )
    return tuple(sources[name] for name in wanted)


def _usual(site: Site) -> list[str]:
    found = [source.name for source in site.sources if isinstance(source, LocalConfig)][:1]
    if not found:
        raise UsageError("it is not said where backups go", "name a source of the site: --to NAME, or backup.to")
    return found


def of_files(config: SourceConfig, site: Site) -> Destination | None:
    """The directory or bucket that a section of the site file describes; None for Git, which takes no files."""
    match config:
        case LocalConfig():
            from pacs_recover.making.directory import Directory

            return Directory(config, site)
        case S3Config():
            from pacs_recover.making.bucket import Bucket

            return Bucket(config, site)
        case _:
            return None
