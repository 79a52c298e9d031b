"""Backups into a bucket: each only where nothing is yet, with checksums, and read back before it counts."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.formats.streams import Hashing
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.making.artifact import Artifact
from pacs_recover.making.destinations import Stored
from pacs_recover.making.directory import content_of
from pacs_recover.model import Backup
from pacs_recover.site import S3Config, Site
from pacs_recover.sources import names
from pacs_recover.sources.file import opened
from pacs_recover.sources.s3 import S3Source
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.errors import Unreadable, unreadable
from pacs_recover.sources.s3.place import Place
from pacs_recover.text import count

PART = 16 << 20
"""Bytes of one part of a multipart upload, and of the largest object that is put at once."""
MOST_PARTS = 10_000
"""Of one upload (Amazon S3 User Guide, "Amazon S3 multipart upload limits")."""
ABANDONED = timedelta(days=1)
"""After which an upload that was not ended is taken for one of a process that was killed."""
EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
UNKNOWN = ("NotImplemented", "501")
"""The answer of servers that know no conditional writes."""
UNABLE = "see what the bucket's policy allows: s3:PutObject, s3:GetObject, s3:AbortMultipartUpload (docs/backup.md)"


class Bucket:
    """A bucket, or the part of it below a prefix, in the guide's layout."""

    def __init__(self, config: S3Config, site: Site) -> None:
        self.name, self.config = config.name, config
        self._site, self._zone = site, site.zone(config)
        self._root = f"{config.prefix.rstrip('/')}/" if config.prefix.strip("/") else ""
        self._open, self._client = ExitStack(), None
        weakref.finalize(self, self._open.close)

    def _connected(self) -> Any:
        """A client that lasts as long as this does. SourceError."""
        if self._client is None:
            self._client = self._open.enter_context(connected(self.config))
        return self._client

    def _place(self, made: Artifact, end: str = "") -> Place:
        return Place(self.config.bucket, f"{self._root}{made.component}/{made.title.name(self._zone)}{end}")

    def begin(self, component: str) -> Iterator[str]:
        """See that the bucket answers, and end uploads that a killed backup left. SourceError."""
        top = Place(self.config.bucket, f"{self._root}{component}/")
        client, left = self._connected(), 0
        with telling(top, "write to"):
            client.list_objects_v2(Bucket=top.bucket, Prefix=top.key, MaxKeys=1)
        with suppress(Unreadable), telling(top):  # a right that not everybody who may add backups has
            for key, upload in list(_abandoned(client, top, component)):
                client.abort_multipart_upload(Bucket=top.bucket, Key=key, UploadId=upload)
                left += 1
        if left:
            yield f"ended {count(left, 'upload')} that a backup that was cut left"

    def has(self, made: Artifact) -> bool:
        """Whether an object of this name is there. SourceError."""
        return _size(self._connected(), self._place(made)) is not None

    def store(self, made: Artifact) -> Stored:
        """The backup, then its manifest. RecoverError, SourceError."""
        place, id = self._place(made), made.title.id(self._zone, self.name)
        client = self._connected()
        if _size(client, place) is not None:
            return Stored(id, self._same(place, made))
        with opened(made.path) as raw:
            version = _Putting(client, self.config, place, made.size).put(raw)
        self._must_read_back(client, Place(place.bucket, place.key, version), made)
        data = made.manifest(made.title.name(self._zone))
        _Putting(client, self.config, self._place(made, RECORDS[0]), len(data)).put(io.BytesIO(data))
        return Stored(id, proven=made.proven)

    def _must_read_back(self, client: Any, place: Place, made: Artifact) -> None:
        with self._reading(place, made) as raw:
            hashing = Hashing(raw)
            hashing.drain()
        if hashing.sha256 == made.sha256:
            return
        left = f"{place} is to be deleted by hand"
        with suppress(Unreadable), telling(place):
            client.delete_object(**place.named)
            left = "it was deleted again"
        raise BadBackup(f"{place} gives back other bytes than were sent; {left}", "ask whoever runs the S3 server")

    def _same(self, place: Place, made: Artifact) -> str:
        if not made.content:
            raise RecoverError(f"{place} is there already, and nothing is overwritten", "try again in a second")
        with self._reading(place, made) as raw:
            if content_of(raw, made, self._site) != made.content:
                raise BadBackup(f"{place} is there already, and is not that log", "see what it is; it was kept")
        return "was there already"

    @contextmanager
    def _reading(self, place: Place, made: Artifact) -> Iterator[BinaryIO]:
        """An object as a restore reads it. SourceError."""
        backup = Backup(
            id=made.title.id(self._zone, self.name),
            component=made.component,
            source=self.name,
            key=place.url,
            taken_at=made.title.taken_at,
            size=None,
            format=made.title.format,
        )
        with S3Source(self.config, self._zone).open(backup, made.path.parent) as raw:
            yield raw


