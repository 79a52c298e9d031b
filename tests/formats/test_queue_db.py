from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_recover.errors import BadBackup
from pacs_recover.formats import queue_db
from pacs_recover.formats.queue_db import content, must_be_queue, preview
from tests.formats.queue_files import SCHEMA, SYNTHETIC, add, damage_an_index, execute, many, queue


def ask(path: Path, question: str) -> list[list[str]]:
    done = subprocess.run(["sqlite3", str(path), question], capture_output=True, text=True, check=True)
    return [line.split("|") for line in done.stdout.splitlines()]


def mixed(path: Path) -> Path:
    queue(path, many(30, 0, "2026-11-10 02:00:00.125", "a"), dead=["d1", "d2"], destination="RIS_MAIN")
    add(path, many(20, 1, "2026-11-09 23:59:59.999", "b"), destination="EMR_ARCHIVE")
    add(path, many(10, 2, "2026-11-11 00:00:00.000", "c"), destination="EMR_ARCHIVE")
    add(path, many(5, 3, "2026-11-10 12:00:00.000", "d"))
    add(path, many(2, 4, "2026-11-10 12:00:00.000", "e"))
    add(path, many(3, 7, "2026-11-10 12:00:00.000", "f"))
    return path


@pytest.mark.needs("sqlite3", reason="counts beside us")
def test_the_preview_equals_what_sqlite3_counts(tmp_path: Path) -> None:
    path = mixed(tmp_path / "queue.db")
    details = preview(path).details
    for table in details["tables"]:
        assert [[str(table["rows"])]] == ask(path, f"SELECT count(*) FROM {table['name']}")
    states = {int(state): int(n) for state, n in ask(path, "SELECT state, count(*) FROM message_queue GROUP BY 1")}
    names = {0: "pending", 1: "processing", 2: "retry_scheduled", 3: "delivered", 4: "dead_letter", 7: "unknown"}
    assert details["states"] == {names[state]: number for state, number in states.items()}
    destinations = ask(path, "SELECT destination, count(*) FROM message_queue GROUP BY 1 ORDER BY 2 DESC, 1")
    assert [[found["name"], str(found["rows"])] for found in details["destinations"]] == destinations
    [[oldest, newest]] = ask(path, "SELECT min(created_at), max(created_at) FROM message_queue")
    assert details["oldest"] == oldest.replace(" ", "T") + "Z" == "2026-11-09T23:59:59.999Z"
    assert details["newest"] == newest.replace(" ", "T") + "Z" == "2026-11-11T00:00:00.000Z"


def test_the_preview_is_json_and_holds_no_payload(tmp_path: Path) -> None:
    found = preview(mixed(tmp_path / "queue.db"))
    text = json.dumps(found.details) + repr(found.facts)
    assert SYNTHETIC not in text
    assert "ORM^O01" not in text


def test_a_sound_queue_is_ok_line_by_line(tmp_path: Path) -> None:
    found = preview(queue(tmp_path / "queue.db", many(1500), dead=["x"]))
    assert found.state == "ok"
    lines = {fact.label: fact.value for fact in found.facts}
    assert lines["Rows in message_queue"] == "1,500"
    assert lines["Rows in dead_letter_queue"] == "1"
    assert lines["Messages pending"] == "1,500"
    assert lines["Destinations"] == "RIS 1,500"
    assert lines["Oldest message"] == "2026-11-10T02:00:00.000Z"
    assert lines["Integrity"].startswith("integrity_check: ok")


def test_a_state_that_the_service_does_not_know_is_a_warning(tmp_path: Path) -> None:
    found = preview(mixed(tmp_path / "queue.db"))
    assert [(fact.label, fact.value) for fact in found.facts if fact.state == "warn"] == [("Messages state 7", "3")]


def test_states_that_are_no_numbers_are_counted_and_not_repeated(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(4))
    execute(path, "UPDATE message_queue SET state = 'PID|1||4711' WHERE id > 'id-000001'")
    states = content(path).states
    assert states["no state"] == 2
    assert states["pending"] == 2


