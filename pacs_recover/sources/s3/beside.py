"""Which objects lie beside a backup's and record its hash, told from a listing in the order of its keys."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from pacs_recover.model import Backup
from pacs_recover.sources import names


class Beside:
    """Backups that wait until the keys that begin like theirs have passed."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Backup]] = []
        self._found: dict[str, str] = {}

    def wait(self, key: str, backup: Backup) -> None:
        """Take a backup whose manifest may come next."""
        self._waiting.append((key, backup))

    def passing(self, key: str, url: str = "") -> Iterator[Backup]:
        """The backups beside which nothing more can come, as this key (of a manifest at ``url``) has come."""
        if url:
            self._found[key] = url
        done = [one for one in self._waiting if not key.startswith(one[0])]
        self._waiting = [one for one in self._waiting if key.startswith(one[0])]
        yield from (self._told(*one) for one in done)
        if not self._waiting:
            self._found.clear()

    def rest(self) -> Iterator[Backup]:
        """The backups that still wait at the end."""
        yield from self.passing("")

    def _told(self, key: str, backup: Backup) -> Backup:
        recorded = names.recorded(key, self._found.__contains__)
        return replace(backup, recorded=self._found[recorded]) if recorded else backup
