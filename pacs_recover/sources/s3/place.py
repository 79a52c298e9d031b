"""Where an object is: bucket, key, and which of its contents is meant, as one URL that a plan can keep."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.text import safe

UNQUOTED = "/._-+~,=:@ "


class Place(Struct, frozen=True):
    """A bucket, a prefix in it, or one content of one object."""

    bucket: str
    key: str = ""
    version: str = ""
    """Empty: the current one, whichever that is."""
    etag: str = ""
    """As listed, without its quotes; empty where it does not matter."""

    def __str__(self) -> str:
        """What a person is told: never longer than a line, nothing in it that moves a cursor."""
        version = f" (version {safe(self.version, 40)})" if self.version else ""
        return f"s3://{safe(self.bucket)}/{safe(self.key)}{version}"

    @property
    def url(self) -> str:
        """All of it in a line that ``place_of`` reads."""
        fields = {"versionId": self.version, "etag": self.etag}
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"s3://{self.bucket}/{quote(self.key, safe=UNQUOTED)}{'?' if query else ''}{query}"

    @property
    def named(self) -> dict[str, str]:
        """How a request of the S3 API names it."""
        asked = {"Bucket": self.bucket, "Key": self.key}
        return {**asked, "VersionId": self.version} if self.version else asked


def place_of(url: str) -> Place:
    """The place that this URL names. SourceError."""
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
    except ValueError:
        parts, query = urlsplit(""), {}
    if parts.scheme != "s3" or not parts.netloc or len(parts.path) < 2:
        raise SourceError(f"{safe(url)} names no object of a bucket", "see: pacs-recover catalog")
    return Place(parts.netloc, unquote(parts.path[1:]), query.get("versionId", [""])[0], query.get("etag", [""])[0])
