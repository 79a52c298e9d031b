"""A queue of a gigabyte: restored in little memory, and down no longer than a small one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from isal import igzip

from pacs_recover.authority import Authority
from pacs_recover.demo.queue import SCHEMA
from pacs_recover.looks import report_of
from pacs_recover.spawning import spawn
from tests.runs.small_site import SmallSite, outcome, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MIB = 1 << 20
MEMORY = 150 * MIB
"""Bytes that a worker may take at its highest."""
NOISE = 1.0
"""Seconds by which the downtimes of two runs differ anyway."""
ADD = """
INSERT INTO message_queue (id, destination, payload, created_at, scheduled_at)
VALUES (?, 'ARCHIVE', {payload}(1048576), '2026-01-01 00:00:00.000', '2026-01-01 00:00:00.000')
"""


def write_queue(path: Path, mebibytes: int) -> None:
    """A real queue with one row for each MiB, every fourth of them random, so that it does not pack to nothing."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.executescript(SCHEMA)
    with connection:
        for number in range(mebibytes):
            payload = "zeroblob" if number % 4 else "randomblob"
            connection.execute(ADD.format(payload=payload), (f"{number:08}",))
    connection.close()


def pack(path: Path, into: Path) -> Path:
    """The guide's ``gzip``, only faster."""
    with path.open("rb") as raw, igzip.IGzipFile(into, "wb", compresslevel=0) as packed:  # type: ignore[no-untyped-call]
        while chunk := raw.read(MIB):
            packed.write(chunk)  # type: ignore[no-untyped-call]
    path.unlink()
    return into


@pytest.fixture
def room(tmp_path: Path, small: SmallSite) -> Iterator[Path]:
    """Where the backups are made; nothing of this size is left afterwards."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()
    small.reset()


def restore(small: SmallSite, backup: Path) -> tuple[float, int]:
    """Restore in a real worker: its downtime in seconds and the most memory that it took in bytes."""
    run = small.arm(small.plan(str(backup), words=["queue"]))
    process = spawn(run, "restore", Authority())
    highest = 0
    while process.poll() is None:
        highest = max(highest, peak(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0, outcome(run)
    return report_of(run).downtime_seconds, highest


def peak(pid: int) -> int:
    """The most memory that a process had so far, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def test_a_gigabyte_is_restored_in_little_memory_and_is_down_no_longer_than_a_megabyte(
    small: SmallSite, room: Path
) -> None:
    write_queue(room / "queue.db", 1)
    short, _ = restore(small, pack(room / "queue.db", room / "queue_20260101_000000.db.gz"))
    write_queue(room / "queue.db", 1024)
    backup = pack(room / "queue.db", room / "queue_20260102_000000.db.gz")
    assert backup.stat().st_size > 200 * MIB
    downtime, memory = restore(small, backup)
    assert small.queue.stat().st_size > 1024 * MIB
    assert rows(small.queue)["message_queue"] == 1024
    assert 20 * MIB < memory < MEMORY, f"{memory / MIB:.0f} MiB"
    assert downtime < short + NOISE
