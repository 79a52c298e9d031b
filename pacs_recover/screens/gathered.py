"""What the sources gave so far: each is shown as soon as it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pacs_recover.catalog import Catalog


@dataclass
class Gathered:
    """The catalogs of single sources, put together."""

    waiting: set[str] = field(default_factory=set)
    """Names of sources that have not answered yet."""
    parts: dict[str, Catalog] = field(default_factory=dict)
    _whole: Catalog | None = None

    def expect(self, names: set[str]) -> None:
        """Begin anew: what is known of these sources stays until they answer."""
        self.waiting = set(names)
        self.parts = {name: part for name, part in self.parts.items() if name in names}
        self._whole = None

    def add(self, name: str, part: Catalog) -> None:
        """A source answered."""
        self.waiting.discard(name)
        self.parts[name] = part
        self._whole = None

    def grow(self, name: str, part: Catalog) -> None:
        """A source has given this much, and goes on; what was known of it before stays while that is more."""
        from pacs_recover.catalog import Catalog

        known = self.parts.get(name)
        if name in self.waiting and (known is None or len(part.backups) > len(known.backups)):
            self.parts[name] = Catalog(part.backups, ())
            self._whole = None

    def fail(self, name: str, kind: str, error: str, hint: str) -> None:
        """A source could not even be asked."""
        from pacs_recover.catalog import Catalog, SourceState

        self.add(name, Catalog((), (SourceState(name, kind, False, error, hint),)))

    @property
    def catalog(self) -> Catalog:
        """Everything so far, newest first."""
        from pacs_recover.catalog import Catalog

        if self._whole is None:
            backups = [backup for part in self.parts.values() for backup in part.backups]
            backups.sort(key=attrgetter("id"), reverse=True)
            backups.sort(key=attrgetter("taken_at"), reverse=True)  # twice costs less than a pair for each of many
            states = tuple(state for part in self.parts.values() for state in part.sources)
            self._whole = Catalog(tuple(backups), states)
        return self._whole
