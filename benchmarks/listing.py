"""The catalog of a large directory against find, and of a large bucket against a bare boto3 paginator."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

from benchmarks import lab
from benchmarks.harness import Comparison, Row, Size, process
from tests.sources.s3_server import Bucket, credentials

NAMES = ("catalog", "catalog-s3")
BEGIN = datetime(2016, 1, 1, tzinfo=UTC)
PAGINATOR = """
import boto3, sys
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1")
for page in client.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[2]):
    for entry in page.get("Contents", ()):
        print(entry["Key"], entry["Size"], entry["LastModified"])
"""


def suite(size: Size, home: Path) -> Iterator[Comparison]:
    """Every backup with its size and time, as JSON on our side, as lines on the other."""
    host = lab.make(home)
    for name, taken in zip(names(size.files), times(), strict=False):
        (host.backups / name).write_bytes(b"x")
        os.utime(host.backups / name, (taken.timestamp(),) * 2)
    find = ["find", host.backups, "-type", "f", "-printf", "%p %s %T@\\n"]
    yield Comparison(
        "catalog",
        "find -type f -printf",
        (Row(f"catalog of {size.files:,} local files", 2.0),),
        lambda: process(host.argv("catalog", "--json")),
        lambda: process(find),
        size.rounds,
        before=host.fresh,
    )
    with credentials(), closing(Bucket()) as bucket:
        bucket.put_many(names(size.objects))
        endpoint = str(bucket.client.meta.endpoint_url)
        place = {"bucket": bucket.name, "endpoint": endpoint, "region": "us-east-1", "addressing": "path"}
        far = lab.make(home / "far", sources=[{"kind": "s3", "name": "bucket", **place}])
        argv = [sys.executable, "-c", PAGINATOR, endpoint, bucket.name]
        yield Comparison(
            "catalog-s3",
            "boto3 paginator alone",
            (Row(f"catalog of {size.objects:,} objects in S3", 1.0),),
            lambda: process(far.argv("catalog", "--json"), dict(os.environ)),
            lambda: process(argv, dict(os.environ)),
            size.rounds,
            warm=0,
            before=far.fresh,
        )


def names(number: int) -> Iterator[str]:
    """As the guide calls backups of the queue, one a quarter of an hour."""
    for taken in islice(times(), number):
        yield f"queue/queue_{taken:%Y%m%d_%H%M%S}.db.gz"


def times() -> Iterator[datetime]:
    """When each was taken."""
    return (BEGIN + timedelta(minutes=15 * number) for number in count())
