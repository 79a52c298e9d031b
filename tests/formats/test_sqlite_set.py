from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats import sqlite_set
from pacs_recover.formats.sqlite import tables
from pacs_recover.formats.sqlite_set import Unknown, copy_live, fold
from tests.formats.queue_files import execute, many, queue

BUSY = """
import os, sqlite3, sys, time
path, pause = sys.argv[1], float(sys.argv[2])
database = sqlite3.connect(path, isolation_level=None)
database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=4;")
database.executescript("CREATE TABLE a(id, payload); CREATE TABLE b(id, payload); CREATE TABLE clock(tick)")
database.execute("INSERT INTO clock VALUES (0)")
print("ready", flush=True)
tick = 0
while True:
    tick += 1
    database.execute("BEGIN")
    for table in "ab":
        rows = ((f"{tick}-{n}", "x" * (tick * 997 % 6000)) for n in range(1 + tick % 5))
        database.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
    if tick % 40 == 0:
        for table in "ab":
            database.execute(f"DELETE FROM {table} WHERE rowid < (SELECT max(rowid) - 200 FROM {table})")
    database.execute("UPDATE clock SET tick = ?", (tick,))
    database.execute("COMMIT")
    time.sleep(pause)
"""
"""Both tables hold the same ids after every commit, and the clock only grows."""


@contextmanager
def busy_writer(path: Path, pause: float) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", BUSY, str(path), str(pause)], stdout=-1, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
        try:
            yield writer
        finally:
            writer.kill()


def tick_of(copy: Path) -> int:
    """The clock of a copy, after seeing that it is one committed state."""
    with closing(sqlite3.connect(copy)) as database:
        ids = [database.execute(f"SELECT group_concat(id) FROM (SELECT id FROM {t} ORDER BY id)") for t in "ab"]
        one, other = (found.fetchone()[0] for found in ids)
        assert one == other
        return int(database.execute("SELECT tick FROM clock").fetchone()[0])


def state_of(directory: Path) -> dict[str, tuple[int, ...]]:
    """Owner, mode and inode of every file that lies in a directory."""
    found = {path.name: path.stat() for path in directory.iterdir()}
    return {name: (stat.st_uid, stat.st_gid, stat.st_mode, stat.st_ino) for name, stat in found.items()}


@pytest.mark.parametrize(("pause", "known"), [(0.0, 0), (0.02, 20)])
def test_60_looks_at_a_busy_queue_are_right_or_unknown(tmp_path: Path, pause: float, known: int) -> None:
    """``known`` is how many must succeed: a writer that never rests may leave none, an ordinary one leaves most."""
    live, scratch = tmp_path / "live" / "queue.db", tmp_path / "scratch"
    live.parent.mkdir()
    scratch.mkdir(mode=0o700)
    ticks = []
    with busy_writer(live, pause):
        live.chmod(0o640)
        before = state_of(live.parent)
        assert set(before) == {"queue.db", "queue.db-wal", "queue.db-shm"}
        for _ in range(60):
            copy = copy_live(live, scratch, pause=0.001)
            if isinstance(copy, Unknown):
                assert "queue.db: " in copy.reason
            else:
                ticks.append(tick_of(copy))
        assert state_of(live.parent) == before
    assert ticks == sorted(ticks)
    assert len(ticks) >= known
    last = copy_live(live, scratch)
    assert isinstance(last, Path)
    with closing(sqlite3.connect(live)) as database:
        assert tick_of(last) == database.execute("SELECT tick FROM clock").fetchone()[0]


def look_untouched(directory: Path) -> dict[str, str]:
    """What the files hold, after giving them an access time that any ordinary read would change."""
    held = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}
    for path in directory.iterdir():
        os.utime(path, ns=(1, path.stat().st_mtime_ns))
    return held


