"""Rolling back a run that ended well, days later or at once: what was there is back, what came since is kept."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from pacs_recover import rolling_back, worker
from pacs_recover.errors import RecoverError, Refused
from tests.runs.small_site import SmallSite, events_of, outcome, rows


def roll_back(run: Path) -> int:
    """What ``pacs-recover rollback`` starts."""
    return worker.take_up(run, "rollback", "test", lambda: False)


def restored(small: SmallSite, *ids: str) -> Path:
    """A run that ended well."""
    code, run = small.restore(small.plan(*(ids or (small.demo.good["queue"],))))
    assert code == 0, outcome(run)
    return run


def accept(database: Path, name: str) -> None:
    """One more message that the restored service accepted."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "INSERT INTO message_queue (id, destination, payload, created_at, scheduled_at)"
            " VALUES (?, 'RIS', 'x', '2026-01-01 00:00:00.000', '2026-01-01 00:00:00.000')",
            (name,),
        )
    connection.close()


def has(database: Path, name: str) -> bool:
    """Whether a message is in a database."""
    connection = sqlite3.connect(database)
    found = connection.execute("SELECT count(*) FROM message_queue WHERE id = ?", (name,)).fetchone()
    connection.close()
    return bool(found[0])


def test_a_finished_full_restore_is_rolled_back_byte_for_byte(small: SmallSite) -> None:
    (small.config / "own-notes.txt").write_text("kept by hand")
    before = small.fingerprint()
    run = restored(small, *(small.demo.good[name] for name in ("config", "certs", "queue")))
    assert small.fingerprint() != before
    assert roll_back(run) == 1
    assert small.fingerprint() == before
    assert small.running()


def test_what_arrived_since_is_a_backup_that_can_itself_be_restored(small: SmallSite) -> None:
    run = restored(small)
    accept(small.queue, "arrived-since")
    made = rolling_back.make(run.name, events_of(run), small.state)
    assert any("1 " in line for line in made.since)
    assert roll_back(run) == 1
    assert not has(small.queue, "arrived-since")
    withdrawn = [b for b in small.context().catalog("queue").backups if "withdrawn" in b.id]
    assert len(withdrawn) == 1
    plan = small.plan(withdrawn[0].id)
    assert small.restore(plan)[0] == 0
    assert has(small.queue, "arrived-since")


def test_a_second_rollback_of_the_same_run_changes_nothing(small: SmallSite) -> None:
    before = small.fingerprint()
    run = restored(small)
    assert roll_back(run) == 1
    with pytest.raises(RecoverError):
        assert_nothing_to_roll_back(small, run)
    assert roll_back(run) == 1
    assert small.fingerprint() == before
    assert small.running()
    assert outcome(run).outcome == "rolled_back"


def assert_nothing_to_roll_back(small: SmallSite, run: Path) -> None:
    """What the command line asks before it starts a worker."""
    if rolling_back.is_restored(events_of(run)):
        return
    raise Refused("nothing is left to undo", "")


def test_only_the_newest_run_can_be_rolled_back(small: SmallSite) -> None:
    first, second = restored(small), restored(small)
    now = small.fingerprint()
    with pytest.raises(Refused, match=second.name):
        roll_back(first)
    assert small.fingerprint() == now
    assert roll_back(second) == 1


def test_an_older_run_can_be_rolled_back_neither_after_the_newer_was(small: SmallSite) -> None:
    first, second = restored(small), restored(small)
    assert roll_back(second) == 1
    with pytest.raises(Refused):
        roll_back(first)
    asides = [b.id for b in small.context().catalog("queue").backups if b.source == "aside"]
    assert asides, "what the older run set aside is still a backup"


@pytest.fixture
def unchanged(small: SmallSite) -> bytes:
    """The live database before any run."""
    return small.queue.read_bytes()


def test_a_file_that_vanished_from_aside_is_named_and_comes_back_once_it_is_found(
    small: SmallSite, unchanged: bytes
) -> None:
    run = restored(small)
    aside = next(path for path in small.live.rglob("aside/queue/queue.db"))
    hidden = small.root / "hidden.db"
    shutil.move(aside, hidden)
    with pytest.raises(RecoverError, match="not there any more"):
        rolling_back.make(run.name, events_of(run), small.state)
    assert roll_back(run) == 4
    ended = outcome(run)
    assert ended.outcome == "rollback_incomplete"
    assert str(hidden.stat().st_ino) in ended.left[0]
    assert str(small.queue) in ended.left[0]
    assert f"rollback {run.name}" in ended.left[-1]
    assert not small.running()
    assert roll_back(run) == 4
    assert not small.running()
    shutil.move(hidden, small.queue)
    assert roll_back(run) == 1
    assert small.queue.read_bytes() == unchanged
    assert small.running()


