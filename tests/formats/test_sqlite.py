from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats import sqlite
from tests.formats.queue_files import SYNTHETIC, damage_an_index, execute, many, queue


def cli(path: Path, statement: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sqlite3", str(path), statement], capture_output=True, text=True, check=False)


def test_a_sound_database_passes_and_says_how_large_it_is(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(500))
    pages = path.stat().st_size // 4096
    assert sqlite.integrity(path) == f"integrity_check: ok ({pages:,} pages of 4,096 bytes)"


def test_reading_changes_and_leaves_nothing(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(500))
    before = path.read_bytes()
    sqlite.integrity(path)
    sqlite.tables(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["queue.db"]


def test_a1_a_0_byte_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.touch()
    with pytest.raises(BadBackup, match=r"queue\.db is empty: 0 bytes are no database"):
        sqlite.integrity(path)
    assert path.stat().st_size == 0


def test_a1_a_mistyped_path_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        sqlite.integrity(tmp_path / "queu.db")
    assert not list(tmp_path.iterdir())


def test_a1_a_text_of_20_bytes_is_refused_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_text("PID|1||4711^^^DOE^JOHN")
    with pytest.raises(BadBackup, match="is not a SQLite database") as caught:
        sqlite.integrity(path)
    assert "DOE" not in caught.value.message + caught.value.hint


def test_a3_a_stale_wal_beside_a_backup_is_refused_not_replayed(tmp_path: Path) -> None:
    backup = queue(tmp_path / "queue.db", many(2000))
    sound = backup.read_bytes()
    Path(f"{backup}-wal").write_bytes(wal_of_another(tmp_path))
    for look in (sqlite.integrity, sqlite.tables, sqlite.open_private):
        with pytest.raises(BadBackup, match=r"queue\.db-wal lies beside queue\.db"):
            look(backup)
    assert backup.read_bytes() == sound
    Path(f"{backup}-wal").unlink()
    assert ("message_queue", 2000) in sqlite.tables(backup)


def wal_of_another(tmp_path: Path) -> bytes:
    incident = queue(tmp_path / "incident.db")
    with closing(sqlite3.connect(incident)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("DELETE FROM message_queue")
        writer.execute("CREATE TABLE incident (a)")
        writer.commit()
        return Path(f"{incident}-wal").read_bytes()


@pytest.mark.needs("sqlite3", reason="shows that its exit code says nothing")
def test_b1_findings_are_refused_though_sqlite3_exits_with_0(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(500))
    damage_an_index(path)
    guide = cli(path, "PRAGMA integrity_check;")
    assert guide.returncode == 0
    assert "missing from index" in guide.stdout
    with pytest.raises(
        BadBackup, match=r"damaged; its integrity check says: row 501 missing from index idx_queue_state"
    ):
        sqlite.integrity(path)


@pytest.mark.needs("sqlite3", reason="shows that its quick check finds nothing")
def test_b2_damage_that_a_quick_check_misses_is_found(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(500))
    damage_an_index(path)
    assert cli(path, "PRAGMA quick_check;").stdout == "ok\n"
    with pytest.raises(BadBackup):
        sqlite.integrity(path)


def test_what_is_read_beside_the_check_counts_only_if_it_passes(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db")
    with sqlite.proven_beside(path):
        before = sqlite.tables(path)
    with pytest.raises(LookupError, match="its own"), sqlite.proven_beside(path):
        raise LookupError("its own")
    damage_an_index(path)
    with pytest.raises(BadBackup, match="missing from index"), sqlite.proven_beside(path):
        assert sqlite.tables(path) == before, "the rows can be read all the same"
    with pytest.raises(BadBackup, match="missing from index"), sqlite.proven_beside(path):
        raise BadBackup("what came of it", "")


def test_b6_tables_are_discovered_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    execute(path, "CREATE TABLE Zebra(a INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO Zebra VALUES (NULL), (NULL)")
    execute(path, 'CREATE TABLE "odd ""name"" [of] a table"(a)', "CREATE TABLE sqlitelike(a)", "ANALYZE")
    assert sqlite.tables(path) == (("Zebra", 2), ('odd "name" [of] a table', 0), ("sqlitelike", 0))


@pytest.mark.needs("sqlite3", reason="counts beside us")
def test_row_counts_equal_those_of_sqlite3(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(1234), dead=["a", "b"])
    counts = {name: int(cli(path, f"SELECT count(*) FROM {name}").stdout) for name, _ in sqlite.tables(path)}
    assert dict(sqlite.tables(path)) == counts == {"message_queue": 1234, "dead_letter_queue": 2}


@pytest.mark.parametrize("keep", [1, 99, 100, 4095, 4096, 40_000])
def test_a_truncated_database_is_refused(tmp_path: Path, keep: int) -> None:
    path = queue(tmp_path / "queue.db", many(1000))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadBackup, match=r"truncated: it has|is not a SQLite database"):
        sqlite.integrity(path)


def test_a_database_with_something_behind_it_is_refused(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(10))
    with path.open("ab") as stream:
        stream.write(bytes(4096))
    with pytest.raises(BadBackup, match="followed by something else"):
        sqlite.integrity(path)


@pytest.mark.parametrize("size", [b"\x00\x00", b"\x01\x00", b"\x03\x00", b"\xff\xff"])
def test_a_header_with_an_impossible_page_size_is_refused(tmp_path: Path, size: bytes) -> None:
    path = queue(tmp_path / "queue.db", many(10))
    data = path.read_bytes()
    path.write_bytes(data[:16] + size + data[18:])
    with pytest.raises(BadBackup, match="pages of"):
        sqlite.integrity(path)


@pytest.mark.parametrize("pages", [512, 65536])
def test_the_smallest_and_largest_pages_are_read(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "queue.db"
    execute(path, f"PRAGMA page_size={pages}", "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
    assert f"pages of {pages:,} bytes" in sqlite.integrity(path)


def test_names_with_odd_characters_reach_the_file_and_not_the_terminal(tmp_path: Path) -> None:
    path = queue(tmp_path / "q?mode=rw#%41\x1b[31m.db", many(3))
    assert ("message_queue", 3) in sqlite.tables(path)
    damage_an_index(path)
    with pytest.raises(BadBackup) as caught:
        sqlite.integrity(path)
    assert "\x1b" not in caught.value.message


def test_text_that_is_not_utf8_is_no_error_that_quotes_it(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, f"CREATE TABLE t(a); INSERT INTO t VALUES (CAST(x'ff{SYNTHETIC.encode().hex()}' AS TEXT))")
    with closing(sqlite.open_private(path)) as database:
        assert database.execute("SELECT a FROM t").fetchone()[0].startswith("\ufffdMSH")


def test_nothing_can_be_written(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(3))
    with closing(sqlite.open_private(path)) as database, pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("DELETE FROM message_queue")


def test_triggers_and_views_lie_still(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(3))
    execute(path, "CREATE TRIGGER evil AFTER INSERT ON message_queue BEGIN DELETE FROM message_queue; END")
    execute(path, "CREATE VIEW spy AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r")
    started = time.monotonic()
    assert sqlite.integrity(path).startswith("integrity_check: ok")
    assert [name for name, _ in sqlite.tables(path)] == ["dead_letter_queue", "message_queue"]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIRTUAL TABLE v USING fts5(a)",
        "CREATE TABLE g(a, b AS (instr(a, a)))",
        "CREATE INDEX e ON message_queue(length(payload))",
        "CREATE INDEX p ON message_queue(state) WHERE length(payload) > 3",
        "CREATE TABLE g(a, b AS (instr(a, a))); PRAGMA writable_schema=ON;"
        "UPDATE sqlite_master SET name = 'message_queue', tbl_name = 'message_queue' WHERE name = 'g'",
        "CREATE VIRTUAL TABLE v USING rtree(id, a, b); PRAGMA writable_schema=ON;"
        "UPDATE sqlite_master SET rootpage = 2 WHERE name = 'v'",
        "CREATE VIEW v AS SELECT 1; PRAGMA writable_schema=ON;UPDATE sqlite_master SET type = 'table' WHERE name = 'v'",
    ],
)
def test_a_schema_that_could_compute_is_refused(tmp_path: Path, statement: str) -> None:
    path = queue(tmp_path / "queue.db", many(3))
    execute(path, statement)
    with pytest.raises(BadBackup, match=r"PACS Bridge makes none|not a sound SQLite database"):
        sqlite.integrity(path)


def test_a_check_constraint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    execute(path, "PRAGMA ignore_check_constraints=ON; CREATE TABLE t(a CHECK (a > 5)); INSERT INTO t VALUES (1)")
    assert sqlite.integrity(path).startswith("integrity_check: ok")


def test_work_that_takes_too_long_ends(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(1000))
    started = time.monotonic()
    with pytest.raises(BadBackup, match="took longer"), sqlite.reading(path, 0.2) as database:
        database.execute("SELECT count(*) FROM message_queue a, message_queue b, message_queue c").fetchone()
    assert time.monotonic() - started < 10


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db")
    with pytest.raises(BadBackup, match="more than 128 MB of memory"), sqlite.reading(path) as database:
        database.execute("SELECT length(hex(zeroblob(200000000)))").fetchone()


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Is a directory"):
        sqlite.integrity(tmp_path)


@given(at=st.integers(0, 60_000), value=st.integers(1, 255), length=st.integers(1, 64))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_ends_in_an_answer(tmp_path: Path, at: int, value: int, length: int) -> None:
    """Damage may hide (nobody can see a flipped bit in a payload); it may not escape as anything but BadBackup."""
    sound = tmp_path / "sound.db"
    if not sound.exists():
        queue(sound, many(200), dead=["x"])
    data = bytearray(sound.read_bytes())
    at %= len(data)
    data[at : at + length] = bytes(byte ^ value for byte in data[at : at + length])
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(data)
    try:
        evidence = sqlite.integrity(damaged)
        counts = dict(sqlite.tables(damaged))
    except BadBackup as error:
        refusal = error.message
    else:
        refusal = evidence
        assert set(counts) == {"message_queue", "dead_letter_queue"} or at < 4096
    assert refusal.isprintable()
    assert "HOSPITAL" not in refusal


def test_an_error_of_this_machine_is_not_blamed_on_the_backup(tmp_path: Path) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"
    with pytest.raises(SourceError, match="could not be read: database or disk is full"), sqlite.refusing(tmp_path):
        raise full