def test_a_thousand_odd_states_take_a_few_lines(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", [(str(n), n, "2026-11-10 02:00:00.000") for n in range(1000)])
    states = content(path).states
    assert len(states) <= queue_db.MOST + 1
    assert sum(states.values()) == 1000


def test_destinations_beyond_the_largest_are_one_number(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db")
    for n in range(30):
        add(path, many(n + 1, prefix=f"d{n}"), destination=f"D{n:02}")
    found = content(path)
    assert len(found.destinations) == 20
    assert found.destinations[0] == ("D29", 30)
    line = next(fact.value for fact in queue_db.facts(found) if fact.label == "Destinations")
    assert line.startswith("D29 30, D28 29")
    assert line.endswith(f"others {sum(range(1, 11))}")


def test_hostile_names_reach_no_terminal(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(1), destination="RIS\x1b[2J\u202eevil")
    execute(path, 'CREATE TABLE "t\x1b]0;owned\x07" (a)')
    found = preview(path)
    text = json.dumps(found.details, ensure_ascii=False) + "".join(fact.label + fact.value for fact in found.facts)
    assert text.isprintable()
    assert "RIS\\x1b[2J\\u202eevil" in found.details["destinations"][0]["name"]


def test_an_empty_queue_is_accepted_with_a_warning(tmp_path: Path) -> None:
    found = preview(queue(tmp_path / "queue.db"))
    assert found.state == "warn"
    assert [fact.label for fact in found.facts if fact.state == "warn"] == ["Rows in message_queue"]
    assert found.details["oldest"] is None
    assert found.details["newest"] is None


def test_an_empty_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, "CREATE TABLE t(a); DROP TABLE t")
    with pytest.raises(BadBackup, match="not a PACS Bridge queue: no table message_queue; it has no tables at all"):
        must_be_queue(path)


def test_b6_another_database_is_refused_by_what_it_has_instead(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, "CREATE TABLE messages(id)", 'CREATE TABLE "\x1b[31m" (a)')
    with pytest.raises(BadBackup) as caught:
        preview(path)
    assert caught.value.message == (
        "queue.db is a database, but not a PACS Bridge queue: no table message_queue; it has \\x1b[31m, messages"
    )


def test_a_queue_without_a_column_that_sending_needs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, "CREATE TABLE message_queue(id TEXT PRIMARY KEY, destination, payload, priority, scheduled_at)")
    with pytest.raises(BadBackup, match="message_queue has no column state, created_at"):
        must_be_queue(path)


def test_a1_a_0_byte_queue_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queue.db").touch()
    with pytest.raises(BadBackup, match="is empty"):
        preview(tmp_path / "queue.db")


def test_b1_a_queue_with_a_corrupt_index_is_refused_by_its_preview(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(500))
    damage_an_index(path)
    with pytest.raises(BadBackup, match="missing from index"):
        preview(path)


def test_differences_from_the_schema_of_the_service_are_warnings(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    schema = SCHEMA.replace(", message_type TEXT);", ", extra TEXT);", 1)
    schema = schema.replace("CREATE INDEX idx_queue_priority ON message_queue(priority);", "")
    execute(path, schema, "DROP TABLE dead_letter_queue", "CREATE TABLE audit(a)")
    execute(path, "CREATE TRIGGER t AFTER DELETE ON message_queue BEGIN SELECT 1; END")
    assert content(path).differences == (
        "message_queue has no column message_type",
        "message_queue also has the column extra",
        "no table dead_letter_queue",
        "no index idx_queue_priority",
        "no index idx_dlq_destination",
        "another table audit",
        "a trigger, which PACS Bridge never makes: t",
    )
    assert {fact.state for fact in preview(path).facts if fact.label == "Schema"} == {"warn"}


def test_a_queue_whose_id_is_no_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, SCHEMA.replace("id TEXT PRIMARY KEY", "id TEXT", 1))
    assert content(path).differences == ("the id is not the key of message_queue",)


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-10", "2026-19-39 29:00:00.000", "20261110", "\ufffd"])
def test_times_that_cannot_be_read_are_counted_and_do_not_hide_the_others(tmp_path: Path, time: str) -> None:
    path = queue(tmp_path / "queue.db", [*many(3), ("odd", 0, time), ("late", 0, "2026-11-12 00:00:00.000")])
    found = content(path)
    assert found.newest == datetime(2026, 11, 12, tzinfo=UTC)
    assert found.oldest == datetime(2026, 11, 10, 2, tzinfo=UTC)
    assert found.unreadable_times == 1


def test_only_times_that_cannot_be_read_leave_none(tmp_path: Path) -> None:
    found = content(queue(tmp_path / "queue.db", [("odd", 0, "2026-19-39 29:00:00.000"), ("b", 0, "soon")]))
    assert (found.oldest, found.newest, found.unreadable_times) == (None, None, 2)


@pytest.mark.parametrize("text", [None, "", b"\xff", 12, "9999-12-31 23:59:59.999+23:59", "2026-02-30 00:00:00"])
def test_no_value_of_a_time_column_escapes(text: object) -> None:
    assert queue_db.moment(text) is None or isinstance(queue_db.moment(text), datetime)


def test_times_with_an_offset_are_shown_in_utc() -> None:
    assert queue_db.moment("2026-11-10 02:00:00.500+01:00") == datetime(2026, 11, 10, 1, 0, 0, 500_000, UTC)


def test_a_queue_of_another_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, "PRAGMA encoding='UTF-16le'", SCHEMA)
    add(path, many(3), destination="Ambulanz Süd")
    assert content(path).destinations == (("Ambulanz Süd", 3),)


def test_the_backup_command_of_the_guide_makes_a_queue_that_is_accepted(tmp_path: Path) -> None:
    live, backup = queue(tmp_path / "live.db", many(9)), tmp_path / "backup.db"
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(backup)) as destination:
        source.backup(destination)
    assert content(backup) == content(live)


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from pacs_recover.formats import queue_db
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
while True:
    queue_db.preview(Path(sys.argv[1]))
"""


def test_a_check_that_is_interrupted_ends_as_interrupted_and_says_nothing_of_the_backup(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    queue(path, many(20_000, 0, "2026-11-10 02:00:00.125", "a"))
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_a_count_that_is_stopped_ends_instead_of_giving_half_a_number(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    queue(path, many(5_000, 0, "2026-11-10 02:00:00.125", "a"))
    with pytest.raises(BadBackup, match="took longer"):
        content(path, lambda: True)
