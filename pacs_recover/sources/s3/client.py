"""A connection to a bucket, as the source's section of the site file says; the only place that knows AWS's library."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from pacs_recover.errors import SourceError
from pacs_recover.site.sources import BucketConfig
from pacs_recover.sources.s3.errors import unreadable
from pacs_recover.sources.s3.place import Place
from pacs_recover.text import safe

CONNECT = 4.0
"""Seconds; with its one repetition less than the catalog's patience, so that the cause is told."""
READ = 30.0
"""Seconds without a byte; a large bucket of a small server takes long for a page."""
ATTEMPTS = 2
CONNECTIONS = 16
SOMEWHERE = "us-east-1"
"""The region that servers beside AWS expect in a signature where none is named; AWS redirects from it."""
SESSION = "pacs-recover"
"""What an audit log calls the use of an assumed role."""


@contextmanager
def connected(config: BucketConfig) -> Iterator[Any]:
    """A client of S3, closed at the end. SourceError where the settings or credentials make none.

    A new one each time: a login or new credentials count at once.
    """
    with telling(Place(config.bucket, config.prefix)):
        client = _client(config)
    with closing(client):
        yield client


@contextmanager
def telling(place: Place, doing: str = "read") -> Iterator[None]:
    """What the library or the connection raise becomes a SourceError that names the place, the cause and what to do."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError, ValueError, RecursionError) as error:
        raise unreadable(place, error, doing) from error


def credentials(client: Any, place: Place) -> dict[str, str]:
    """What a client signs with, by the names of AWS's credentials file. SourceError where there is nothing."""
    from botocore.exceptions import NoCredentialsError

    with telling(place):
        own = client._get_credentials()
        if own is None:
            raise NoCredentialsError
        keys = own.get_frozen_credentials()
    found = {
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
        "aws_session_token": keys.token,
    }
    return {name: value for name, value in found.items() if value}


def _client(config: BucketConfig) -> Any:
    from botocore.session import Session

    _check(config)
    session = Session(profile=config.profile)
    session.register_component("data_loader", _descriptions())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    region = config.region or session.get_config_variable("region") or SOMEWHERE
    if config.role:
        _assume(session, config, region)
    return session.create_client("s3", **_where(config, region))


@functools.cache
def _descriptions() -> Any:
    """What the library knows of S3, megabytes of JSON that are the same for every client: read once."""
    from botocore.loaders import create_loader

    return create_loader()


def _moment(said: Any) -> datetime:
    """A time as a listing has it; the library's own reading of any notation takes longer than all else of a listing."""
    from botocore.utils import parse_timestamp

    try:
        moment = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        moment = None
    return moment if moment and moment.tzinfo else parse_timestamp(said)


def _check(config: BucketConfig) -> None:
    """What the library would say only in words of its own. SourceError."""
    if config.ca_bundle is not None and not (config.ca_bundle.is_file() and os.access(config.ca_bundle, os.R_OK)):
        raise SourceError(
            f"cannot read s3://{safe(config.bucket)}: there is no readable CA bundle {safe(config.ca_bundle)}",
            "correct ca_bundle of the source in the site file",
        )
    if config.endpoint is not None and not config.endpoint.startswith(("http://", "https://")):
        raise SourceError(
            f"cannot read s3://{safe(config.bucket)}: its endpoint is no URL", "write endpoint: https://HOST:PORT"
        )


def _where(config: BucketConfig, region: str) -> dict[str, Any]:
    """How S3 and STS are reached: the server of a bucket that is not AWS's answers for both."""
    from botocore.config import Config

    # Checksums of the newer SDKs break uploads and ranged reads on Ceph RGW, older MinIO and GCS; downloads are
    # verified here, whatever the server.
    settings = Config(
        connect_timeout=CONNECT,
        read_timeout=READ,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": config.addressing},
    )
    return {
        "region_name": region,
        "endpoint_url": config.endpoint,
        "verify": str(config.ca_bundle) if config.ca_bundle else None,
        "config": settings,
    }


def _assume(session: Any, config: BucketConfig, region: str) -> None:
    """The role's credentials in place of the session's own, renewed when they expire in a long download."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.exceptions import NoCredentialsError

    own = session.get_credentials()
    if own is None:
        raise NoCredentialsError

    def sts(service: str, **given: Any) -> Any:
        return session.create_client(service, **{**_where(config, region), **given})

    fetcher = AssumeRoleCredentialFetcher(sts, own, config.role, extra_args={"RoleSessionName": SESSION})
    session._credentials = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
