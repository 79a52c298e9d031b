from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats import replay as replaying
from pacs_recover.formats.replay import AGES, Counts, Replay, outline
from tests.formats.queue_files import Row, execute, many, queue

NOW = datetime(2026, 11, 11, 12, tzinfo=UTC)
DAY = 86_400.0
YOUNG, OLD = "2026-11-11 02:00:00.000", "2026-11-10 02:00:00.000"


def compare(backup: Path, live: Path | None, now: datetime, ttl_seconds: float) -> Replay:
    """The totals alone, once every breakdown has been seen to add up to them, and an outline to give the same."""
    found = replaying.compare(backup, live, now, ttl_seconds)
    for breakdown in (found.by_destination, found.by_type, found.by_age):
        for fate in Counts.__struct_fields__:
            assert sum(getattr(counts, fate) for counts in breakdown.values()) == getattr(found, fate)
    assert found.by_age.keys() == AGES.keys()
    listed = backup.with_name("outline.db")
    listed.unlink(missing_ok=True)
    outline(backup, listed)
    assert replaying.compare(listed, live, now, ttl_seconds) == found
    listed.unlink()
    return msgspec.structs.replace(found, by_destination={}, by_type={}, by_age={})


def replay(resent: int = 0, dead: int = 0, lost: int = 0, unsent: int = 0) -> Replay:
    return Replay(resent=resent, dead_lettered=dead, lost_since=lost, unsent_lost=unsent)


def test_a_queue_compared_with_itself_is_harmless(tmp_path: Path) -> None:
    path = queue(tmp_path / "a.db", many(50, created=YOUNG), dead=["x"])
    assert compare(path, path, NOW, DAY) == replay()
    assert compare(path, path, NOW, DAY).sentence() == "no message would be sent again, none would be lost"


def test_every_way_of_a_message_is_counted_once(tmp_path: Path) -> None:
    backup = queue(
        tmp_path / "backup.db",
        [
            ("waits-still", 0, YOUNG),
            ("retries-now", 0, YOUNG),
            ("sent-since", 1, YOUNG),
            ("died-since", 2, YOUNG),
            ("delivered-live", 0, YOUNG),
            ("delivered-in-backup", 3, YOUNG),
            ("too-old", 0, OLD),
            ("too-old-and-delivered", 3, OLD),
        ],
        dead=["dead-in-both", "revived-since"],
    )
    live = queue(
        tmp_path / "live.db",
        [
            ("waits-still", 0, YOUNG),
            ("retries-now", 2, YOUNG),
            ("delivered-live", 3, YOUNG),
            ("arrived", 0, YOUNG),
            ("arrived-and-delivered", 3, YOUNG),
            ("revived-since", 0, YOUNG),
        ],
        dead=["dead-in-both", "died-since", "arrived-and-died"],
    )
    assert compare(backup, live, NOW, DAY) == replay(
        resent=len(["sent-since", "died-since", "delivered-live"]),
        dead=len(["too-old"]),
        lost=len(["arrived", "arrived-and-delivered", "arrived-and-died"]),
        unsent=len(["arrived"]),
    )


def test_rows_of_one_id_are_one_message_whatever_they_say(tmp_path: Path) -> None:
    backup = queue(tmp_path / "backup.db", [("1", 0, YOUNG)], destination="RIS")
    live = queue(tmp_path / "live.db", [("1", 2, OLD)], destination="ELSEWHERE")
    assert compare(backup, live, NOW, DAY) == replay()


def test_ids_are_compared_as_they_are_stored(tmp_path: Path) -> None:
    backup = queue(tmp_path / "backup.db", [("a", 0, YOUNG), ("1", 0, YOUNG)])
    live = queue(tmp_path / "live.db", [("A", 0, YOUNG), ("01", 0, YOUNG), ("a ", 0, YOUNG)])
    assert compare(backup, live, NOW, DAY) == replay(resent=2, lost=3, unsent=3)


def test_without_a_live_queue_everything_unsent_is_sent(tmp_path: Path) -> None:
    backup = queue(tmp_path / "backup.db", [*many(3, created=YOUNG), ("old", 1, OLD), ("done", 3, YOUNG)])
    assert compare(backup, None, NOW, DAY) == replay(resent=3, dead=1)


def test_the_time_to_live_is_counted_from_now_in_utc(tmp_path: Path) -> None:
    rows = [("just-dead", 0, "2026-11-10 11:59:59.999"), ("just-alive", 0, "2026-11-10 12:00:00.000")]
    backup = queue(tmp_path / "backup.db", rows)
    assert compare(backup, None, NOW, DAY) == replay(resent=1, dead=1)
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    assert compare(backup, None, berlin, DAY) == replay(resent=1, dead=1)
    assert compare(backup, None, NOW, 1.0) == replay(dead=2)
    assert compare(backup, None, NOW, 1e30) == replay(resent=2)


@pytest.mark.parametrize("time", ["", "soon", "2026", "0"])
def test_a_time_that_cannot_be_read_counts_as_sent_again(tmp_path: Path, time: str) -> None:
    backup = queue(tmp_path / "backup.db", [("odd", 0, time)])
    assert compare(backup, None, NOW, DAY) == replay(resent=1)