def marks(directory: Path) -> dict[str, tuple[int, ...]]:
    """Everything about the files that a careless look would change, the times too."""
    found = {path.name: path.stat() for path in directory.iterdir()}
    times = {name: (stat.st_atime_ns, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found.items()}
    return {name: (stat.st_ino, stat.st_uid, stat.st_mode, stat.st_size, *times[name]) for name, stat in found.items()}


def crashed(path: Path, rows: int) -> None:
    """What a killed service leaves: a database of one page, everything in the -wal, and a -shm."""
    script = (
        "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode=WAL');"
        "c.execute('PRAGMA wal_autocheckpoint=0'); c.execute('CREATE TABLE message_queue(id)');"
        "c.executemany('INSERT INTO message_queue VALUES (?)', ((n,) for n in range(int(sys.argv[2])))); c.commit();"
        "os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script, str(path), str(rows)], check=False)


def test_a_crashed_queue_is_seen_whole_and_left_as_it_is(tmp_path: Path) -> None:
    live, scratch = tmp_path / "live" / "queue.db", tmp_path / "scratch"
    live.parent.mkdir()
    scratch.mkdir()
    crashed(live, 3000)
    assert live.stat().st_size == 4096
    held, before = look_untouched(live.parent), marks(live.parent)
    assert set(before) == {"queue.db", "queue.db-wal", "queue.db-shm"}
    copy = copy_live(live, scratch)
    assert marks(live.parent) == before
    assert look_untouched(live.parent) == held
    assert isinstance(copy, Path)
    assert tables(copy) == (("message_queue", 3000),)


def test_a_stopped_queue_stays_one_file(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    live = queue(tmp_path / "live" / "queue.db", many(70))
    before = live.read_bytes()
    copy = copy_live(live, tmp_path)
    assert isinstance(copy, Path)
    assert ("message_queue", 70) in tables(copy)
    assert copy.read_bytes() == before
    assert [found.name for found in live.parent.iterdir()] == ["queue.db"]


def test_copies_are_private(tmp_path: Path) -> None:
    live = queue(tmp_path / "queue.db", many(7))
    live.chmod(0o644)
    copy = copy_live(live, tmp_path)
    assert isinstance(copy, Path)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700


def test_a_hot_journal_is_rolled_back_in_the_copy_alone(tmp_path: Path) -> None:
    live = tmp_path / "live" / "queue.db"
    live.parent.mkdir()
    script = (
        "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('CREATE TABLE t(a, b)');"
        'c.execute("INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n < 999)'
        ' SELECT n, hex(zeroblob(300)) FROM r");'
        "c.execute('PRAGMA cache_size=1'); c.execute('BEGIN'); c.execute(\"UPDATE t SET b = 'new'\");"
        "c.execute('DELETE FROM t WHERE a % 2'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script, str(live)], check=False)
    held, before = look_untouched(live.parent), marks(live.parent)
    assert set(before) == {"queue.db", "queue.db-journal"}
    copy = copy_live(live, tmp_path)
    assert marks(live.parent) == before
    assert look_untouched(live.parent) == held
    assert isinstance(copy, Path)
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT count(*), count(DISTINCT b) FROM t").fetchone() == (999, 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory: queue.db"),
        (lambda path: path.touch(), "queue.db is empty"),
        (lambda path: path.write_text("no database " * 20), "is not a SQLite database"),
        (lambda path: path.symlink_to("/etc/hostname"), "it is a link: queue.db"),
        (os.mkfifo, "is not a plain file"),
        (lambda path: path.mkdir(), "is not a plain file"),
    ],
)
def test_what_cannot_be_seen_is_unknown_with_its_reason(tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    live, scratch = tmp_path / "queue.db", tmp_path / "scratch"
    scratch.mkdir()
    make(live)
    answer = copy_live(live, scratch, pause=0.001)
    assert isinstance(answer, Unknown)
    assert reason in answer.reason
    assert not [found for found in scratch.iterdir() if any(found.iterdir())]


def test_a_damaged_live_queue_is_unknown(tmp_path: Path) -> None:
    live = queue(tmp_path / "queue.db", many(2000))
    data = bytearray(live.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    live.write_bytes(data)
    answer = copy_live(live, tmp_path, pause=0.001)
    assert isinstance(answer, Unknown)
    assert "not sound" in answer.reason
    assert "(3 tries)" in answer.reason


def test_a_look_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = queue(tmp_path / "queue.db", many(10))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(sqlite_set, "MARGIN", 1 << 60)
    answer = copy_live(live, scratch, pause=0.001)
    assert isinstance(answer, Unknown)
    assert "a copy needs" in answer.reason
    assert not list(scratch.iterdir())


def test_a_log_that_starts_again_while_it_is_copied_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one event that makes a copy wrong, forced between copying the database and its log, at every try."""
    live = queue(tmp_path / "queue.db")
    with closing(sqlite3.connect(live, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE t(a)")
        copy_file = sqlite_set._copy_file

        def interfere(fd: int, copy: Path) -> None:
            copy_file(fd, copy)
            if copy.name == "queue.db":
                writer.execute("INSERT INTO t VALUES (1)")
                writer.execute("PRAGMA wal_checkpoint(RESTART)")
                writer.execute("INSERT INTO t VALUES (2)")

        monkeypatch.setattr(sqlite_set, "_copy_file", interfere)
        answer = copy_live(live, tmp_path, pause=0.001)
    assert isinstance(answer, Unknown)
    assert "written while it was copied" in answer.reason


def test_commits_while_it_is_copied_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint in mid-copy mends itself: what it wrote is still in the log."""
    live = queue(tmp_path / "queue.db")
    with closing(sqlite3.connect(live, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE t(a)")
        copy_file = sqlite_set._copy_file

        def interfere(fd: int, copy: Path) -> None:
            copy_file(fd, copy)
            if copy.name == "queue.db":
                writer.execute("INSERT INTO t VALUES (1)")
                writer.execute("PRAGMA wal_checkpoint(PASSIVE)")

        monkeypatch.setattr(sqlite_set, "_copy_file", interfere)
        answer = copy_live(live, tmp_path, pause=0.001)
    assert isinstance(answer, Path)
    assert dict(tables(answer))["t"] == 1


def test_a_set_becomes_one_file(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    crashed(path, 5000)
    assert fold(path).startswith("queue.db-wal replayed; integrity_check: ok")
    assert [found.name for found in tmp_path.iterdir()] == ["queue.db"]
    assert tables(path) == (("message_queue", 5000),)


def test_a_database_that_stands_alone_is_left_byte_for_byte(tmp_path: Path) -> None:
    path = queue(tmp_path / "queue.db", many(50))
    before = path.read_bytes()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").touch()
    assert fold(path).startswith("integrity_check: ok")
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["queue.db"]


def test_a_wal_with_a_damaged_header_is_not_taken_for_empty(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    crashed(path, 100)
    wal = Path(f"{path}-wal")
    wal.write_bytes(b"\x00" + wal.read_bytes()[1:])
    with pytest.raises(BadBackup, match=r"queue\.db-wal is damaged"):
        fold(path)


def plant_super_journal(path: Path, victim: Path) -> None:
    """A journal without a page to roll back, but with the name of another file at its end."""
    pages, name = path.stat().st_size // 4096, str(victim).encode()
    numbers = [n.to_bytes(4, "big") for n in (0, 7, pages, 512, 4096, pages + 1, len(name), sum(name))]
    header = sqlite_set.JOURNAL_MAGIC + b"".join(numbers[:5])
    end = numbers[5] + name + numbers[6] + numbers[7] + sqlite_set.JOURNAL_MAGIC
    Path(f"{path}-journal").write_bytes(header.ljust(512, b"\x00") + end)


def test_a_journal_that_names_another_file_does_not_have_it_deleted(tmp_path: Path) -> None:
    """SQLite deletes the "super-journal" that a hot journal names once it is rolled back: any file of root's."""
    path, victim = queue(tmp_path / "queue.db", many(5)), tmp_path / "victim"
    execute(path, "PRAGMA journal_mode=DELETE")
    victim.write_text("precious")
    plant_super_journal(path, victim)
    with pytest.raises(BadBackup, match="names another file"):
        fold(path)
    assert victim.read_text() == "precious"
    execute(path, "SELECT * FROM message_queue")
    assert not victim.exists(), "the attack that this test is about"


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_links_in_a_set_are_not_written_through(tmp_path: Path, suffix: str) -> None:
    path, outside = queue(tmp_path / "queue.db", many(5)), tmp_path / "outside"
    outside.write_bytes(b"precious" * 100)
    Path(f"{path}{suffix}").symlink_to(outside)
    with pytest.raises(BadBackup, match="is not a plain file"):
        fold(path)
    assert outside.read_bytes() == b"precious" * 100


@given(at=st.integers(0, 100_000), value=st.integers(1, 255), in_wal=st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_set_ends_in_an_answer(tmp_path: Path, at: int, value: int, in_wal: bool) -> None:
    """A set that comes out has rows of a committed state, never more; anything else is BadBackup."""
    original = tmp_path / "original.db"
    if not original.exists():
        crashed(original, 2000)
    path = tmp_path / f"set-{time.monotonic_ns()}.db"
    for suffix in ("", "-wal"):
        data = bytearray(Path(f"{original}{suffix}").read_bytes())
        if in_wal == bool(suffix):
            data[at % len(data)] ^= value
        Path(f"{path}{suffix}").write_bytes(data)
    try:
        fold(path)
        counts = dict(tables(path))
    except BadBackup:
        return
    assert counts.get("message_queue", 0) in (0, 2000)
