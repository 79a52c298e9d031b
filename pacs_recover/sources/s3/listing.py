"""Which of a bucket's objects are backups, and what is odd about each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from pacs_recover.errors import SourceError
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.model import COMPONENTS, Backup, Fact
from pacs_recover.sources import Problem, names
from pacs_recover.sources.s3 import archive, bucket
from pacs_recover.sources.s3.beside import Beside
from pacs_recover.sources.s3.errors import Unreadable
from pacs_recover.sources.s3.pages import Entry, Page, pages, side_by_side
from pacs_recover.sources.s3.place import Place
from pacs_recover.text import stamp

if TYPE_CHECKING:
    from pacs_recover.sources.s3 import S3Source

UNABLE = ("AccessDenied", "NotImplemented", "NoSuchKey")
"""Why a server does not list versions, that may list what is current."""
LOOKED_AT = 50
"""Archived objects of a page whose state is asked for one by one, the last, where a listing does not tell it."""


class Listing:
    """One listing: it asks for versions where the bucket keeps them, and goes on without where it may not."""

    def __init__(self, source: S3Source, client: Any, component: str | None) -> None:
        self.source = source
        self.client = client
        self.component = component
        self.top = Place(source.config.bucket, source.config.prefix)
        self.now = datetime.now(UTC)
        self.ids = names.Ids()
        self.without_versions: Unreadable | None = None
        self.beside = Beside()

    def run(self) -> Iterator[Backup | Problem]:
        """Every backup, and what could not be listed. SourceError where the bucket cannot be read at all."""
        try:
            yield from self._found()
        except SourceError:
            yield from self.beside.rest()
            raise
        yield from self.beside.rest()

    def _found(self) -> Iterator[Backup | Problem]:
        self.versions = bucket.keeps_versions(self.client, self.top)
        directories: list[str] = []
        denied: Unreadable | None = None
        try:
            for page in self._pages(self.top, level=True):
                directories += page.directories
                yield from self._backups(page)
        except Unreadable as error:
            if error.code != "AccessDenied":
                raise
            denied = error  # rights are often given by prefix: the guide's own may be open
            directories = [f"{self.top.key}{name}/" for name in COMPONENTS]
        yield from self._below(sorted(directories, key=self._order), denied)
        if self.versions and self.without_versions:
            yield _problem(self.top, self.without_versions)

    def _below(self, directories: list[str], denied: Unreadable | None) -> Iterator[Backup | Problem]:
        places = [Place(self.top.bucket, name) for name in directories if not self._is_passed_over(name)]
        read, problems = False, []
        with closing(side_by_side(places, self._pages)) as found:
            for place, page in found:
                if isinstance(page, SourceError):
                    problems.append(_problem(place, page))
                    if not denied:
                        yield problems[-1]
                else:
                    read = True
                    yield from self._backups(page)
        if denied:
            yield from problems if read else [_problem(self.top, denied)]

    def _order(self, directory: str) -> tuple[int, str]:
        name = directory.removesuffix("/").rpartition("/")[2]
        return (COMPONENTS.index(name) if name in COMPONENTS else len(COMPONENTS)), directory

    def _is_passed_over(self, directory: str) -> bool:
        return directory.removesuffix("/").rpartition("/")[2].startswith(".")

    def _pages(self, place: Place, level: bool = False) -> Iterator[Page]:
        if self.versions is not False:
            begun = False
            try:
                for page in pages(self.client, place, versions=True, level=level):
                    begun = True
                    yield self._looked_at(page)
                return
            except Unreadable as error:
                if begun or error.code not in UNABLE:
                    raise
                self.without_versions = error
        for page in pages(self.client, place, versions=False, level=level):
            yield self._looked_at(page)

    def _looked_at(self, page: Page) -> Page:
        """With the state of what is archived: AWS tells it in a listing, other servers do not."""
        if self.source.config.endpoint is None:
            return page
        unknown = [one for one in page.entries if archive.is_archived(one.storage_class) and not one.thawed_until]
        if not unknown:
            return page
        known = {(one.key, one.version): self._state(one) for one in unknown[-LOOKED_AT:]}
        return msgspec.structs.replace(
            page, entries=tuple(known.get((one.key, one.version), one) for one in page.entries)
        )

    def _state(self, entry: Entry) -> Entry:
        try:
            thaw = archive.state_at(self.client, self._place(entry))
        except SourceError:
            return entry
        until = thaw.until if thaw.state == "readable" else None
        return msgspec.structs.replace(entry, thawing=thaw.state == "thawing", thawed_until=until)

    def _place(self, entry: Entry) -> Place:
        return Place(self.top.bucket, entry.key, entry.version, entry.etag)

    def _backups(self, page: Page) -> Iterator[Backup]:
        for entry in page.entries:
            is_record = entry.key.endswith(RECORDS) and _is_current(entry)
            yield from self.beside.passing(entry.key, self._place(entry).url if is_record else "")
            *directories, name = entry.key.split("/")
            home = next((part for part in reversed(directories) if part in COMPONENTS), "")
            said = names.read(name, home)
            if said and self.component in (None, said.component) and not any(d.startswith(".") for d in directories):
                backup = self._backup(entry, said)
                if backup.current:
                    self.beside.wait(entry.key, backup)
                else:  # which version of a manifest belonged to it is not known
                    yield backup
        if page.last:
            yield from self.beside.rest()

    def _backup(self, entry: Entry, said: names.Name) -> Backup:
        # a size and a time are all that a name is held against
        status = os.stat_result((0, 0, 0, 0, 0, 0, entry.size, 0, int(entry.modified.timestamp()), 0))
        taken_at, odd = names.taken(said, status, self.source.zone, self.now)
        objective = self.source.objectives.get(said.component)
        archived = archive.findings(entry, objective.rto if objective else None)
        return Backup(
            id=self.ids.unique(self._id(entry, said), f"{entry.key}\0{entry.version}"),
            component=said.component,
            source=self.source.name,
            key=self._place(entry).url,
            taken_at=taken_at,
            size=entry.size,
            stored=f"{entry.etag} {stamp(entry.modified)}",
            format=said.format,
            storage_class=entry.storage_class,
            readable=not archived or entry.thawed_until is not None,
            current=_is_current(entry),
            findings=(*odd, *_history(entry), *archived),
        )

    def _id(self, entry: Entry, said: names.Name) -> str:
        """A file's, as in a directory; of what is not current with the version's own mark, which never changes."""
        relative = entry.key.removeprefix(self.top.key)
        parts = tuple(part for part in relative.split("/")[:-1] if part)
        plain = names.backup_id(said, parts, self.source.name)
        if _is_current(entry):
            return plain
        head, _, source = plain.rpartition("@")
        mark = hashlib.sha256(f"{entry.key}\0{entry.version}".encode()).hexdigest()[:8]
        return f"{head}+v{mark}@{source}"


def _is_current(entry: Entry) -> bool:
    return entry.superseded is None and entry.deleted is None


def _history(entry: Entry) -> tuple[Fact, ...]:
    if entry.deleted:
        return (Fact("deleted", f"{stamp(entry.deleted)}; the bucket still keeps this version", "warn"),)
    if entry.superseded:
        return (Fact("overwritten", f"{stamp(entry.superseded)}; the bucket still keeps this version", "warn"),)
    return ()


def _problem(place: Place, error: SourceError) -> Problem:
    if isinstance(error, Unreadable):
        return Problem(str(place), error.told.reason, error.told.hint)
    return Problem(str(place), error.message, error.hint)
