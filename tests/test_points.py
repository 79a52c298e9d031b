from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from pacs_recover import catalog, points
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup
from pacs_recover.selection import moment, select
from pacs_recover.sources.litestream import LitestreamSource
from pacs_recover.sources.litestream_store import FileStore
from pacs_recover.sources.local import LocalSource
from tests.sources.make_replica import VERSIONS, golden

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
STATES = (SourceState("replica", "litestream", True), SourceState("local", "local", True))


def transaction(number: int, seconds: float, source: str = "replica") -> Backup:
    return point(f"transaction/{number:016x}", seconds, source)


def segment(generation: str, seconds: float) -> Backup:
    return point(f"generations/{generation}/wal/00000000_{int(seconds):08x}.wal.lz4", seconds)


def point(key: str, seconds: float, source: str = "replica") -> Backup:
    at = NOON + timedelta(seconds=seconds)
    label = f"queue/{at:%Y%m%d_%H%M%S}.{at.microsecond // 1000:03}@{source}"
    return Backup(id=label, component="queue", source=source, key=key, taken_at=at, format="db")


def catalog_of(*backups: Backup) -> Catalog:
    return Catalog(tuple(sorted(backups, key=lambda one: one.taken_at, reverse=True)), STATES)


def gaps(*backups: Backup) -> list[tuple[float, str]]:
    return [(gap.seconds, gap.reason) for gap in points.of(catalog_of(*backups)).gaps]


def test_points_that_are_as_far_apart_as_usual_have_no_gap() -> None:
    assert gaps(*(transaction(n, n * 300) for n in range(1, 9))) == []
    assert gaps(*(transaction(n, n * n) for n in range(1, 7))) == []
    assert gaps(transaction(1, 0)) == gaps() == []


def test_a_stretch_without_a_point_is_a_gap_and_says_what_is_known_of_it() -> None:
    early = [transaction(n, n) for n in range(1, 6)]
    assert gaps(*early, transaction(6, 1000)) == [(995, "nothing was written, or Litestream did not run")]
    assert gaps(*early, transaction(9, 1000)) == [(995, "3 transactions in it can no longer be had apart")]


def test_a_new_history_of_litestream_is_a_gap_however_short() -> None:
    one, other = "a" * 16, "b" * 16
    found = gaps(segment(one, 0), segment(one, 1), segment(other, 2), segment(other, 3))
    assert found == [(1, "Litestream began anew: what was written meanwhile came to it as one")]
    assert gaps(segment(one, 0), transaction(1, 1)) == [(1, "another version of Litestream began")]


def test_gaps_are_those_of_one_replica_each() -> None:
    near = [transaction(n, n * 60) for n in range(1, 9)]
    far = [transaction(n, n * 3600, "slow") for n in range(1, 4)]
    states = (*STATES, SourceState("slow", "litestream", True))
    backups = tuple(sorted((*near, *far), key=lambda one: one.taken_at, reverse=True))
    assert points.of(Catalog(backups, states)).gaps == ()


def test_the_catalog_of_a_person_shows_only_the_newest_point_of_a_replica() -> None:
    local = point("queue.db.gz", 50, "local")
    every = [local, point("older.db.gz", -50, "local"), *(transaction(n, n) for n in range(1, 3001))]
    shown, more = catalog.folded(catalog_of(*every))
    assert [one.source for one in shown] == ["replica", "local", "local"]
    assert more == {"replica": 2999}
    assert catalog.folded(catalog_of(local)) == ((local,), {})
    assert len(catalog.to_json(catalog_of(*every))["backups"]) == 3002


def test_at_takes_the_point_at_that_very_millisecond_or_before_and_never_one_after() -> None:
    found = catalog_of(*(transaction(n, n + 0.123) for n in range(1, 3001)), point("queue.db.gz", 1500.5, "local"))

    def chosen(text: str) -> float:
        (backup,) = select(found, ["queue"], at=moment(text))
        return (backup.taken_at - NOON).total_seconds()

    assert chosen("2026-11-10T12:10:00.123Z") == 600.123
    assert chosen("2026-11-10T12:10:00.122Z") == 599.123
    assert chosen("2026-11-10T12:25:00.5Z") == 1500.5
    with pytest.raises(SourceError, match="no backup of queue from before"):
        chosen("2026-11-10T12:00:01.122Z")
    assert [one.key for one in select(found, ["queue"], [f"{found.backups[7].id[:23]}"])] == [found.backups[7].key]


def test_full_at_takes_of_each_component_what_was_newest_then() -> None:
    others = [
        Backup(id=f"{name}/{n}@local", component=name, source="local", key="", taken_at=NOON + timedelta(hours=n))
        for name in ("config", "certs")
        for n in (-2, 1)
    ]
    chosen = select(
        catalog_of(*others, *(transaction(n, n) for n in range(1, 99))), ["full"], at=NOON + timedelta(seconds=50.5)
    )
    assert [one.id for one in chosen][:2] == ["config/-2@local", "certs/-2@local"]
    assert chosen[2].key == f"transaction/{50:016x}"


def test_the_points_of_several_replicas_have_one_contract(tmp_path: Path) -> None:
    sources = []
    for version in VERSIONS:
        (tmp_path / version).mkdir()
        root, _ = golden(version, tmp_path / version)
        sources.append(LitestreamSource(f"v{version}", FileStore(root)))
    every = points.read(sources)
    found = points.to_json(every, every.backups)
    assert {one["source"] for one in found["points"]} == {"v0.3", "v0.5"}
    assert [one["at"] for one in found["points"]] == sorted((one["at"] for one in found["points"]), reverse=True)
    newest = found["points"][0]
    assert newest["id"] == f"queue/{newest['at'].translate({45: None, 58: None, 84: 95, 90: None})}@{newest['source']}"
    assert [one["ok"] for one in found["sources"]] == [True, True]
    only = points.read(sources, "v0.5").backups
    assert {one.source for one in only} == {"v0.5"}
    assert points.of(Catalog(only, every.sources)).until(only[1].taken_at) == only[1:]


def test_a_site_without_a_replica_and_a_wrong_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Litestream replica") as raised:
        points.read([LocalSource("local", tmp_path, UTC)])
    assert raised.value.hint
    with pytest.raises(UsageError, match="nope is no Litestream replica"):
        points.read([LitestreamSource("replica", FileStore(tmp_path))], "nope")


def test_everything_that_is_lost_is_named(tmp_path: Path) -> None:
    root, _ = golden("0.3", tmp_path)
    for path in root.glob("generations/*/snapshots/*"):
        path.unlink()
    found = points.read([LitestreamSource("replica", FileStore(root))])
    told = points.to_json(found, ())["lost"]
    assert len(told) == len(list(root.glob("generations/*"))) > 1
    assert all("has no snapshot" in one["reason"] and one["hint"] for one in told)


class Counting:
    """A replica that says how many of its points were asked for."""

    name, kind = "replica", "litestream"

    def __init__(self) -> None:
        self.given = 0

    def listing(self, component: str | None = None) -> Iterator[Backup]:
        for n in range(3000, 0, -1):
            self.given += 1
            yield transaction(n, n)

    def open(self, backup: Backup, scratch: Path) -> AbstractContextManager[BinaryIO]:
        raise NotImplementedError


def test_who_only_wants_to_know_how_fresh_a_replica_is_reads_one_point() -> None:
    brief, whole = Counting(), Counting()
    assert [one.key for one in catalog.read([brief], brief=True).backups] == [f"transaction/{3000:016x}"]
    assert len(catalog.read([whole]).backups) == whole.given == 3000
    assert brief.given == 1
