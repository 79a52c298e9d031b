"""An object's bytes: ranges fetched side by side, given in order, in bounded memory, verified before the last one."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO, cast

from pacs_recover.errors import SourceError
from pacs_recover.site.sources import BucketConfig
from pacs_recover.sources.s3.checks import Checks, checks_of
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.errors import Told, Unreadable
from pacs_recover.sources.s3.place import Place
from pacs_recover.text import count

PART = 8 << 20
"""Bytes of one range: long enough that the requests' own time does not count."""
SIDE_BY_SIDE = 4
"""Ranges that are fetched at once; with the one being read, all that is ever in memory."""
CHUNK = 1 << 18
PAUSES = (0.2, 1.0, 3.0)
"""Seconds before a broken range is gone on with, when the last try gave nothing; then it is given up."""
LEAVE = 2.0
"""Seconds that is waited for a request under way when a download is given up."""
BROKEN = (
    "ConnectionClosedError",
    "ResponseStreamingError",
    "IncompleteReadError",
    "ProtocolError",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "EndpointConnectionError",
    "SSLError",
    "ServiceUnavailable",
    "Short",
)
"""Causes that another try may not meet again."""
REPLACED = "it was replaced since it was listed"


@contextmanager
def opened(config: BucketConfig, place: Place, size: int | None) -> Iterator[BinaryIO]:
    """The content for reading. SourceError where it is gone, replaced, archived or denied, here and by later reads."""
    with connected(config) as client, streamed(client, place, size, aws=config.endpoint is None) as file:
        yield file


@contextmanager
def streamed(client: Any, place: Place, size: int | None, *, aws: bool) -> Iterator[BinaryIO]:
    """As ``opened``, by a client that others use too."""
    content = _Content(client, place, size)
    first = content.get(0, PART)
    checks = checks_of(client, place, first, aws=aws)
    with (
        closing(_Ahead(content, first)) as ahead,
        cast(BinaryIO, io.BufferedReader(_Stream(content, ahead, checks), CHUNK)) as file,
    ):
        yield file


class _Content:
    """One content of one object, by ranges."""

    def __init__(self, client: Any, place: Place, size: int | None) -> None:
        self.client = client
        self.place = place
        self.size = size

    @property
    def total(self) -> int:
        """Bytes; known once the first range was asked for."""
        return self.size or 0

    def get(self, start: int, stop: int) -> dict[str, Any]:
        """The answer to a request for a range, of this content and no other. Unreadable."""
        asked = dict(self.place.named)
        if self.size != 0:  # a range of nothing is refused
            asked["Range"] = f"bytes={start}-{stop - 1}"
        if self.place.etag:
            asked["IfMatch"] = f'"{self.place.etag}"'
        with telling(self.place):
            answer: dict[str, Any] = self.client.get_object(**asked)
        try:
            self._hold(answer, start)
        except SourceError:
            answer["Body"].close()
            raise
        return answer

    def _hold(self, answer: dict[str, Any], start: int) -> None:
        """That it is what was listed, where a server does not look at If-Match, and the range that was asked for."""
        etag = str(answer.get("ETag") or "").strip('"')
        if self.place.etag and etag and etag != self.place.etag:
            raise _wrong(self.place, REPLACED, "list the catalog and plan again")
        begin, total = _range(answer)
        if begin != start:
            raise _wrong(self.place, "the server does not give the range that was asked for", "is it an S3 server?")
        if self.size is not None and total != self.size:
            words = f"it has {count(total, 'byte')} and not the {self.size:,} that were listed"
            raise _wrong(self.place, words, "it was replaced: list the catalog and plan again")
        self.size = total

    def read(self, start: int, stop: int, ahead: _Ahead, answer: dict[str, Any] | None = None) -> bytes:
        """A range, gone on with where a connection broke. Unreadable."""
        got, tries = bytearray(), 0
        while len(got) < stop - start and not ahead.left:
            before = len(got)
            try:
                self._fill(got, answer or self.get(start + before, stop), stop - start, ahead)
            except Unreadable as error:
                tries = 0 if len(got) > before else tries + 1
                if error.code not in BROKEN or tries > len(PAUSES):
                    raise
                time.sleep(PAUSES[max(tries - 1, 0)])
            answer = None
        return bytes(got)

    def _fill(self, got: bytearray, answer: dict[str, Any], wanted: int, ahead: _Ahead) -> None:
        body, before = answer["Body"], len(got)
        with telling(self.place), closing(body):
            while len(got) < wanted and not ahead.left and (chunk := body.read(min(CHUNK, wanted - len(got)))):
                got += chunk
        if len(got) == before and not ahead.left:
            raise _wrong(self.place, "the server gives no bytes", "try again", "Short")


