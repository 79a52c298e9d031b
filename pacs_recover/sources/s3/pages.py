"""What is in a bucket below a prefix: pages of objects, those of several directories fetched side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Any

from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.sources.s3.client import telling
from pacs_recover.sources.s3.place import Place

PAGE = 1000
"""Objects to a page: the most that S3 gives."""
AHEAD = 4
"""Pages of a directory that are fetched before they are asked for."""
SIDE_BY_SIDE = 8
"""Directories that are read at once."""
LEAVE = 2.0
"""Seconds that is waited for a request under way when a listing is given up; it ends by its own time-out then."""


class Entry(Struct, frozen=True):
    """One content of one object, as a listing tells it."""

    key: str
    size: int
    modified: datetime
    etag: str
    storage_class: str
    version: str = ""
    """Empty where the bucket keeps none."""
    superseded: datetime | None = None
    """When a newer version was written over it; None for the current one and for a deleted one's last."""
    deleted: datetime | None = None
    """When it was deleted, if a delete marker is what the bucket has of it now."""
    thawing: bool = False
    thawed_until: datetime | None = None


class Page(Struct, frozen=True):
    """What one request told."""

    entries: tuple[Entry, ...]
    directories: tuple[str, ...] = ()
    """Prefixes one level down, each ending in ``/``; only where the level was asked for."""
    last: bool = False
    """Whether nothing of what was asked for comes after it."""


def pages(client: Any, place: Place, *, versions: bool, level: bool = False) -> Iterator[Page]:
    """The pages of all that lies below a prefix, or (``level``) just in its directory. SourceError."""
    verb = "list_object_versions" if versions else "list_objects_v2"
    asked: dict[str, Any] = {"Bucket": place.bucket, "Prefix": place.key, "PaginationConfig": {"PageSize": PAGE}}
    if level:
        asked["Delimiter"] = "/"
    asked["OptionalObjectAttributes"] = ["RestoreStatus"]
    with telling(place, "list"):
        answers = iter(client.get_paginator(verb).paginate(**asked))
    history = _History()
    while True:
        with telling(place, "list"):
            answer = next(answers, None)
            if answer is None:
                return
            entries = tuple(history.read(answer) if versions else _current(answer))
            below = tuple(found["Prefix"] for found in answer.get("CommonPrefixes", ()))
        yield Page(entries, below, not answer.get("IsTruncated", False))


def _current(answer: dict[str, Any]) -> Iterator[Entry]:
    for found in answer.get("Contents", ()):
        yield _entry(found)


def _entry(found: dict[str, Any], version: str = "", **more: Any) -> Entry:
    status = found.get("RestoreStatus", {})
    return Entry(
        key=found["Key"],
        size=int(found.get("Size", 0)),
        modified=found["LastModified"],
        etag=str(found.get("ETag", "")).strip('"'),
        storage_class=found.get("StorageClass") or "STANDARD",
        version=version,
        thawing=bool(status.get("IsRestoreInProgress")),
        thawed_until=status.get("RestoreExpiryDate"),
        **more,
    )


class _History:
    """Versions and delete markers as they come: keys in order, the newest version of each first.

    A page may end between a key's delete marker and its versions, or between two versions.
    """

    def __init__(self) -> None:
        self._marker: tuple[str, datetime] | None = None
        self._newer: tuple[str, datetime] | None = None

    def read(self, answer: dict[str, Any]) -> Iterator[Entry]:
        markers = {
            found["Key"]: found["LastModified"] for found in answer.get("DeleteMarkers", ()) if found["IsLatest"]
        }
        if self._marker:
            markers.setdefault(*self._marker)
        for found in answer.get("Versions", ()):
            key, version = found["Key"], str(found.get("VersionId") or "")
            follows = self._newer if self._newer and self._newer[0] == key else None
            self._newer = key, found["LastModified"]
            if found["IsLatest"]:
                yield _entry(found, version)
            elif key in markers and not follows:
                yield _entry(found, version, deleted=markers[key])
            else:
                # superseded by a version that this listing has told, or (after a deletion undone) by none that it knows
                yield _entry(found, version, superseded=follows[1] if follows else found["LastModified"])
        last = str(answer.get("NextKeyMarker") or "")
        self._marker = (last, markers[last]) if last in markers else None


Found = tuple[Place, Page | SourceError]


def side_by_side(places: Sequence[Place], read: Callable[[Place], Iterator[Page]]) -> Generator[Found, None, None]:
    """The pages of several directories, in the order of these, while those that come next are being fetched."""
    readers = _Readers(places, read)
    try:
        yield from readers.found()
    finally:
        readers.leave()


class _Readers:
    """Threads that fetch; daemons, as a request to a dead server can neither be stopped nor waited for."""

    def __init__(self, places: Sequence[Place], read: Callable[[Place], Iterator[Page]]) -> None:
        self.places = places
        self.read = read
        self.left = False
        self.next = count()
        self.boxes: list[queue.Queue[Page | SourceError | None]] = [queue.Queue(AHEAD) for _ in places]
        number = min(SIDE_BY_SIDE, len(places))
        self.threads = [threading.Thread(target=self._work, daemon=True, name="listing") for _ in range(number)]
        for thread in self.threads:
            thread.start()

    def found(self) -> Iterator[Found]:
        for place, box in zip(self.places, self.boxes, strict=True):
            while (page := box.get()) is not None:
                yield place, page

    def leave(self) -> None:
        self.left = True
        for thread in self.threads:
            thread.join(LEAVE)

    def _work(self) -> None:
        """One directory after the other, in their order: the first that is not done is always being fetched."""
        while not self.left and (index := next(self.next)) < len(self.places):
            try:
                for page in self.read(self.places[index]):
                    if not self._put(index, page):
                        return
            except SourceError as error:
                self._put(index, error)
            except Exception as error:  # a thread's death would leave its directory unfinished for ever
                self._put(
                    index, SourceError(f"cannot list {self.places[index]}: {type(error).__name__}", "see the log")
                )
            if not self._put(index, None):
                return

    def _put(self, index: int, page: Page | SourceError | None) -> bool:
        """Whether it was taken before the listing was left."""
        while not self.left:
            try:
                self.boxes[index].put(page, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False
