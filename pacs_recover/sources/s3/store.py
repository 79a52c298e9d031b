"""A bucket as the place of a Litestream replica: many small objects, listed and read by one client."""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from pacs_recover.errors import SourceError
from pacs_recover.formats.streams import Reader
from pacs_recover.site.sources import BucketConfig
from pacs_recover.sources.litestream_store import Entry, Vanished
from pacs_recover.sources.s3.client import CONNECTIONS, connected, credentials, telling
from pacs_recover.sources.s3.download import streamed
from pacs_recover.sources.s3.pages import pages
from pacs_recover.sources.s3.place import Place


class S3Store:
    """The objects below a prefix, by keys relative to it."""

    parallel = CONNECTIONS // 2

    def __init__(self, config: BucketConfig) -> None:
        self.config = config
        self.root = f"{config.prefix.strip('/')}/" if config.prefix.strip("/") else ""
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._client: Any = None
        self._etags: dict[str, str] = {}
        """Of what was listed: another object under the same key is not what a plan was made with."""
        weakref.finalize(self, self._open.close)

    @property
    def url(self) -> str:
        """What ``litestream restore`` is given for it: with the endpoint as 0.5 takes it, never with credentials."""
        place = f"s3://{self.config.bucket}/{self.root}".rstrip("/")
        if self.config.endpoint is None:
            return place
        server = urlsplit(self.config.endpoint)
        asked = {"endpoint": f"{server.scheme}://{server.netloc.rpartition('@')[2]}", "region": self.config.region}
        return f"{place}?{urlencode({name: value for name, value in asked.items() if value}, safe=':/')}"

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        with self._lock:
            self._open.close()
            self._client = None

    def list(self, prefix: str) -> Iterator[Entry]:
        """All keys that begin with the prefix. SourceError."""
        for page in pages(self._connected(), Place(self.config.bucket, self.root + prefix), versions=False):
            for found in page.entries:
                key = found.key.removeprefix(self.root)
                self._etags[key] = found.etag
                yield Entry(key, found.size, found.modified)

    @contextmanager
    def open(self, key: str, length: int | None = None) -> Iterator[Reader]:
        """The bytes of a key, or its first ``length`` ones. Vanished, SourceError: here and by later reads."""
        place = Place(self.config.bucket, self.root + key, etag=self._etags.get(key, ""))
        try:
            if length is None:
                with streamed(self._connected(), place, None, aws=self.config.endpoint is None) as file:
                    yield file
            else:
                yield io.BytesIO(self._head(place, length))
        except SourceError as error:
            if getattr(error, "code", "") in ("NoSuchKey", "PreconditionFailed"):
                raise Vanished(error.message, error.hint) from error
            raise

    def metadata(self, key: str) -> dict[str, str]:
        """What was stored with the object, names in lower case (``litestream-timestamp``). Vanished, SourceError."""
        place = Place(self.config.bucket, self.root + key)
        with telling(place):
            head = self._connected().head_object(**place.named)
        return {str(name).lower(): str(value) for name, value in head.get("Metadata", {}).items()}

    def credentials(self) -> dict[str, str]:
        """What the connection signs with now, by the names of AWS's credentials file. SourceError."""
        return credentials(self._connected(), Place(self.config.bucket, self.root))

    def _head(self, place: Place, length: int) -> bytes:
        asked: dict[str, Any] = {**place.named, "Range": f"bytes=0-{max(length, 1) - 1}"}
        if place.etag:
            asked["IfMatch"] = f'"{place.etag}"'
        with telling(place), closing(self._connected().get_object(**asked)["Body"]) as body:
            return bytes(body.read(length))

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._open.enter_context(connected(self.config))
            return self._client
