"""What the tests of a bucket share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from pacs_recover.errors import SourceError
from pacs_recover.model import Backup
from pacs_recover.site.model import Objective
from pacs_recover.sources import Problem
from pacs_recover.sources.s3 import S3Source
from tests.sources.s3_server import Bucket, credentials

NIGHT = "queue/queue_20261110_020000.db.gz"


@pytest.fixture
def make() -> Iterator[Callable[..., Bucket]]:
    """Buckets that end with the test."""
    made: list[Bucket] = []

    def bucket(**how: bool) -> Bucket:
        made.append(Bucket(**how))
        return made[-1]

    with credentials():
        yield bucket
        for one in made:
            one.close()


@pytest.fixture
def there(make: Callable[..., Bucket]) -> Bucket:
    """A bucket that keeps no versions."""
    return make()


@pytest.fixture
def kept(make: Callable[..., Bucket]) -> Bucket:
    """A bucket that keeps versions."""
    return make(versions=True)


def source(of: Bucket, **more: Any) -> S3Source:
    return S3Source(of.config(**more), UTC, {"queue": Objective(rto=900.0)})


def listed(of: S3Source, component: str | None = None) -> list[Backup]:
    found = list(of.listing(component))
    assert not [one for one in found if isinstance(one, Problem)], found
    return [one for one in found if isinstance(one, Backup)]


def problems(of: S3Source) -> list[Problem]:
    return [one for one in of.listing() if isinstance(one, Problem)]


def one(of: S3Source) -> Backup:
    (found,) = listed(of)
    return found


def content(of: S3Source, backup: Backup, tmp_path: Path) -> bytes:
    with of.open(backup, tmp_path) as file:
        return file.read()


def labels(backup: Backup) -> dict[str, str]:
    return {fact.label: fact.value for fact in backup.findings}


def failure(call: Callable[[], object]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        call()
    assert caught.value.message
    assert caught.value.hint
    assert "Traceback" not in caught.value.message
    return caught.value


def some(size: int) -> bytes:
    """Bytes that differ everywhere."""
    return hashlib.shake_128(b"x").digest(size)
