from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats import replay as replaying
from pacs_recover.formats import replay_tally
from pacs_recover.formats.replay import Replay, outline
from pacs_recover.formats.replay_tally import AGES, Counts
from tests.formats.queue_files import SYNTHETIC, execute, many, queue
from tests.formats.replay_by_hand import Message, by_hand, write

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


TIMES = (
    "2026-11-11 11:59:59.000",
    "2026-11-11 11:00:00.000",
    "2026-11-11 10:59:59.999",
    YOUNG,
    "2026-11-10 12:00:00.000",
    "2026-11-10 11:59:59.999",
    OLD,
    "2026-11-12 00:00:00.000",
    "soon",
)
messages = st.lists(
    st.builds(
        Message,
        id=st.sampled_from("abcdefghijklm"),
        state=st.sampled_from([0, 1, 2, 3, 4, None]),
        created=st.sampled_from(TIMES),
        destination=st.sampled_from(["RIS", "EMR", "ris", "Röntgen"]),
        type=st.sampled_from(["ORM^O01", "ADT^A08", "", None]),
    ),
    unique_by=lambda message: (message.id, message.state is None),
)


@given(
    backup=messages,
    live=messages,
    ttl=st.sampled_from([DAY, 3600.0, 2 * DAY, 36_000.0]),
    types_held=st.sampled_from([0, 1, replay_tally.MANY]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_number_equals_that_of_plain_sets(
    tmp_path: Path, backup: list[Message], live: list[Message], ttl: float, types_held: int
) -> None:
    old, new = tmp_path / "backup.db", tmp_path / "live.db"
    for path, content in ((old, backup), (new, live)):
        path.unlink(missing_ok=True)
        write(path, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_tally, "MANY", types_held)
        assert replaying.compare(old, new, NOW, ttl) == by_hand(backup, live, NOW, ttl)
        kept = replaying.compare(old, new, NOW, ttl, carry_over=True)
    assert kept == by_hand(backup, live, NOW, ttl, carry_over=True)
    assert (kept.lost_since, kept.unsent_lost) == (0, 0)


def test_only_the_largest_are_named_and_the_rest_is_one_number(tmp_path: Path) -> None:
    rows = [Message(f"{d}-{n}", 0, YOUNG, f"DEST-{d:02}", f"T{d % 3}") for d in range(30) for n in range(d + 1)]
    found = replaying.compare(write(tmp_path / "backup.db", rows), None, NOW, DAY)
    names = [f"DEST-{d:02}" for d in range(29, 9, -1)]
    assert list(found.by_destination) == [*names, "others"]
    assert found.by_destination["DEST-29"].resent == 30
    assert found.by_destination["others"].resent == sum(range(1, 11))
    assert (
        "[to DEST-29 30, DEST-28 29, DEST-27 28, DEST-26 27, DEST-25 26, others 325 / type T2 165" in found.sentence()
    )


def test_names_are_made_harmless_and_cut_and_payloads_are_nowhere(tmp_path: Path) -> None:
    rows = [
        Message("secret-id", 0, YOUNG, "A\x1b[2J\u202eB", "x" * 500),
        Message("b", 0, YOUNG, "A\x1b[2J\u202eB", "x" * 500 + "y"),
    ]
    found = replaying.compare(write(tmp_path / "backup.db", rows), None, NOW, DAY)
    assert list(found.by_destination) == ["A\\x1b[2J\\u202eB"]
    assert list(found.by_type) == ["x" * 60 + "…"]
    told = f"{found} {found.sentence()}"
    assert "secret-id" not in told
    assert SYNTHETIC[:8] not in told


def test_a_queue_of_a_version_without_message_types_is_counted(tmp_path: Path) -> None:
    path = queue(tmp_path / "backup.db", [("a", 0, YOUNG)])
    execute(path, "ALTER TABLE message_queue DROP COLUMN message_type")
    compare(path, None, NOW, DAY)
    assert replaying.compare(path, path, NOW, 1.0).by_type == {"none": Counts(dead_lettered=1)}


def test_after_a_restore_the_sentence_says_what_is_decided() -> None:
    assert replay(2, 1, 1, 1).sentence(final=True) == (
        "2 messages sent again; 1 message past the time to live becoming dead letters (some may be sent first); "
        "1 message arrived since and lost, 1 of them not yet sent"
    )
    assert replay().sentence(final=True) == "no message is sent again, none is lost"


def test_an_outline_holds_ids_but_no_payload_and_is_for_us_alone(tmp_path: Path) -> None:
    backup = queue(tmp_path / "backup.db", many(500), dead=["dead"])
    assert outline(backup, tmp_path / "outline.db") == "501 messages listed by id"
    assert stat.S_IMODE((tmp_path / "outline.db").stat().st_mode) == 0o600
    content = (tmp_path / "outline.db").read_bytes()
    assert b"id-000499" in content
    assert SYNTHETIC[:8].encode() not in content
    with pytest.raises(SourceError):
        outline(backup, tmp_path / "outline.db")


def test_an_outline_never_takes_the_last_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "ROOM", 1 << 60)
    with pytest.raises(SourceError, match="not enough room"):
        outline(queue(tmp_path / "backup.db"), tmp_path / "outline.db")
    assert not (tmp_path / "outline.db").exists()


@pytest.mark.slow
def test_memory_stays_flat_for_a_large_queue(tmp_path: Path) -> None:
    backup, live = queue(tmp_path / "backup.db"), queue(tmp_path / "live.db")
    for path, first in ((backup, 0), (live, 150_000)):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA synchronous=OFF")
            database.execute(
                "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + 299999) "
                "INSERT INTO message_queue(id, destination, payload, created_at, scheduled_at, message_type) "
                "SELECT printf('%032x', i * 2654435761 % 4294967296), 'RIS-' || i, hex(zeroblob(150)), ?2, ?2, "
                "'T' || (i % 1000) FROM n",
                (first, YOUNG),
            )
    script = (
        "import sys, resource; from pathlib import Path; from datetime import datetime, UTC\n"
        "from pacs_recover.formats.replay import compare, outline\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "backup, live, now = Path(sys.argv[1]), Path(sys.argv[2]), datetime(2026, 11, 11, 12, tzinfo=UTC)\n"
        "found = compare(backup, live, now, 86400)\n"
        "outline(backup, backup.with_name('outline.db'))\n"
        "assert compare(backup.with_name('outline.db'), live, now, 86400) == found\n"
        "print(found.resent, found.lost_since, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, backup, live], capture_output=True, text=True, check=True)
    resent, lost, grown = map(int, done.stdout.split())
    assert (resent, lost) == (150_000, 150_000)
    assert grown < 40_000, "kB beyond what the imports took: SQLite's page caches and one sorter"
