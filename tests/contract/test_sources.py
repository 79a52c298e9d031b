"""What every source must do, whatever it reads."""

from __future__ import annotations

import hashlib
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_recover.errors import SourceError
from pacs_recover.model import COMPONENTS, Backup
from pacs_recover.sources import Problem, Source
from pacs_recover.sources.aside import AsideSource
from pacs_recover.sources.git import GitSource
from pacs_recover.sources.litestream import KEPT, LitestreamSource
from pacs_recover.sources.litestream_store import FileStore
from pacs_recover.sources.local import LocalSource
from pacs_recover.sources.s3 import S3Source
from pacs_recover.sources.s3.place import place_of
from tests.sources.git_repos import Repo
from tests.sources.make_replica import golden
from tests.sources.places import Run, backup_file, closed, open_place, unprivileged
from tests.sources.s3_proxy import Fault, not_listing
from tests.sources.s3_server import Bucket, credentials

TAKEN = datetime(2026, 11, 10, 2, tzinfo=UTC)


@dataclass
class Case:
    """One source with at least three backups in at least two parts."""

    source: Source
    tree: Path
    """All that it reads."""
    late: Path
    """A part of it that is read after the first backup is given."""
    remove: Callable[[Backup], object]
    scratch: Path | None = None
    """Where what must be assembled first goes; None where nothing must."""
    shut: Callable[[], AbstractContextManager[None]] | None = None
    """Closes the late part; None where it is a file or directory."""
    look: Callable[[], object] | None = None
    """All that a write would change; None where that is what is in the tree."""
    end: Callable[[], object] = lambda: None

    def closed(self) -> AbstractContextManager[None]:
        """The late part cannot be read for a while."""
        return self.shut() if self.shut else closed(self.late)

    def state(self) -> object:
        """All that a write would change."""
        return self.look() if self.look else state(self.tree)

    @property
    def room(self) -> Path:
        """What ``open`` is given."""
        return self.scratch or self.tree


def local(place: Path) -> Case:
    """Backups of all components in the guide's layout."""
    for day in range(2):
        taken = TAKEN + timedelta(days=day)
        backup_file(place / f"config/config_{taken:%Y%m%d_%H%M%S}.tar.gz", taken, b"c" * 3_000_000)
        backup_file(place / f"queue/queue_{taken:%Y%m%d_%H%M%S}.db.gz", taken)
    backup_file(place / "logs/bridge.log.1.gz", TAKEN)
    return Case(LocalSource("local", place, UTC), place, place / "queue", lambda backup: Path(backup.key).unlink())


def aside(place: Path) -> Case:
    """Three runs, each of which set one tree aside."""
    runs = [Run(place, f"20261110-02000{n}-abcd", TAKEN + timedelta(seconds=n)) for n in range(3)]
    for run in runs:
        tree = place / "live/pacs_bridge"
        backup_file(tree / "config.yaml", TAKEN, b"c" * 3_000_000)
        run.sets_aside("config", tree)
    return Case(
        AsideSource([run.journal for run in runs]),
        place,
        runs[-1].path,
        lambda backup: Path(backup.key).rename(place / "pruned"),
    )


def litestream(place: Path) -> Case:
    """A replica that Litestream made, whose points are restored into a place of their own."""
    (place / "scratch").mkdir()
    replica, _ = golden("0.5", place)

    def remove(backup: Backup) -> None:
        for file in replica.rglob(f"*-{backup.key.removeprefix(KEPT)}.ltx"):
            file.unlink()

    late = min(replica.rglob("ltx/[01]/*.ltx"), key=lambda file: file.name)
    return Case(LitestreamSource("litestream", FileStore(replica)), replica, late, remove, place / "scratch")


def git(place: Path) -> Case:
    """Seven commits, each with a message longer than a pipe holds: git reads no further than it is asked to."""
    repo, words = Repo(place / "repo"), "\n\nwords" * 15_000
    days = range(7)
    commits = [repo.commit({"config.yaml": b"%d\n" % day * 100_000}, f"change {day}{words}", day) for day in days]

    def remove(_: Backup) -> None:
        repo.git("reset", "-q", "--hard", "HEAD^")
        repo.git("reflog", "expire", "--expire=now", "--all")
        repo.git("prune", "--expire=now")

    return Case(GitSource("git", str(repo.path)), place, repo.path / ".git/objects" / commits[0][:2], remove)


def s3(place: Path) -> Case:
    """A bucket on a real server that gives one key to a page."""
    stack = ExitStack()
    stack.enter_context(credentials())
    bucket = Bucket()
    stack.callback(bucket.close)
    bucket.put("certs/certs_20261110_020000.tar.enc", b"c" * 3_000_000)
    for day in range(10, 20):
        bucket.put(f"queue/queue_202611{day}_020000.db.gz")
    stack.enter_context(bucket.proxy.meddling(lambda request: Fault(swap=("max-keys=1000", "max-keys=1"))))
    source = S3Source(bucket.config(), UTC)

    def remove(backup: Backup) -> None:
        bucket.delete(place_of(backup.key).key)

    def shut() -> AbstractContextManager[None]:
        return bucket.proxy.meddling(not_listing("queue/"))

    return Case(source, place, place, remove, shut=shut, look=bucket.state, end=stack.close)


