"""The sections of the site file that say where backups are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pacs_recover.site.section import Closed, Seconds


class LocalConfig(Closed, frozen=True, tag_field="kind", tag="local"):
    """Backups in a directory."""

    name: str
    path: Path
    timezone: str | None = None
    """Of the times in its file names; None takes the site's."""


class BucketConfig(Closed, frozen=True):
    """A bucket of AWS S3 or of any endpoint that speaks its protocol, and the part of it that is meant."""

    bucket: str
    prefix: str = ""
    """Above what is looked for; ends with ``/`` where it is a directory."""
    endpoint: str | None = None
    """The URL of an S3 server that is not AWS (Ceph RGW, MinIO, Swift, GCS)."""
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca_bundle: Path | None = None
    profile: str | None = None
    """Of the AWS configuration files, which hold the credentials; none are kept here."""
    role: str | None = None
    """The ARN of a role to assume."""


class UploadConfig(Closed, frozen=True):
    """What a bucket is asked to do with the backups that are put into it; the rest is its own to say."""

    sse: Literal["AES256", "aws:kms"] | None = None
    """Encrypted by the server; None: as the bucket does by itself."""
    kms_key: str | None = None
    """The key's id or ARN; None: the bucket's own."""
    lock: Literal["GOVERNANCE", "COMPLIANCE"] | None = None
    """The mode of Object Lock; None: as the bucket does by itself."""
    lock_for: Seconds = 0.0
    """How long nobody can remove it."""


class S3Config(BucketConfig, frozen=True, kw_only=True, tag_field="kind", tag="s3"):
    """Backups in a bucket, in the guide's ``config/``, ``certs/``, ``queue/``, ``logs/`` below the prefix."""

    name: str
    timezone: str | None = None
    """Of the times in its keys; None takes the site's."""
    upload: UploadConfig = UploadConfig()


class GitConfig(Closed, frozen=True, tag_field="kind", tag="git"):
    """The configuration's own Git history, local or remote: every commit is a backup."""

    name: str
    repository: str
    """A path, or a URL of ssh, https or file."""
    branch: str | None = None
    """None: the repository's own HEAD."""
    directory: str = ""
    """Of the configuration inside the repository."""


class LitestreamConfig(Closed, frozen=True, tag_field="kind", tag="litestream"):
    """A Litestream replica of the queue (0.3 or 0.5), in a directory or a bucket: every point in time is a backup."""

    name: str
    path: Path | None = None
    """The root of a replica in files; or ``s3`` is given."""
    s3: BucketConfig | None = None
    """The bucket and prefix of a replica in S3."""
    followed: bool = True
    """Whether the site's Litestream still writes it: after a restore of the queue it is then seen to follow again."""


SourceConfig = LocalConfig | S3Config | GitConfig | LitestreamConfig
