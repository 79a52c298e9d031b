"""Verdicts in a bucket that several hosts share: small objects, each written once under a condition."""

from __future__ import annotations

import threading
import weakref
from contextlib import ExitStack, closing
from typing import Any

from pacs_recover.authority import Authority
from pacs_recover.site.sources import BucketConfig
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.pages import pages
from pacs_recover.sources.s3.place import Place

LARGEST = 1 << 20
"""Bytes of one object."""


class Kept:
    """The objects right below a prefix."""

    def __init__(self, config: BucketConfig) -> None:
        self.config = config
        self._open = ExitStack()
        self._client: Any = None
        self._lock = threading.Lock()
        weakref.finalize(self, self._open.close)

    def names(self) -> list[str]:
        """The names of all. SourceError."""
        top = self._place("")
        found = pages(self._connected(), top, versions=False)
        return [entry.key.removeprefix(top.key) for page in found for entry in page.entries]

    def read(self, name: str) -> bytes:
        """One of them. SourceError."""
        place = self._place(name)
        with telling(place), closing(self._connected().get_object(**place.named)["Body"]) as body:
            return bytes(body.read(LARGEST))

    def create(self, name: str, data: bytes, authority: Authority) -> None:
        """Store one under a name that must be free (If-None-Match). Refused, SourceError."""
        authority.must_allow("keeping a verdict")
        place = self._place(name)
        with telling(place, "write"):
            self._connected().put_object(**place.named, Body=data, IfNoneMatch="*")

    def _place(self, name: str) -> Place:
        return Place(self.config.bucket, self.config.prefix + name)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._open.enter_context(connected(self.config))
            return self._client