@pytest.fixture(params=[local, aside, litestream, git, s3], ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """Every source in turn."""
    with open_place() as place:
        made: Case = request.param(place)
        yield made
        made.end()


def listed(case: Case, component: str | None = None) -> list[Backup]:
    return [found for found in case.source.listing(component) if isinstance(found, Backup)]


def digest(case: Case, backup: Backup) -> tuple[str, int]:
    seen, size = hashlib.sha256(), 0
    with case.source.open(backup, case.room) as file:
        while chunk := file.read(100_000):
            seen.update(chunk)
            size += len(chunk)
    return seen.hexdigest(), size


def state(tree: Path) -> list[tuple[str, int, int, int, int]]:
    """All that a write would change."""
    found = ((path, path.lstat()) for path in sorted((tree, *tree.rglob("*"))))
    return [(str(path), s.st_mode, s.st_size if path.is_file() else 0, s.st_mtime_ns, s.st_ino) for path, s in found]


def test_a_listing_gives_backups_of_known_components_with_aware_times(case: Case) -> None:
    found = listed(case)
    assert len(found) >= 3
    for backup in found:
        assert backup.component in COMPONENTS
        assert backup.source == case.source.name
        assert backup.id.startswith(f"{backup.component}/")
        assert backup.id.endswith(f"@{case.source.name}")
        assert backup.taken_at.tzinfo is UTC


def test_a_listing_can_be_had_again_and_ids_are_unique_and_stable(case: Case) -> None:
    first = [backup.id for backup in listed(case)]
    assert len(set(first)) == len(first)
    assert [backup.id for backup in listed(case)] == first


def test_a_listing_of_one_component_has_just_its_backups_under_the_same_ids(case: Case) -> None:
    every = listed(case)
    for component in COMPONENTS:
        assert listed(case, component) == [backup for backup in every if backup.component == component]


def test_a_listing_is_lazy(case: Case) -> None:
    with unprivileged(case.tree):
        listing = case.source.listing()
        assert isinstance(next(listing), Backup)
        with case.closed():
            assert any(isinstance(found, Problem) for found in listing)


def test_a_part_that_cannot_be_read_is_reported_and_the_rest_listed(case: Case) -> None:
    with unprivileged(case.tree):
        every = {backup.id for backup in listed(case)}
        with case.closed():
            found = list(case.source.listing())
    problems = [one for one in found if isinstance(one, Problem)]
    readable = {one.id for one in found if isinstance(one, Backup) and one.readable}
    assert problems
    assert all(problem.place and problem.reason and problem.hint for problem in problems)
    assert readable
    assert readable < every


def test_what_is_opened_twice_has_the_same_hash_and_the_size_that_was_listed(case: Case) -> None:
    for backup in listed(case):
        assert digest(case, backup) == digest(case, backup)
        assert backup.size in (None, digest(case, backup)[1])


def test_a_backup_that_vanished_is_an_error_that_names_it_and_what_to_do(case: Case) -> None:
    backup = listed(case)[0]
    case.remove(backup)
    with pytest.raises(SourceError) as failure, case.source.open(backup, case.room):
        pass
    assert Path(backup.key.partition("?")[0]).name in failure.value.message
    assert failure.value.hint
    assert failure.value.exit_code == 3
    assert backup.id not in {other.id for other in listed(case)}


def test_nothing_that_is_asked_of_a_source_changes_anything_in_it(case: Case) -> None:
    before = case.state()
    for component in (None, *COMPONENTS):
        for backup in listed(case, component):
            digest(case, backup)
    for backup in listed(case):
        with case.source.open(backup, case.room) as file:
            file.read(1)
    assert case.state() == before


def test_reading_that_is_given_up_leaves_no_descriptor_and_no_thread(case: Case) -> None:
    with steady():
        for backup in listed(case):
            with case.source.open(backup, case.room) as file:
                file.read(1000)
        listing = case.source.listing()
        next(listing)
        del listing


@contextmanager
def steady() -> Iterator[None]:
    """What was opened or started meanwhile is gone at the end; what was there before may end when it likes."""
    before = held()
    yield
    deadline = time.monotonic() + 5  # a test's own server sees only a moment later that it was left
    while left := held() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def held() -> set[object]:
    """Every descriptor of this process with what it is, and every thread."""
    found: set[object] = set(threading.enumerate())
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that the directory was read by
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


def test_a_source_has_no_verb_but_to_list_and_to_open(case: Case) -> None:
    verbs = {name for name, _ in inspect.getmembers(case.source, callable) if not name.startswith("_")}
    assert verbs == {"listing", "open"}
    with case.source.open(listed(case)[0], case.room) as file:
        assert not file.writable()
