"""The small site, with directories and buckets of backups of many ages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.cli.conftest import shell
from tests.runs.conftest import made, small
from tests.sources.s3_server import Bucket, credentials

__all__ = ["made", "shell", "small"]


@pytest.fixture
def versioned() -> Iterator[Bucket]:
    """A bucket that keeps versions and can lock objects."""
    with credentials(), closing(Bucket(versions=True, lock=True)) as made:
        yield made


@pytest.fixture
def plain() -> Iterator[Bucket]:
    """A bucket that keeps none."""
    with credentials(), closing(Bucket()) as made:
        yield made
