from __future__ import annotations

import io
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover.errors import BadBackup
from pacs_recover.formats.wal import BIG, LITTLE, Log, applied, ends_with_commit
from tests.formats.frames import wal

NOISE = random.Random(1)
FRAMES = [(1, 0, b"a" * 512), (2, 2, NOISE.randbytes(512)), (2, 3, b"c" * 512)]


def read(log: Log, data: bytes) -> list[tuple[int, bytes]]:
    return list(log.frames(io.BytesIO(data), "a.wal"))


@pytest.mark.parametrize("magic", [LITTLE, BIG])
def test_frames_come_in_their_order_with_the_size_of_the_last_commit(magic: int) -> None:
    log = Log()
    assert read(log, wal(FRAMES, magic=magic)) == [(number, page) for number, _, page in FRAMES]
    assert (log.pages, log.committed, log.page_size) == (3, True, 512)


@pytest.mark.parametrize("cut", [32, 32 + 536, 32 + 2 * 536])
def test_a_log_in_segments_is_the_log(cut: int) -> None:
    whole, log = wal(FRAMES), Log()
    pieces = read(log, whole[:cut])
    assert log.size == cut
    assert pieces + read(log, whole[cut:]) == read(Log(), whole)


def test_a_log_that_sqlite_wrote_makes_the_database_that_sqlite_makes_of_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x)")
        for number in range(300):
            database.execute("INSERT INTO t VALUES (?)", (str(number) * 200,))
        shutil.copy(path, copy)
        log = Log()
        with Path(f"{path}-wal").open("rb") as raw, copy.open("r+b") as out:
            for number, page in log.frames(raw, "a.wal"):
                out.seek((number - 1) * log.page_size)
                out.write(page)
            out.truncate(log.pages * log.page_size)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert copy.read_bytes() == path.read_bytes()


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, bytes, bytes]:
    """Where a database with a log beside it lies, the database, and the log, as SQLite wrote them."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x)")
        for number in range(20):
            database.execute("INSERT INTO t VALUES (?)", (str(number) * 500,))
        whole = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    home = tmp_path / "copy"
    home.mkdir()
    return home / "a.db", *whole


def test_sqlite_writes_a_whole_log_into_the_database_and_leaves_nothing_beside_it(
    written: tuple[Path, bytes, bytes],
) -> None:
    path, base, log = written
    path.write_bytes(base)
    Path(f"{path}-wal").write_bytes(log)
    assert applied(path, 4096)
    assert [one.name for one in path.parent.iterdir()] == ["a.db"]
    assert path.read_bytes() == (path.parent.parent / "a.db").read_bytes()


def test_sqlite_does_not_take_a_log_with_one_wrong_bit_for_a_whole_one(written: tuple[Path, bytes, bytes]) -> None:
    path, base, log = written
    chance = random.Random(2)
    for bit in (*range(0, 56 * 8, 5), *(chance.randrange(len(log) * 8) for _ in range(100)), len(log) * 8 - 1):
        path.write_bytes(base)
        Path(f"{path}-wal").write_bytes(log[: bit // 8] + bytes([log[bit // 8] ^ 1 << bit % 8]) + log[bit // 8 + 1 :])
        assert not applied(path, 4096), bit
        Path(f"{path}-wal").unlink(missing_ok=True)


def test_only_whole_frames_of_which_the_last_is_a_commit_end_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "a.wal"
    path.write_bytes(wal(FRAMES))
    with path.open("rb") as file:
        found = [size for size in range(32 + 3 * 536 + 1) if ends_with_commit(file.fileno(), size, 512)]
        assert found == [32 + 2 * 536, 32 + 3 * 536]
        assert not ends_with_commit(file.fileno(), 32 + 1048, 1024)


@given(st.data())
def test_any_flipped_bit_is_damage_and_the_file_is_named(data: st.DataObject) -> None:
    log = bytearray(wal(FRAMES))
    bit = data.draw(st.integers(0, len(log) * 8 - 1))
    log[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadBackup, match=r"^a\.wal is damaged"):
        read(Log(), bytes(log))


@given(st.integers(0, 32 + 3 * 536))
def test_a_log_that_is_cut_off_inside_a_frame_is_damage(length: int) -> None:
    whole = wal(FRAMES)
    if length >= 32 and (length - 32) % 536 == 0:
        assert len(read(Log(), whole[:length])) == (length - 32) // 536
    else:
        with pytest.raises(BadBackup, match=r"^a\.wal is damaged"):
            read(Log(), whole[:length])


def test_a_log_that_ends_before_the_commit_says_so() -> None:
    log = Log()
    read(log, wal(FRAMES[:1]))
    assert not log.committed
    assert log.pages == 0


def test_pages_of_no_size_and_page_0_are_damage() -> None:
    with pytest.raises(BadBackup, match="pages of 513 bytes"):
        read(Log(), wal([], page_size=513))
    with pytest.raises(BadBackup, match="page 0"):
        read(Log(), wal([(0, 1, bytes(512))]))


def test_a_segment_of_another_log_is_damage() -> None:
    log = Log()
    read(log, wal(FRAMES[:2]))
    with pytest.raises(BadBackup, match="frame 1 has a wrong checksum"):
        read(log, wal(FRAMES)[32 : 32 + 536])
