"""The audit's anchors in a bucket: one small object each, whose name says it all, so that a listing is the proof."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import md5
from typing import Any

from pacs_recover.audit.syslog import Anchor
from pacs_recover.site.sources import BucketConfig
from pacs_recover.sources.s3 import bucket
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.errors import Unreadable
from pacs_recover.sources.s3.pages import pages
from pacs_recover.sources.s3.place import Place

NAME = re.compile(r"([0-9]{12})-([0-9a-f]{64})")
UNABLE = ("AccessDenied", "NotImplemented")
"""Why a server does not list versions, that may list what is current."""


def put(config: BucketConfig, home: str, anchor: Anchor) -> str:
    """Store an anchor below ``prefix/home/``; where, as a URL. SourceError.

    How long it cannot be removed is the bucket's own default retention: that a request names one needs a right that
    whoever may only add anchors should not have. The MD5 is what S3 asks of writers to such a bucket.
    """
    place = Place(config.bucket, f"{config.prefix}{home}/{anchor.n:012}-{anchor.sha256}")
    body = f"{anchor}\n".encode()
    with connected(config) as client, telling(place, "write"):
        client.put_object(**place.named, Body=body, ContentMD5=base64.b64encode(md5(body).digest()).decode())  # noqa: S324 - a checksum of the transfer
    return place.url


def anchors(config: BucketConfig, home: str, host: str, path: str) -> tuple[list[Anchor], str]:
    """Every anchor that the bucket keeps, deleted ones too where it keeps versions; and what it says of itself.

    Raises SourceError where it cannot be listed.
    """
    top = Place(config.bucket, f"{config.prefix}{home}/")
    with connected(config) as client:
        versions = bucket.keeps_versions(client, top)
        facts = bucket.facts(client, top)
        found = [Anchor(int(n), sha256, host, path) for n, sha256 in _listed(client, top, versions)]
    return found, ", ".join(fact.value for fact in facts) or "keeps no versions: what is deleted there is gone"


def _listed(client: Any, top: Place, versions: bool | None) -> Iterator[tuple[str, str]]:
    if versions is not False:
        try:
            yield from list(_names(client, top, versions=True))
            return
        except Unreadable as error:
            if error.code not in UNABLE:
                raise
    yield from _names(client, top, versions=False)


def _names(client: Any, top: Place, *, versions: bool) -> Iterator[tuple[str, str]]:
    for page in pages(client, top, versions=versions):
        for entry in page.entries:
            if said := NAME.fullmatch(entry.key.removeprefix(top.key)):
                yield said[1], said[2]
