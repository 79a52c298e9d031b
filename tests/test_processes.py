"""Who holds a file open, asked of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacs_recover.processes import Holders, holders

Hold = Callable[..., "subprocess.Popen[bytes]"]
HOLD = """
import os, sys
files = [os.open(name, os.O_RDONLY) for name in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts processes that hold files open until the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*files: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        argv = [*prefix, sys.executable, "-c", HOLD, *map(str, files)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.communicate(b"", timeout=30)


def pids(found: Holders) -> list[int]:
    return [holder.pid for holder in found.found]


def test_a_process_that_holds_a_file_is_named(tmp_path: Path, hold: Hold) -> None:
    file = tmp_path / "queue.db"
    file.touch()
    assert holders([file]).found == ()
    process = hold(file)
    (holder,) = holders([file]).found
    assert holder.pid == process.pid
    assert holder.path == str(file)
    assert holder.name == Path(f"/proc/{process.pid}/comm").read_text().strip()


def test_the_same_file_under_another_name_is_found(tmp_path: Path, hold: Hold) -> None:
    file, link, other = tmp_path / "queue.db", tmp_path / "elsewhere/hard", tmp_path / "other"
    link.parent.mkdir()
    file.touch()
    other.touch()
    link.hardlink_to(file)
    process = hold(link)
    hold(other)
    assert pids(holders([file])) == [process.pid]


def test_any_file_below_a_directory_counts_but_not_the_directory_itself(tmp_path: Path, hold: Hold) -> None:
    top = tmp_path / "pacs_bridge"
    (top / "certs").mkdir(parents=True)
    (top / "certs/server.key").touch()
    hold(top)
    assert holders([top]).found == ()
    process = hold(top / "certs/server.key")
    assert [(holder.pid, holder.path) for holder in holders([top]).found] == [
        (process.pid, str(top / "certs/server.key"))
    ]


def test_a_neighbour_with_a_longer_name_is_not_below(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs_old").touch()
    hold(tmp_path / "pacs_old")
    assert holders([tmp_path / "pacs"]).found == ()


def test_a14_a_file_that_was_deleted_under_its_writer_is_found(tmp_path: Path, hold: Hold) -> None:
    file = tmp_path / "queue.db"
    file.touch()
    process = hold(file)
    file.unlink()
    file.touch()  # the restored one
    (holder,) = holders([file]).found
    assert (holder.pid, holder.path) == (process.pid, f"{file} (deleted)")


def test_missing_files_and_links_are_no_trouble(tmp_path: Path, hold: Hold) -> None:
    file, link = tmp_path / "queue.db", tmp_path / "link"
    file.touch()
    link.symlink_to(file)
    process = hold(file)
    assert holders([tmp_path / "none"]).found == ()
    assert pids(holders([link, tmp_path / "none"])) == [process.pid]


def test_we_ourselves_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "queue.db"
    with file.open("wb"):
        assert holders([file]).found == ()


def test_names_are_made_harmless(tmp_path: Path, hold: Hold) -> None:
    file = tmp_path / "queue\n\x1b[31m.db"
    file.touch()
    hold(file)
    (holder,) = holders([file]).found
    assert "\n" not in holder.path
    assert "\x1b" not in holder.path


@pytest.mark.needs("root", "unshare", "mount", reason="a mount namespace, as a container has one")
def test_a_process_in_a_container_is_found_by_what_it_holds(tmp_path: Path, hold: Hold) -> None:
    inside, file = tmp_path / "inside", tmp_path / "volume/queue.db"
    file.parent.mkdir()
    inside.mkdir()
    file.touch()
    script = f'mount --bind {file.parent} {inside}; exec "$@"'
    process = hold(inside / "queue.db", prefix=("unshare", "--mount", "sh", "-c", script, "sh"))
    (holder,) = holders([file]).found
    assert (holder.pid, holder.path) == (process.pid, f"{inside}/queue.db")


@pytest.mark.needs("root", reason="an ordinary user's view of root's processes")
def test_what_an_ordinary_user_cannot_see_is_counted(tmp_path: Path, hold: Hold) -> None:
    file = tmp_path / "queue.db"
    file.touch()
    hold(file)
    assert holders([file]).unseen == 0
    os.seteuid(65534)
    try:
        found = holders([file])
    finally:
        os.seteuid(0)
    assert found.found == ()
    assert found.unseen >= 1


def test_one_pass_over_many_open_files_is_quick(tmp_path: Path, hold: Hold) -> None:
    files = [tmp_path / str(number) for number in range(200)]
    for file in files:
        file.touch()
    process = hold(*files)
    began = time.monotonic()
    assert pids(holders([files[7]])) == [process.pid]
    assert time.monotonic() - began < 5
    assert os.getpid() not in pids(holders([tmp_path]))
