"""Verifying stored backups: read to their end, judged, and on request held against another program's result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacs_recover import looks
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.formats.streams import CHUNK
from pacs_recover.model import Backup, Fact
from pacs_recover.site import Site
from pacs_recover.site.model import LitestreamConfig
from pacs_recover.sources import replica_of
from pacs_recover.sources.litestream import LitestreamSource
from pacs_recover.state import State

SAME = "Litestream's own program restores the same"
READ = "it can be read"


@dataclass(frozen=True)
class Verified:
    """What came of one backup."""

    backup: Backup
    checks: tuple[Fact, ...]
    is_read: bool = True
    """False: its source could not be read, which tells nothing of the backup."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return all(check.state != "bad" for check in self.checks)


def verify(site: Site, backup: Backup, state: State, binary: Path | None = None) -> Verified:
    """Read a backup to its end and judge it; a point of a replica also against the program, where one is given."""
    try:
        seen = looks.preview(site, backup, state, what="verify")
        crossed = (_crossed(site, backup, state, binary),) if binary and seen.state != "bad" else ()
    except RecoverError as error:
        why = f"{error.message} ({error.hint})" if error.hint else error.message
        return Verified(backup, (Fact(READ, why, "bad"),), is_read=False)
    return Verified(backup, (*backup.findings, *seen.facts, *crossed))


def replica(site: Site, backup: Backup) -> LitestreamSource | None:
    """The replica that a backup is a point of; None where it is none."""
    configs = (source for source in site.sources if isinstance(source, LitestreamConfig))
    return next((replica_of(config, site) for config in configs if config.name == backup.source), None)


def refuse_uncrossable(site: Site, backups: Sequence[Backup]) -> None:
    """UsageError where none of these is a point of a replica."""
    if not any(replica(site, backup) for backup in backups):
        raise UsageError("none of these is a point of a Litestream replica", "name one of: pacs-recover points")


def _crossed(site: Site, backup: Backup, state: State, binary: Path) -> Fact:
    """Whether both restore the same bytes. SourceError where a program or source fails."""
    from pacs_recover.sources.litestream_vendor import restored

    source = replica(site, backup)
    if source is None:
        return Fact(SAME, "not a point of a Litestream replica", "warn")
    with state.audit.noting("verify", f"{backup.id} by {binary.name}", site.name), state.scratch() as scratch:
        with source.open(backup, scratch) as raw:
            digest = hashlib.sha256()
            while chunk := raw.read(CHUNK):
                digest.update(chunk)
        ours = digest.hexdigest()
        theirs = restored(source, backup, binary, scratch)
    if ours == theirs:
        return Fact(SAME, f"SHA-256 {ours[:16]}, by {binary}")
    return Fact(SAME, f"{binary} makes SHA-256 {theirs[:16]} of it, not {ours[:16]}", "bad")


def to_json(results: Sequence[Verified]) -> dict[str, Any]:
    """The JSON contract of ``verify``."""
    return {
        "results": [
            {
                "backup": one.backup.id,
                "ok": one.ok,
                "checks": [{"name": c.label, "state": c.state, "evidence": c.value} for c in one.checks],
            }
            for one in results
        ],
        "ok": all(one.ok for one in results),
    }
