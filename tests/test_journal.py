"""The journal: on disk before anyone is told, whole or named as damaged, one writer."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacs_recover.errors import Refused, SourceError
from pacs_recover.events import AnyEvent, Began, Passed
from pacs_recover.front import Following
from pacs_recover.journal import Journal, Reader, boot_id, clock, is_written, read
from pacs_recover.state import JOURNAL

TITLES = ["Stop pacs_bridge", "Set queue.db aside", "Put queue.db in place", "Zustand prüfen: größer"]


def _write(path: Path, titles: list[str] = TITLES) -> Journal:
    journal = Journal(path, create=True)
    for number, title in enumerate(titles):
        journal.step = number
        journal.write(Began, title=title)
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of four events that its writer has closed."""
    _write(tmp_path / "journal.jsonl").close()
    return tmp_path / "journal.jsonl"


def _titles(events: list[AnyEvent]) -> list[str]:
    return [event.title for event in events if isinstance(event, Began)]


def test_what_was_written_is_read_again(path: Path) -> None:
    events, damage = read(path)
    assert (_titles(events), damage) == (TITLES, [])
    assert [event.n for event in events] == [0, 1, 2, 3]
    assert [event.step for event in events] == [0, 1, 2, 3]


def test_a_journal_is_private_and_never_replaces_another(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Journal(path, create=True)
    with pytest.raises(FileNotFoundError):
        Journal(path.with_name("other"), create=False)


def test_a_journal_does_not_follow_a_link(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(OSError):
        Journal(link, create=False)


def test_a_torn_last_line_is_cut_off_wherever_it_was_torn(path: Path) -> None:
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for torn in range(last, len(whole)):
        path.write_bytes(whole[:torn])
        journal = Journal(path, create=False)
        journal.write(Passed, title="next", evidence="")
        journal.close()
        events, damage = read(path)
        assert damage == []
        assert _titles(events) == TITLES[:3]
        assert (events[-1].n, type(events[-1])) == (3, Passed)


def test_a_last_line_of_zeros_that_a_power_cut_left_is_cut_off(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 4096)
    journal = Journal(path, create=False)
    assert (_titles(journal.events), journal.damage) == (TITLES, [])
    assert path.read_bytes() == whole
    journal.close()


def test_a_damaged_line_is_named_and_the_rest_is_read(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"queue.db", b"other.db")
    path.write_bytes(b"".join(lines))
    events, damage = read(path)
    assert _titles(events) == [TITLES[0], *TITLES[2:]]
    assert [(line.line, line.reason) for line in damage] == [(2, "its checksum does not match")]


def test_an_event_of_a_later_version_is_named_and_the_rest_is_read(path: Path) -> None:
    import zlib

    body = b'{"kind":"teleported","at":"2026-11-10T02:00:00Z","clock":1.0}'
    path.write_bytes(path.read_bytes() + body[:-1] + b',"sum":"%08x"}\n' % zlib.crc32(body))
    events, damage = read(path)
    assert (_titles(events), damage[0].line) == (TITLES, 5)
    assert damage[0].reason.startswith("not an event this version knows")


def test_writing_goes_on_after_a_damaged_line_and_no_number_is_given_twice(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:-40] + b"\n" + b"".join(lines[2:]))
    journal = Journal(path, create=False)
    assert journal.write(Passed, title="next", evidence="").n == 4
    assert [line.line for line in journal.damage] == [2]
    journal.close()


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    journal = _write(tmp_path / "journal.jsonl")
    with pytest.raises(Refused, match="still being worked on"):
        Journal(journal.path, create=False)
    journal.write(Passed, title="next", evidence="")
    journal.close()
    assert len(read(journal.path)[0]) == 5
    Journal(journal.path, create=False).close()


def test_a_second_writer_in_another_process_is_refused(tmp_path: Path) -> None:
    journal = _write(tmp_path / "journal.jsonl")
    program = "import sys; from pathlib import Path; from pacs_recover.journal import Journal\n"
    program += "Journal(Path(sys.argv[1]), create=False)"
    run = subprocess.run([sys.executable, "-c", program, str(journal.path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "Refused" in run.stderr
    journal.close()


def test_the_lock_is_gone_with_a_killed_writer(tmp_path: Path) -> None:
    program = "import os, sys; from pathlib import Path; from pacs_recover.journal import Journal\n"
    program += "Journal(Path(sys.argv[1]), create=True); print('open', flush=True); sys.stdin.read()"
    path = tmp_path / "journal.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"open\n"
        assert is_written(path)
        run.kill()
        run.wait(30)
    assert not is_written(path)
    Journal(path, create=False).close()


def test_whether_a_journal_is_written_is_seen_without_disturbing_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert not is_written(path)
    journal = _write(path)
    assert is_written(path)
    journal.write(Passed, title="next", evidence="")
    journal.close()
    assert not is_written(path)


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes: what a full disk does to a write, half of it included."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, room: int) -> None:
    journal = _write(tmp_path / "journal.jsonl")
    before = journal.path.read_bytes()
    with _room_for(len(before) + room), pytest.raises(OSError) as problem:
        journal.write(Passed, title="next", evidence="x" * 200)
    assert problem.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert journal.path.read_bytes() == before
    assert len(journal.events) == len(TITLES)
    assert journal.write(Passed, title="there is room again", evidence="").n == len(TITLES)
    journal.close()
    assert read(journal.path)[1] == []


def test_an_fsync_that_fails_is_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = _write(tmp_path / "journal.jsonl")
    before = journal.path.read_bytes()

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="the disk is gone"):
            journal.write(Passed, title="next", evidence="")
    assert journal.path.read_bytes() == before
    assert len(journal.events) == len(TITLES)
    journal.close()


def test_c4_an_event_is_on_disk_before_the_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[Path, bytes]] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        fsync(fd)
        file = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append((file, file.read_bytes() if file.is_file() else b""))

    monkeypatch.setattr(os, "fsync", watched)
    journal = Journal(tmp_path / "journal.jsonl", create=True)
    assert [file for file, _ in synced] == [tmp_path]
    for title in TITLES:
        journal.write(Began, title=title)
        assert synced[-1] == (journal.path, journal.path.read_bytes())
    assert len(synced) == 1 + len(TITLES)
    journal.close()


def test_a_reader_follows_a_growing_journal_and_waits_for_the_end_of_a_line(tmp_path: Path, path: Path) -> None:
    whole = path.read_bytes()
    growing = tmp_path / "growing"
    growing.touch()
    reader, seen = Reader(growing), []
    for place in range(len(whole)):
        with growing.open("ab") as file:
            file.write(whole[place : place + 1])
        seen += reader.more()
        assert len(seen) == whole[: place + 1].count(b"\n")
    assert (_titles(seen), reader.damage) == (TITLES, [])


def test_a_follower_is_told_what_another_thread_writes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL, create=True)

    def work() -> None:
        for number in range(50):
            journal.write(Began, title=f"{number}")
        journal.close()

    follower = Following(tmp_path)
    assert follower.more() == []
    assert not follower.over()
    writer = threading.Thread(target=work)
    writer.start()
    seen = list(follower.events())
    writer.join()
    assert _titles(seen) == [f"{number}" for number in range(50)]


def test_a_journal_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read the journal"):
        read(tmp_path / "none")


def test_the_clock_never_runs_backwards_and_the_boot_has_one_name() -> None:
    assert clock() <= clock()
    assert boot_id() == boot_id()
