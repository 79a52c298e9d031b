"""What file names say, in which time zone, and what is odd about them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.model import Fact
from pacs_recover.sources import names

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def status(mtime: float, size: int = 1) -> os.stat_result:
    return os.stat_result((0o100600, 1, 1, 1, 0, 0, size, int(mtime), int(mtime), int(mtime)))


def taken(name: str, written: datetime, zone: tzinfo = UTC, home: str = "") -> tuple[datetime, tuple[Fact, ...]]:
    said = names.read(name, home)
    assert said, name
    return names.taken(said, status(written.timestamp()), zone, NOW)


@pytest.mark.parametrize(
    ("name", "component", "format", "label"),
    [
        ("queue_20261110_020000.db.gz.age", "queue", "db.gz.age", "20261110_020000.age"),
        ("certs_20261110_020000.tar.age", "certs", "tar.age", "20261110_020000.age"),
        ("config_20261110_020000.2.tar.gz.age", "config", "tar.gz.age", "20261110_020000.2.age"),
        ("config_20261110_020000.tar.gz", "config", "tar.gz", "20261110_020000"),
        ("certs_20261110_020000.tar.enc", "certs", "tar.enc", "20261110_020000"),
        ("queue_20261110_020000.db.gz", "queue", "db.gz", "20261110_020000"),
        ("config_20261110_020000.tar", "config", "tar", "20261110_020000.tar"),
        ("config_20261110_020000.tgz", "config", "tar.gz", "20261110_020000.tgz"),
        ("config_20261110_020000.tar.gz.enc", "config", "tar.gz.enc", "20261110_020000.tar.gz.enc"),
        ("queue_20261110_020000.db", "queue", "db", "20261110_020000.db"),
        ("queue_20261110_020000.tar.gz", "queue", "tar.gz", "20261110_020000.tar.gz"),
        ("queue_20261110_020000-before-upgrade.db.gz", "queue", "db.gz", "20261110_020000-before-upgrade"),
        ("queue-2026-11-10T02:00:00Z.db.gz", "queue", "db.gz", "20261110_020000Z"),
        ("queue_20261110.db.gz", "queue", "db.gz", "20261110"),
        ("site1_queue_20261110_020000.db.gz", "queue", "db.gz", "site1_queue_20261110_020000.db.gz"),
        ("bridge.log", "logs", "", "bridge.log"),
        ("bridge.log.1", "logs", "", "bridge.log.1"),
        ("bridge.log.20261110.gz", "logs", "gz", "bridge.log.20261110.gz"),
        ("bridge.log-20261110.gz", "logs", "gz", "bridge.log-20261110.gz"),
    ],
)
def test_names_of_the_guide_and_their_variants_are_understood(
    name: str, component: str, format: str, label: str
) -> None:
    said = names.read(name)
    assert said
    assert (said.component, said.format, said.label) == (component, format, label)


@pytest.mark.parametrize(
    "name",
    [
        "README",
        "config.yaml",
        "notes.gz",
        ".queue_20261110_020000.db.gz.Xy12",
        ".queue_20261110_020000.db.gz",
        "queue_20261110_020000.db.gz.sha256",
        "queue_20261110_020000.db-wal",
        "queue_20261110_020000.sql",
        "config_20261110_020000.db",
        "bridge.log.sha256",
        "catalog.txt",
    ],
)
def test_other_files_are_no_backups(name: str) -> None:
    assert names.read(name) is None


@pytest.mark.parametrize(
    ("name", "home", "component"),
    [
        ("latest.tar.gz", "config", "config"),
        ("tls.tar.enc", "certs", "certs"),
        ("nightly.db", "queue", "queue"),
        ("bridge.1.gz", "logs", "logs"),
        ("queue_20261110_020000.db.gz", "config", "queue"),
    ],
)
def test_a_directory_of_a_component_tells_what_a_name_leaves_open(name: str, home: str, component: str) -> None:
    said = names.read(name, home)
    assert said
    assert said.component == component


def test_names_are_read_in_the_time_zone_of_the_source() -> None:
    moment, facts = taken("queue_20261110_020000.db.gz", utc(2026, 11, 10, 1, 0, 9), BERLIN)
    assert moment == utc(2026, 11, 10, 1)
    assert facts == ()


def test_a_name_that_ends_in_z_is_utc_whatever_the_zone_of_the_source() -> None:
    assert taken("queue_20261110_020000Z.db.gz", utc(2026, 11, 10, 2), BERLIN) == (utc(2026, 11, 10, 2), ())


def test_a_name_without_a_time_has_its_files_own() -> None:
    assert taken("bridge.log.1", utc(2026, 11, 10, 4)) == (utc(2026, 11, 10, 4), ())


@pytest.mark.parametrize(("hour", "reading"), [(0, 0), (1, 1)])
def test_an_hour_that_comes_twice_is_settled_by_the_files_own_time(hour: int, reading: int) -> None:
    written = utc(2026, 10, 25, hour, 30, 20)
    assert taken("queue_20261025_023000.db.gz", written, BERLIN) == (utc(2026, 10, 25, reading, 30), ())


@pytest.mark.parametrize(("hour", "reading"), [(0, 0), (1, 1)])
def test_an_hour_that_is_left_out_is_settled_by_the_files_own_time(hour: int, reading: int) -> None:
    written = utc(2026, 3, 29, hour, 30, 20)
    assert taken("queue_20260329_023000.db.gz", written, BERLIN) == (utc(2026, 3, 29, reading, 30), ())


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("queue_20261025_023000.db.gz", utc(2026, 10, 25, 5), "came twice"),
        ("queue_20260329_023000.db.gz", utc(2026, 3, 29, 9), "did not exist"),
    ],
)
def test_an_hour_that_nothing_settles_is_marked_ambiguous(name: str, written: datetime, said: str) -> None:
    _, facts = taken(name, written, BERLIN)
    assert [(fact.label, fact.state) for fact in facts] == [("ambiguous time", "warn")]
    assert said in facts[0].value


def test_an_hour_on_the_same_day_that_is_not_doubtful_needs_no_settling() -> None:
    assert taken("queue_20261025_033000.db.gz", utc(2026, 10, 25, 9), BERLIN) == (utc(2026, 10, 25, 2, 30), ())


def test_a_name_in_the_future_is_a_finding() -> None:
    _, facts = taken("queue_20261123_130000.db.gz", NOW + timedelta(hours=1))
    assert [(fact.state, "in the future" in fact.value) for fact in facts] == [("warn", True)]


def test_a_clock_that_is_a_minute_ahead_is_no_finding() -> None:
    assert taken("queue_20261123_120100.db.gz", NOW + timedelta(minutes=1))[1] == ()


def test_a_name_more_than_a_day_from_its_file_is_a_finding() -> None:
    moment, facts = taken("queue_20261110_020000.db.gz", utc(2026, 11, 13, 2))
    assert moment == utc(2026, 11, 10, 2)
    assert [(fact.state, "3 days" in fact.value) for fact in facts] == [("warn", True)]
    assert taken("queue_20261110_020000.db.gz", utc(2026, 11, 11, 1))[1] == ()


def test_a_date_alone_is_a_time_on_that_day_and_the_files_own_where_it_can_be() -> None:
    assert taken("queue_20261110.db.gz", utc(2026, 11, 10, 14), UTC) == (utc(2026, 11, 10, 14), ())
    moment, facts = taken("queue_20261110.db.gz", utc(2026, 11, 20), UTC)
    assert moment == utc(2026, 11, 10, 23, 59, 59)
    assert len(facts) == 1


@pytest.mark.parametrize("digits", ["20261399_020000", "20261110_250000", "00000000_000000", "20260230"])
def test_digits_that_are_no_date_leave_the_files_own_time_and_a_finding(digits: str) -> None:
    moment, facts = taken(f"queue_{digits}.db.gz", utc(2026, 11, 10))
    assert moment == utc(2026, 11, 10)
    assert [(fact.state, "no date" in fact.value) for fact in facts] == [("warn", True)]


def test_a11_an_empty_backup_is_a_finding_but_an_empty_log_is_none() -> None:
    queue, log = names.read("queue_20261110_020000.db.gz"), names.read("bridge.log")
    assert queue
    assert log
    empty = status(utc(2026, 11, 10, 2).timestamp(), size=0)
    assert ["empty" in fact.value for fact in names.taken(queue, empty, UTC, NOW)[1]] == [True]
    assert names.taken(log, empty, UTC, NOW)[1] == ()


def test_a_time_of_a_file_that_is_no_date_is_a_finding() -> None:
    said = names.read("bridge.log")
    assert said
    moment, facts = names.taken(said, status(2**60), UTC, NOW)
    assert moment == datetime.fromtimestamp(0, UTC)
    assert facts[0].state == "warn"


def test_ids_leave_out_the_components_directory_and_name_others() -> None:
    said = names.read("queue_20261110_020000.db.gz")
    assert said
    assert names.backup_id(said, ("queue",), "local") == "queue/20261110_020000@local"
    assert names.backup_id(said, (), "local") == "queue/20261110_020000@local"
    assert names.backup_id(said, ("queue", "monthly"), "local") == "queue/monthly/20261110_020000@local"


def test_the_same_id_is_given_once_and_the_other_depends_on_the_path_alone() -> None:
    first, again = names.Ids(), names.Ids()
    assert first.unique("queue/20261110_020000@local", "a") == "queue/20261110_020000@local"
    other = first.unique("queue/20261110_020000@local", "b")
    again.unique("queue/20261110_020000@local", "c")
    assert other == again.unique("queue/20261110_020000@local", "b") != "queue/20261110_020000@local"
    assert other.startswith("queue/20261110_020000~")


@given(
    st.text() | st.from_regex(r"(config|certs|queue|logs)_\d{8}_\d{6}.{0,9}\.(db|tar|log)(\.gz)?(\.enc)?"),
    st.sampled_from(["", "config", "certs", "queue", "logs"]),
    st.floats(-1e13, 1e13),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_no_name_and_no_time_is_an_exception(name: str, home: str, mtime: float, zone: str) -> None:
    said = names.read(name, home)
    if said:
        moment, _ = names.taken(said, status(mtime), ZoneInfo(zone), NOW)
        made = names.backup_id(said, (home,), "local")
        assert moment.tzinfo is UTC
        assert made.isascii()
        assert made.isprintable()
        assert made.count("@") == 1
        assert not set(made) & set(" []<>\\'\"")