def _range(answer: dict[str, Any]) -> tuple[int, int]:
    """The first byte and the size of the whole, as an answer tells them: ``bytes 0-99/12345``."""
    said = str(answer.get("ContentRange") or "")
    try:
        span, _, total = said.removeprefix("bytes").strip().partition("/")
        return int(span.partition("-")[0]), int(total)
    except ValueError:
        return 0, int(answer.get("ContentLength") or 0)


def _wrong(place: Place, reason: str, hint: str, code: str = "") -> Unreadable:
    return Unreadable(place, code, Told(reason, hint))


class _Ahead:
    """Threads that fetch the next ranges; daemons, as a dead server can neither be stopped nor waited for."""

    def __init__(self, content: _Content, first: dict[str, Any]) -> None:
        self.content = content
        self.first: dict[str, Any] | None = first
        self.left = False
        self.number = -(-content.total // PART)
        self._done: dict[int, bytes | SourceError] = {}
        self._next = self._taken = 0
        self._changed = threading.Condition()
        wanted = min(SIDE_BY_SIDE, self.number)
        self._threads = [threading.Thread(target=self._work, daemon=True, name="download") for _ in range(wanted)]
        for thread in self._threads:
            thread.start()

    def take(self, index: int) -> bytes:
        """A range; they are taken in order. SourceError."""
        with self._changed:
            self._changed.wait_for(lambda: index in self._done)
            part = self._done.pop(index)
            self._taken = index + 1
            self._changed.notify_all()
        if isinstance(part, SourceError):
            raise part
        return part

    def close(self) -> None:
        """Give up what is not taken yet."""
        with self._changed:
            self.left = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(LEAVE)
        if self.first is not None:
            self.first["Body"].close()

    def _work(self) -> None:
        while (index := self._claim()) is not None:
            part = self._part(index)
            with self._changed:
                self._done[index] = part
                self._changed.notify_all()

    def _claim(self) -> int | None:
        """The next range to fetch, as soon as there is room for it; None where there is no more."""
        with self._changed:
            self._changed.wait_for(lambda: self.left or self._next < self._taken + SIDE_BY_SIDE)
            if self.left or self._next >= self.number:
                return None
            self._next += 1
            return self._next - 1

    def _part(self, index: int) -> bytes | SourceError:
        start, stop = index * PART, min((index + 1) * PART, self.content.total)
        answer = None
        if index == 0:
            answer, self.first = self.first, None
        try:
            return self.content.read(start, stop, self, answer)
        except SourceError as error:
            return error
        except Exception as error:  # a thread's death would leave the reader waiting for ever
            return SourceError(f"cannot read {self.content.place}: {type(error).__name__}", "see the log")


class _Stream(io.RawIOBase):
    """The ranges in their order; the last one is given only when all of them were found right."""

    def __init__(self, content: _Content, ahead: _Ahead, checks: Checks) -> None:
        self._content = content
        self._ahead = ahead
        self._checks = checks
        self._index = 0
        self._part = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """As RawIOBase's. SourceError."""
        while not self._part:
            if self._index == self._ahead.number:
                return 0
            self._part = self._next()
        number = min(len(buffer), len(self._part))
        buffer[:number] = self._part[:number]
        self._part = self._part[number:]
        return number

    def _next(self) -> memoryview:
        part = self._ahead.take(self._index)
        self._checks.update(part)
        self._index += 1
        if self._index == self._ahead.number and (failed := self._checks.failed()):
            raise SourceError(
                f"cannot read {self._content.place}: its content does not match its {failed}",
                "it was damaged on its way or in the bucket: try again, then take another backup or version",
            )
        return memoryview(part)