def test_a_queue_without_dead_letters_is_compared(tmp_path: Path) -> None:
    backup = queue(tmp_path / "backup.db", [("a", 0, YOUNG)])
    live = queue(tmp_path / "live.db", [("b", 0, YOUNG)], dead=["c"])
    execute(backup, "DROP TABLE dead_letter_queue")
    assert compare(backup, live, NOW, DAY) == replay(resent=1, lost=2, unsent=1)
    assert compare(live, backup, NOW, DAY) == replay(resent=1, lost=1, unsent=1)


def test_rows_without_an_id_are_not_forgotten(tmp_path: Path) -> None:
    """SQLite lets a TEXT PRIMARY KEY be NULL, and NULL equals nothing."""
    backup, live = queue(tmp_path / "backup.db"), queue(tmp_path / "live.db")
    nameless = f"INSERT INTO message_queue VALUES (NULL, 'R', 'p', 0, 0, '{YOUNG}', '{YOUNG}', 0, NULL, NULL, NULL)"
    execute(backup, nameless)
    execute(live, nameless, nameless)
    assert compare(backup, live, NOW, DAY) == replay(resent=1, lost=2, unsent=2)


def test_a_file_that_is_no_queue_is_named(tmp_path: Path) -> None:
    sound, other = queue(tmp_path / "queue.db"), tmp_path / "other.db"
    execute(other, "CREATE TABLE t(a)")
    pairs: list[tuple[Path, Path | None]] = [(sound, other), (other, sound), (other, None)]
    for backup, live in pairs:
        with pytest.raises(BadBackup, match=r"other\.db is a database, but not a PACS Bridge queue"):
            compare(backup, live, NOW, DAY)


def test_neither_file_is_changed(tmp_path: Path) -> None:
    backup, live = queue(tmp_path / "backup.db", many(5)), queue(tmp_path / "live?#.db", many(7))
    before = backup.read_bytes(), live.read_bytes()
    compare(backup, live, NOW, DAY)
    assert (backup.read_bytes(), live.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_the_sentence_says_all_that_has_to_be_agreed_to() -> None:
    assert replay(1204, 37, 512, 80).sentence() == (
        "1,204 messages would be sent again; 37 messages past the time to live would become dead letters "
        "(some may be sent first); 512 messages that arrived since would be lost, 80 of them not yet sent"
    )
    assert replay(1).sentence().startswith("1 message would be sent again; 0 messages past")


ids = st.dictionaries(st.sampled_from("abcdefghij"), st.tuples(st.integers(0, 4), st.sampled_from([YOUNG, OLD])))


@given(
    backup=ids, live=ids, dead_backup=st.sets(st.sampled_from("klmabc")), dead_live=st.sets(st.sampled_from("klmabc"))
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_counts_equal_those_of_sets(
    tmp_path: Path,
    backup: dict[str, tuple[int, str]],
    live: dict[str, tuple[int, str]],
    dead_backup: set[str],
    dead_live: set[str],
) -> None:
    paths = []
    for name, rows, dead in (("backup.db", backup, dead_backup), ("live.db", live, dead_live)):
        (tmp_path / name).unlink(missing_ok=True)
        waiting: list[Row] = [(key, state, time) for key, (state, time) in rows.items()]
        paths.append(queue(tmp_path / name, waiting, dead))
    unsent = {key for key, (state, _) in backup.items() if state < 3}
    held = {key for key, (state, _) in live.items() if state < 3}
    known = set(backup) | dead_backup
    assert compare(paths[0], paths[1], NOW, DAY) == replay(
        resent=len({key for key in unsent - held if backup[key][1] == YOUNG}),
        dead=len({key for key in unsent if backup[key][1] == OLD}),
        lost=len(set(live) - known) + len(dead_live - known),
        unsent=len(held - known),
    )


@pytest.mark.slow
def test_memory_stays_flat_for_a_large_queue(tmp_path: Path) -> None:
    backup, live = queue(tmp_path / "backup.db"), queue(tmp_path / "live.db")
    for path, first in ((backup, 0), (live, 50_000)):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA synchronous=OFF")
            database.execute(
                "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + 99999) "
                "INSERT INTO message_queue(id, destination, payload, created_at, scheduled_at) "
                "SELECT printf('%032x', i * 2654435761 % 4294967296), 'RIS', hex(zeroblob(300)), ?2, ?2 FROM n",
                (first, YOUNG),
            )
    script = (
        "import sys, resource; from pathlib import Path; from datetime import datetime, UTC\n"
        "from pacs_recover.formats.replay import compare\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = compare(Path(sys.argv[1]), Path(sys.argv[2]), datetime(2026, 11, 11, 12, tzinfo=UTC), 86400)\n"
        "print(found.resent, found.lost_since, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, backup, live], capture_output=True, text=True, check=True)
    resent, lost, grown = map(int, done.stdout.split())
    assert (resent, lost) == (50_000, 50_000)
    assert grown < 25_000, "kB beyond what the imports took"
