"""Times as people write them, and which backups a restore takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup
from pacs_recover.selection import moment, select

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


def backup(component: str, hours_ago: float) -> Backup:
    """A backup that a catalog could list."""
    taken = NOW - timedelta(hours=hours_ago)
    name = f"{component}/{taken:%Y%m%d_%H%M%S}@local"
    return Backup(id=name, component=component, source="local", key=f"/{name}", taken_at=taken, size=1, format="tar.gz")


def catalog(*backups: Backup) -> Catalog:
    """A catalog of one source, newest first."""
    found = sorted(backups, key=lambda one: one.taken_at, reverse=True)
    return Catalog(tuple(found), (SourceState("local", "local", True),))


ALL = catalog(*(backup(name, age) for name in ("config", "certs", "queue", "logs") for age in (1, 5, 30)))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("2h ago", NOW - timedelta(hours=2)),
        ("90 min ago", NOW - timedelta(minutes=90)),
        ("3 days ago", NOW - timedelta(days=3)),
        ("now", NOW),
        ("2026-11-10T02:00:00Z", datetime(2026, 11, 10, 2, tzinfo=UTC)),
        ("2026-11-10T02:00:00+02:00", datetime(2026, 11, 10, 0, tzinfo=UTC)),
    ],
)
def test_times(words: str, wanted: datetime) -> None:
    assert moment(words, NOW) == wanted


@pytest.mark.parametrize("words", ["", "yesterday-ish", "ago", "2026-13-01"])
def test_what_is_no_time_is_said_to_be_none(words: str) -> None:
    with pytest.raises(UsageError):
        moment(words, NOW)


def test_full_is_one_of_each_and_no_logs() -> None:
    assert [one.component for one in select(ALL, ["full"])] == ["config", "certs", "queue"]


def test_at_takes_the_newest_from_before() -> None:
    chosen = select(ALL, ["queue"], at=NOW - timedelta(hours=2))
    assert chosen[0].taken_at == NOW - timedelta(hours=5)


def test_a_named_backup_is_taken_and_the_others_are_the_newest() -> None:
    named = backup("config", 30).id
    chosen = {one.component: one for one in select(ALL, ["full"], [named])}
    assert chosen["config"].id == named
    assert chosen["queue"].taken_at == NOW - timedelta(hours=1)


def test_a_backup_that_does_not_fit_the_words_is_refused() -> None:
    with pytest.raises(UsageError):
        select(ALL, ["queue"], [backup("config", 1).id])
    with pytest.raises(UsageError):
        select(ALL, [], [backup("config", 1).id, backup("config", 5).id])


def test_logs_are_extracted_not_restored() -> None:
    with pytest.raises(UsageError) as caught:
        select(ALL, ["logs"])
    assert "extract" in caught.value.hint


def test_nothing_named_and_nothing_there() -> None:
    with pytest.raises(UsageError):
        select(ALL, [])
    with pytest.raises(SourceError):
        select(catalog(backup("config", 1)), ["queue"])
