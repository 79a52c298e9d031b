"""What must hold of the places where backups are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pacs_recover.formats.yaml_marks import Where
from pacs_recover.site.model import Site
from pacs_recover.site.sources import BucketConfig, GitConfig, LitestreamConfig, LocalConfig, S3Config, UploadConfig
from pacs_recover.text import safe

Broken = Iterator[tuple[Where, str, str]]
"""Where, what is wrong, how to mend it."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What stands in an id that is typed."""
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
"""Also the names that older servers allow; which are right is the server's to say."""
RESERVED = ("aside", "file")
"""Sources that every site has: what earlier restores set aside, and files named by path."""


def sources(site: Site) -> Broken:
    """Each has a name and a place of its own."""
    names: dict[str, int] = {}
    for index, source in enumerate(site.sources):
        where: Where = ("sources", index, "name")
        if not NAME.fullmatch(source.name):
            yield where, "cannot stand in an id", "letters, digits, - _ and . only, a letter or digit first"
        elif source.name in RESERVED:
            yield where, f"{source.name} is taken: every site has a source of this name", "choose another"
        elif names.setdefault(source.name, index) != index:
            yield where, f"{source.name} is the name of another source", "each has its own"

    paths: dict[Path, int] = {}
    for index, path in site.directories.items():
        if paths.setdefault(path, index) != index:
            yield ("sources", index, "path"), "is another source's path", "leave one of them out"


def remote_sources(site: Site) -> Broken:
    """What is named in them can be meant."""
    for index, source in enumerate(site.sources):
        where: Where = ("sources", index)
        match source:
            case S3Config():
                yield from broken_bucket(source, where)
                yield from _upload(source.upload, (*where, "upload"))
            case GitConfig():
                yield from _repository(source.repository, (*where, "repository"))
            case LitestreamConfig():
                if (source.path is None) == (source.s3 is None):
                    yield where, "needs either path or s3", "name the replica's directory, or its bucket"
                if source.s3 is not None:
                    yield from broken_bucket(source.s3, (*where, "s3"))
            case LocalConfig():
                pass


def tiers(site: Site) -> Broken:
    """Sources that keep backups for less than the total, where another has to keep them for all of it."""
    keepers = [one.name for one in site.sources if isinstance(one, LocalConfig | S3Config)]
    for name in site.retention.tiers:
        if name not in keepers:
            yield ("retention", "tiers", name), "is no local or S3 source", f"one of: {', '.join(keepers) or 'none'}"
    if keepers and all(name in site.retention.tiers for name in keepers):
        yield ("retention", "tiers"), "leave no source that keeps backups for their total", "leave one of them out"


def _upload(upload: UploadConfig, where: Where) -> Broken:
    if (upload.lock is None) != (upload.lock_for == 0):
        yield (*where, "lock"), "and lock_for belong together", "write lock: GOVERNANCE and lock_for: 90d, or neither"
    if upload.kms_key is not None and upload.sse != "aws:kms":
        yield (*where, "kms_key"), "is used with sse: aws:kms alone", "write that too"


def broken_bucket(bucket: BucketConfig, where: Where) -> Broken:
    """What is wrong with a bucket, whoever uses it."""
    if not BUCKET.fullmatch(bucket.bucket):
        yield (
            (*where, "bucket"),
            f"{safe(bucket.bucket, 80)} is no name of a bucket",
            "without s3:// and without a path",
        )
    if bucket.prefix.startswith("/"):
        yield (*where, "prefix"), "begins with /", "keys of a bucket do not: leave the first / out"
    if bucket.endpoint is not None and not is_url(bucket.endpoint):
        yield (*where, "endpoint"), "is no http address, or has a user in it", "write https://HOST:PORT"


def _repository(repository: str, where: Where) -> Broken:
    if not repository or not repository.isprintable() or repository.startswith("-"):
        yield where, "names no repository", "name a path, or a URL of ssh, https or file"
    elif "://" in repository and "@" in (login := repository.split("/")[2]) and ":" in login.partition("@")[0]:
        yield where, "has a password in it", "keep passwords in ~/.netrc, keys in ~/.ssh, of the user that runs this"


def is_url(text: str) -> bool:
    """An address of http or https, without a user, on one line."""
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and url.username is None
    except ValueError:
        return False
    return good and text.isprintable() and " " not in text