def _size(client: Any, place: Place) -> int | None:
    """Bytes of an object; None where there is none. SourceError."""
    try:
        with telling(place):
            return int(client.head_object(**place.named)["ContentLength"])
    except Unreadable as error:
        if error.code == "NoSuchKey":
            return None
        raise


def _abandoned(client: Any, top: Place, component: str) -> Iterator[tuple[str, str]]:
    """Uploads of our own names that nobody ended for a day."""
    before = datetime.now(UTC) - ABANDONED
    answer = client.list_multipart_uploads(Bucket=top.bucket, Prefix=top.key)
    for one in answer.get("Uploads", []):
        said = names.read(one["Key"].rpartition("/")[2].removesuffix(RECORDS[0]), component)
        if said and said.component == component and one["Initiated"] < before:
            yield one["Key"], one["UploadId"]


class _Putting:
    """One object that is put where none is."""

    def __init__(self, client: Any, config: S3Config, place: Place, size: int) -> None:
        self.client, self.place, self.size = client, place, size
        self.aws = config.endpoint is None
        self.asked = {**place.named, **_asked(config)}

    def put(self, raw: BinaryIO) -> str:
        """Its version, where the bucket keeps any. RecoverError where something is there; SourceError."""
        try:
            with telling(self.place, "write"):
                return str(self._put(raw).get("VersionId") or "")
        except Unreadable as error:
            if error.code in EXISTS:
                raise RecoverError(f"{self.place} is there already, and nothing is overwritten", "try again") from None
            hint = UNABLE if error.code == "AccessDenied" else error.hint
            raise SourceError(error.message, hint) from error

    def _put(self, raw: BinaryIO) -> Any:
        if self.size > PART:
            return self._in_parts(raw)
        body = raw.read(PART)
        return self._where_none_is(self.client.put_object, **self.asked, Body=body, **self._sums(body))

    def _in_parts(self, raw: BinaryIO) -> Any:
        upload = {**self.place.named, "UploadId": self.client.create_multipart_upload(**self._begun())["UploadId"]}
        try:
            parts = [self._part(upload, n, body) for n, body in enumerate(self._bodies(raw), 1)]
            whole = {"Parts": parts}
            return self._where_none_is(self.client.complete_multipart_upload, **upload, MultipartUpload=whole)
        except BaseException:
            with suppress(Exception):  # what went wrong is told; the next backup ends what is left
                self.client.abort_multipart_upload(**upload)
            raise

    def _begun(self) -> dict[str, Any]:
        return {**self.asked, **({"ChecksumAlgorithm": "SHA256"} if self.aws else {})}

    def _bodies(self, raw: BinaryIO) -> Iterator[bytes]:
        size = max(PART, math.ceil(self.size / MOST_PARTS))
        while body := raw.read(size):
            yield body

    def _part(self, upload: dict[str, str], number: int, body: bytes) -> dict[str, Any]:
        sums = self._sums(body)
        answer = self.client.upload_part(**upload, PartNumber=number, Body=body, **sums)
        return {"PartNumber": number, "ETag": answer["ETag"], **{k: v for k, v in sums.items() if k != "ContentMD5"}}

    def _sums(self, body: bytes) -> dict[str, str]:
        """What the server holds what arrives against: the MD5, which every one knows, and on AWS the SHA-256 too."""
        found = {"ContentMD5": _text(hashlib.md5(body, usedforsecurity=False).digest())}
        return found | ({"ChecksumSHA256": _text(hashlib.sha256(body).digest())} if self.aws else {})

    def _where_none_is(self, put: Any, **asked: Any) -> Any:
        """Only where nothing is; on servers that know no such condition it was looked at before."""
        try:
            return put(**asked, IfNoneMatch="*")
        except Exception as error:
            if unreadable(self.place, error, "write").code not in UNKNOWN:
                raise
            return put(**asked)


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _asked(config: S3Config) -> dict[str, Any]:
    """What the site file asks a bucket to do with it."""
    upload = config.upload
    asked: dict[str, Any] = {}
    if upload.sse:
        asked["ServerSideEncryption"] = upload.sse
    if upload.kms_key:
        asked["SSEKMSKeyId"] = upload.kms_key
    if upload.lock:
        asked["ObjectLockMode"] = upload.lock
        asked["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(seconds=upload.lock_for)
    return asked
