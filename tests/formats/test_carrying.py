"""Messages that only one queue has are added to another: just these, whole, and nothing else is touched."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.formats import carrying, sqlite
from pacs_recover.formats.carrying import Carried
from tests.formats.queue_files import add, damage_an_index, execute, many, queue
from tests.formats.replay_by_hand import Message, completed, read, write
from tests.formats.test_replay import YOUNG, messages


def everything(path: Path) -> dict[str, Counter[tuple[object, ...]]]:
    """Every row of both tables, whole."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        tables = ("message_queue", "dead_letter_queue")
        return {table: Counter(database.execute(f"SELECT * FROM {table}")) for table in tables}


@given(backup=messages, live=messages)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_there_afterwards_equals_plain_sets(tmp_path: Path, backup: list[Message], live: list[Message]) -> None:
    old, new = tmp_path / "backup.db", tmp_path / "live.db"
    for path, content in ((old, backup), (new, live)):
        path.unlink(missing_ok=True)
        write(path, content)
    before, other, other_bytes = everything(old), everything(new), new.read_bytes()
    foreseen, untouched = carrying.foresee(old, new), old.read_bytes()
    assert everything(old) == before
    found = carrying.carry(old, new)
    assert Counter(read(old)) == Counter(completed(backup, live))
    known = {m.id for m in backup}
    fresh = [m for m in live if m.id not in known]
    assert (
        found
        == foreseen
        == Carried(
            waiting=sum(m.state is not None for m in fresh),
            dead=sum(m.state is None for m in fresh),
            processing=sum(m.state == 1 for m in fresh),
            both=len(live) - len(fresh),
        )
    )
    for table, rows in everything(old).items():
        assert not before[table] - rows, "a restored row was changed"
        assert not rows - before[table] - other[table], "a row came from nowhere"
    assert new.read_bytes() == other_bytes
    assert sqlite.integrity(old).startswith("integrity_check: ok")
    assert untouched[18:20] == old.read_bytes()[18:20], "the journal mode it came with"
    assert {path.name for path in tmp_path.iterdir()} == {"backup.db", "live.db"}
    assert carrying.carry(old, new) == Carried(waiting=0, dead=0, processing=0, both=len(live))


def test_a_row_in_both_stays_as_in_the_backup_and_the_evidence_says_how_many(tmp_path: Path) -> None:
    backup = queue(tmp_path / "backup.db", [("both", 0, YOUNG)], dead=["revived"], destination="RIS")
    live = queue(
        tmp_path / "live.db", [("both", 3, YOUNG), ("revived", 0, YOUNG), ("new", 1, YOUNG)], destination="ELSEWHERE"
    )
    assert carrying.carry(backup, live).sentence() == (
        "1 message (1 in processing, which the service will send anew) and 0 dead letters only in the old queue; "
        "2 in both stay as in the backup"
    )
    assert {(m.id, m.state, m.destination) for m in read(backup)} == {
        ("both", 0, "RIS"),
        ("revived", None, "RIS"),
        ("new", 1, "ELSEWHERE"),
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE message_queue ADD COLUMN tenant TEXT", "differ in tenant"),
        ("ALTER TABLE message_queue DROP COLUMN correlation_id", "differ in correlation_id"),
        (
            "CREATE TABLE t(id TEXT, destination TEXT NOT NULL, payload TEXT NOT NULL, priority INTEGER, state INTEGER,"
            " created_at TEXT NOT NULL, scheduled_at TEXT NOT NULL, attempt_count INTEGER, last_error TEXT,"
            " correlation_id TEXT, message_type TEXT); DROP TABLE message_queue; ALTER TABLE t RENAME TO message_queue",
            "differ in id",
        ),
        ("INSERT INTO message_queue VALUES (NULL, 'RIS', 'x', 0, 0, 'a', 'a', 0, '', '', '')", "rows without an id"),
    ],
)
def test_a_live_queue_that_does_not_fit_is_refused_before_anything_is_added(
    tmp_path: Path, change: str, said: str
) -> None:
    backup, live = queue(tmp_path / "backup.db", many(3)), queue(tmp_path / "live.db", many(5, prefix="live"))
    execute(live, change)
    before = everything(backup)
    for verb in (carrying.foresee, carrying.carry):
        with pytest.raises(RecoverError, match=said):
            verb(backup, live)
        assert everything(backup) == before


def test_dead_letters_need_their_table_and_triggers_are_never_run(tmp_path: Path) -> None:
    backup, live = queue(tmp_path / "backup.db"), queue(tmp_path / "live.db", many(2))
    execute(backup, "DROP TABLE dead_letter_queue")
    assert carrying.foresee(backup, live).waiting == 2
    add(live, dead=["dead"])
    with pytest.raises(RecoverError, match="the backup has no dead_letter_queue"):
        carrying.foresee(backup, live)
    bad = queue(tmp_path / "bad.db")
    execute(bad, "CREATE TRIGGER t AFTER INSERT ON message_queue BEGIN DELETE FROM message_queue; END")
    with pytest.raises(RecoverError, match="has triggers"):
        carrying.carry(bad, live)


def test_a_live_queue_without_dead_letters_or_in_another_order_fits(tmp_path: Path) -> None:
    backup, live = queue(tmp_path / "backup.db", many(1)), queue(tmp_path / "live.db", many(3))
    execute(
        live,
        "DROP TABLE dead_letter_queue",
        "ALTER TABLE message_queue DROP COLUMN message_type",
        "ALTER TABLE message_queue DROP COLUMN last_error",
        "ALTER TABLE message_queue ADD COLUMN message_type TEXT",
        "ALTER TABLE message_queue ADD COLUMN last_error TEXT",
        "UPDATE message_queue SET message_type = 'ORM^O01', last_error = 'late'",
    )
    assert carrying.carry(backup, live).waiting == 2
    assert [m.type for m in read(backup)] == [None, "ORM^O01", "ORM^O01"]


def test_what_is_no_queue_carries_nothing(tmp_path: Path) -> None:
    backup, other = queue(tmp_path / "backup.db", many(1)), tmp_path / "other.db"
    execute(other, "CREATE TABLE messages(id)")
    with pytest.raises(BadBackup, match="no table message_queue"):
        carrying.carry(backup, other)


def test_damage_that_only_the_full_check_knows_is_seen_afterwards(tmp_path: Path) -> None:
    backup, live = queue(tmp_path / "backup.db", many(1)), queue(tmp_path / "live.db", many(9))
    damage_an_index(backup)
    carrying.carry(backup, live)
    with pytest.raises(BadBackup, match="integrity check"):
        sqlite.integrity(backup)


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_carried_fast_and_in_flat_memory(tmp_path: Path) -> None:
    backup, live = (
        queue(tmp_path / "backup.db", many(100_000)),
        queue(tmp_path / "live.db", many(100_000, prefix="new")),
    )
    script = (
        "import sys, resource, time; from pathlib import Path\n"
        "from pacs_recover.formats.carrying import carry\n"
        "before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()\n"
        "found = carry(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(found.waiting, after - before, time.monotonic() - began)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, backup, live], capture_output=True, text=True, check=True)
    carried, grown, took = map(float, done.stdout.split())
    assert carried == 100_000
    assert grown < 60_000, "kB"
    assert took < 20, "seconds"
    assert sqlite.integrity(backup).startswith("integrity_check: ok")