def test_a_file_that_a_person_put_back_by_hand_counts_as_back(small: SmallSite, unchanged: bytes) -> None:
    run = restored(small)
    aside = next(path for path in small.live.rglob("aside/queue/queue.db"))
    small.queue.rename(small.root / "restored.db")
    aside.rename(small.queue)
    assert roll_back(run) == 1
    assert small.queue.read_bytes() == unchanged
    assert small.running()


def test_an_unfinished_rollback_blocks_new_runs_until_it_is_done(small: SmallSite) -> None:
    run = restored(small)
    aside = next(path for path in small.live.rglob("aside/queue/queue.db"))
    shutil.move(aside, small.root / "hidden.db")
    assert roll_back(run) == 4
    code, refused = small.restore(small.plan(small.demo.good["config"]))
    assert code == 5
    assert run.name in outcome(refused).evidence
    shutil.move(small.root / "hidden.db", small.queue)
    assert roll_back(run) == 1
    assert small.restore(small.plan(small.demo.good["config"]))[0] == 0


def test_a_service_that_was_stopped_before_is_stopped_after(small: SmallSite) -> None:
    (small.control / "running").unlink()
    run = restored(small)
    assert small.running()
    assert roll_back(run) == 1
    assert not small.running()


def test_a_service_that_had_failed_before_is_left_stopped(small: SmallSite) -> None:
    (small.control / "running").unlink()
    script = small.control / "service"
    script.write_text(script.read_text().replace("|| exit 3", '|| { [ -e "$root/calls" ] && exit 3; exit 1; }'))
    run = restored(small)
    assert roll_back(run) == 1
    assert not small.running()
    assert outcome(run).outcome == "rolled_back"


def test_a_service_that_does_not_come_back_is_said_to_be_left(small: SmallSite, unchanged: bytes) -> None:
    run = restored(small)
    (small.control / "refuse-start").touch()
    assert roll_back(run) == 4
    assert small.queue.read_bytes() == unchanged
    assert "bridge" in outcome(run).left[0]
    (small.control / "refuse-start").unlink()
    assert roll_back(run) == 1
    assert small.running()


def test_a_file_that_appeared_in_the_way_is_kept(small: SmallSite, unchanged: bytes) -> None:
    run = restored(small)
    Path(f"{small.queue}-wal").write_bytes(b"left by somebody")
    small.queue.unlink()
    small.queue.mkdir()
    (small.queue / "note").write_text("why is this a directory")
    assert roll_back(run) == 1
    assert small.queue.read_bytes() == unchanged
    assert not Path(f"{small.queue}-wal").exists()
    kept = {path.name: path for path in small.live.rglob("withdrawn/*/*")}
    assert kept["queue.db-wal"].read_bytes() == b"left by somebody"
    assert (kept["queue.db"] / "note").exists()


def test_attributes_of_the_live_file_are_carried_to_the_restored_one(small: SmallSite) -> None:
    try:
        os.setxattr(small.queue, "user.department", b"radiology")
        os.setxattr(small.config, "user.department", b"radiology")
    except OSError as error:
        pytest.skip(f"this filesystem has no user attributes: {error}")
    restored(small, small.demo.good["queue"], small.demo.good["config"])
    for path in (small.queue, small.config):
        assert os.getxattr(path, "user.department") == b"radiology"


def test_the_room_moved_away_is_found_by_its_inode(small: SmallSite, unchanged: bytes) -> None:
    run = restored(small)
    room = small.live / "var/lib/.pacs_recover"
    (room / run.name).rename(room / "somewhere-else")
    code = roll_back(run)
    assert code == 4
    assert str((room / "somewhere-else").stat().st_ino) in outcome(run).left[0]
    (room / "somewhere-else").rename(room / run.name)
    assert roll_back(run) == 1
    assert small.queue.read_bytes() == unchanged
    assert rows(small.queue)
