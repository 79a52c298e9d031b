"""Where a run works, and that only one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacs_recover.errors import Refused, RollbackIncomplete
from pacs_recover.target import lock, rooms


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A live directory below directories that only we can write."""
    for path in (tmp_path, tmp_path / "var", tmp_path / "var" / "pacs_bridge"):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
    return tmp_path / "var" / "pacs_bridge"


def test_the_room_lies_beside_the_services_directory_not_in_it(live: Path) -> None:
    place, private = rooms.choose(live / "queue.db", [live])
    assert place == live.parent / ".pacs_recover"
    assert private


def test_an_override_on_the_same_filesystem_is_taken(live: Path, tmp_path: Path) -> None:
    place, private = rooms.choose(live / "queue.db", [live], [tmp_path / "staging"])
    assert place == tmp_path / "staging"
    assert private


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second filesystem")
def test_an_override_on_another_filesystem_is_not(live: Path) -> None:
    place, _ = rooms.choose(live / "queue.db", [live], [Path("/dev/shm/staging")])
    assert place == live.parent / ".pacs_recover"


def test_a_room_that_somebody_else_can_enter_is_refused(live: Path) -> None:
    place = live.parent / ".pacs_recover"
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(Refused, match="not private"):
        rooms.open_room(place, "run", True)


def test_a_room_moved_away_is_found_by_its_inode_or_said_to_be_gone(live: Path) -> None:
    room = rooms.open_room(live.parent / ".pacs_recover", "run", True)
    assert rooms.locate(room) == Path(room.path)
    (live.parent / ".pacs_recover").rename(live.parent / "moved")
    assert rooms.locate(room) == live.parent / "moved" / "run"
    (live.parent / "moved" / "run").rename(live.parent.parent / "far-away")
    with pytest.raises(RollbackIncomplete) as caught:
        rooms.locate(room)
    assert str(room.inode) in caught.value.left[0]


def test_two_runs_cannot_hold_one_live_path_whatever_else_they_hold(live: Path) -> None:
    queue, config = live / "queue.db", live.parent / "config"
    first = lock.SiteLock([queue], [live])
    first.mark(lock.Mark(run="first", journal="/j", operator="jd", pid=1))
    with pytest.raises(Refused, match="first of jd"):
        lock.SiteLock([config, queue], [live])
    first.close()
    second = lock.SiteLock([config, queue], [live])
    assert second.said()[0].run == "first"
    second.close()


def test_the_kernel_frees_the_lock_of_a_killed_holder(live: Path) -> None:
    code = (
        "import os,sys; from pathlib import Path; from pacs_recover.target.lock import SiteLock;"
        f"held=SiteLock([Path({str(live / 'queue.db')!r})],[Path({str(live)!r})]); os.kill(os.getpid(),9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    lock.SiteLock([live / "queue.db"], [live]).close()


def test_a_lock_taken_on_a_new_host_still_counts_once_its_directories_exist(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home = tmp_path / "srv" / "pacs"
    first = lock.SiteLock([home / "data" / "queue.db"], [home / "data"])
    (home / "data").mkdir(parents=True)
    with pytest.raises(Refused):
        lock.SiteLock([home / "data" / "queue.db"], [home / "data"])
    first.close()


def test_the_mark_before_a_run_is_kept_once_and_no_deeper(live: Path) -> None:
    held = lock.SiteLock([live / "queue.db"], [live])
    older = lock.Mark(run="a", journal="/a", finished=True)
    middle = lock.Mark(run="b", journal="/b", finished=True, previous=older)
    held.mark(lock.Mark(run="c", journal="/c", previous=middle))
    said = held.said()[0]
    assert said.previous is not None
    assert said.previous.run == "b"
    assert said.previous.previous is None
    held.clear()
    assert held.said() == []
    held.close()
