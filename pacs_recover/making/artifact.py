"""A backup that was made and proven, and waits to be stored: its bytes in a private file, its name, its manifest."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from pacs_recover import __version__
from pacs_recover.formats.manifest import Manifest, Validity, encode
from pacs_recover.proving import Proven
from pacs_recover.sources import names
from pacs_recover.text import safe

WRAPPED = {"config": "tar.gz", "certs": "tar.enc", "queue": "db.gz", "logs": "gz"}
"""How the guide's scripts wrap each component."""
ENCRYPTED = {"config": "tar.gz.age", "certs": "tar.age", "queue": "db.gz.age", "logs": "gz.age"}
"""How each is wrapped where the site encrypts it with age."""


@dataclass(frozen=True)
class Title:
    """What a backup is called: the guide's name; of a log its own, with what tells each rotated file apart."""

    component: str
    taken_at: datetime
    format: str
    log: str = ""
    """The log's name before it was rotated: ``bridge.log``."""
    mark: str = ""
    """The first digits of the SHA-256 of a log's content."""
    number: int = 1
    """Which one it is of those of the same wall-clock second: an hour comes twice when the clocks go back."""

    def name(self, zone: tzinfo) -> str:
        """The file's name, with its time as a wall clock of that zone shows it."""
        digits = f"{self.taken_at.astimezone(zone):%Y%m%d_%H%M%S}"
        stem = f"{self.log}-{digits}-{self.mark}" if self.log else f"{self.component}_{digits}"
        return f"{stem}.{self.number}.{self.format}" if self.number > 1 else f"{stem}.{self.format}"

    def id(self, zone: tzinfo, source: str) -> str:
        """What the catalog calls it in that source."""
        said = names.read(self.name(zone), self.component)
        assert said is not None, "it is named as backups are"
        return names.backup_id(said, (self.component,), source)


@dataclass(frozen=True)
class Artifact:
    """The bytes as they are stored, proven to be restorable."""

    title: Title
    path: Path
    size: int
    sha256: str
    content: str = ""
    """The SHA-256 of what is inside, of a log."""
    rows: dict[str, int] | None = None
    certificates: tuple[Validity, ...] | None = None
    proven: Proven | None = None
    """What a verification finds of it."""

    @property
    def component(self) -> str:
        """Which part it is a backup of."""
        return self.title.component

    def manifest(self, name: str) -> bytes:
        """The manifest that lies beside it under this name."""
        return encode(
            Manifest(
                name=name,
                component=self.component,
                format=self.title.format,
                size=self.size,
                sha256=self.sha256,
                taken_at=self.title.taken_at,
                made_by=maker(),
                made_on=safe(socket.gethostname(), 200),
                program=f"pacs-recover {__version__}",
                rows=self.rows,
                certificates=list(self.certificates) if self.certificates is not None else None,
            )
        )


def maker() -> str:
    """Who makes it: the login behind a sudo, else the user that the schedule runs as."""
    from pacs_recover.plan import operator

    return operator()
