"""Filesystems as hosts have them: a mount of the queue's own, mount points, read-only ones, full ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pacs_recover import checklist, worker
from pacs_recover.components import Job
from pacs_recover.events import Effect, Ended
from pacs_recover.journal import Journal
from tests.formats.replay_by_hand import completed, read
from tests.runs.owned_site import USER, OwnedSite, owned_site
from tests.runs.small_site import SmallSite, events_of, outcome
from tests.runs.test_carry_over import KILLED_AT
from tests.runs.test_killed import in_child
from tests.runs.test_replay_risk import BACKUP, LIVE, backup_of, make_live

pytestmark = [
    pytest.mark.needs("root", reason="only root can mount"),
    pytest.mark.needs("mount", "umount", reason="real filesystems"),
]
LIMIT = 200
"""More journal writes than any run has."""


@contextmanager
def mounted(home: Path, options: str = "size=256m,mode=0755") -> Iterator[None]:
    """An empty tmpfs over a directory; what the directory held is copied onto it."""
    spare = home.with_name(f"{home.name}.before")
    shutil.copytree(home, spare, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", home], check=True)
    try:
        shutil.copytree(spare, home, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(spare)
        yield
    finally:
        subprocess.run(["umount", "-l", home], check=True)


@contextmanager
def bound(home: Path) -> Iterator[None]:
    """A file or directory mounted over itself, as containers get theirs: same filesystem, and still a mount point."""
    subprocess.run(["mount", "--bind", home, home], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", home], check=True)


def give(site: OwnedSite) -> None:
    """The queue's directory to its user."""
    for path in (site.queue.parent, *site.queue.parent.iterdir()):
        os.chown(path, USER, USER)


def fill(home: Path) -> None:
    """Leave not one block free."""
    with suppress(OSError), (home / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with suppress(OSError), (home / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))


def test_a_queue_on_a_filesystem_of_its_own_is_restored_and_rolled_back() -> None:
    with owned_site() as site, mounted(site.queue.parent):
        give(site)
        before = site.fingerprint()
        plan = site.full()
        code, run = site.restore(plan)
        assert code == 0, outcome(run)
        assert (site.queue.stat().st_uid, site.queue.stat().st_mode & 0o777) == (USER, 0o600)
        room = site.queue.parent / ".pacs_recover"
        assert (room.stat().st_uid, room.stat().st_mode & 0o777) == (0, 0o700)
        assert list(room.rglob("staged")) == []
        assert worker.take_up(run, "rollback", "test", lambda: False) == 1
        now = {name: what for name, what in site.fingerprint().items() if ".pacs_recover" not in name}
        assert now == before


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_queue_on_a_filesystem_of_its_own_is_carried_over_and_a_cut_run_ends(tmp_path: Path) -> None:
    with owned_site() as site, mounted(site.queue.parent):
        backup = backup_of(tmp_path, BACKUP)
        make_live(site, LIVE)
        give(site)
        plan, before, old = site.plan(backup, carry_over=True), site.queue.read_bytes(), site.queue.stat()
        for at in range(60, LIMIT):
            run = site.arm(plan)
            code = in_child(lambda run=run: worker.restore(run, lambda: False), at, KILLED_AT)  # type: ignore[misc]
            if code == 0:
                break
            assert code == -9, at
            if not any(isinstance(event, Ended) for event in events_of(run)):
                way = ("rollback", "resume")[at // 2 % 2]
                assert worker.take_up(run, way, "test", lambda: False) in ((0,) if way == "resume" else (1, 130)), at
            if outcome(run).outcome == "restored":
                assert Counter(read(site.queue)) == Counter(completed(BACKUP, LIVE)), at
                assert worker.take_up(run, "rollback", "test", lambda: False) == 1
            assert (site.queue.read_bytes(), site.queue.stat().st_ino) == (before, old.st_ino), at
            assert site.running(), at
        assert Counter(read(site.queue)) == Counter(completed(BACKUP, LIVE))
        assert (site.queue.stat().st_uid, site.queue.stat().st_mode & 0o777) == (USER, 0o600)
        assert list(site.queue.parent.rglob("staged")) == []


def refused_untouched(site: SmallSite, *ids: str) -> Ended:
    """A run that ended before the service was stopped."""
    before = site.fingerprint()
    code, run = site.restore(site.plan(*(site.demo.good[name] for name in ids)))
    ended = outcome(run)
    assert ended.outcome == "failed_untouched", ended
    assert code == ended.exit_code
    assert site.calls() == []
    assert not any(isinstance(event, Effect) for event in events_of(run))
    assert {k: v for k, v in site.fingerprint().items() if ".pacs_recover" not in k} == before
    return ended


def test_a_configuration_directory_that_is_a_mount_point_is_refused_before_the_stop(small: SmallSite) -> None:
    with mounted(small.config):
        ended = refused_untouched(small, "config")
    assert ended.exit_code == 5
    assert "mount point" in ended.evidence


@pytest.mark.parametrize("part", ["config", "queue"])
def test_a_bind_mount_on_the_same_filesystem_is_seen_too(small: SmallSite, part: str) -> None:
    with bound(small.config if part == "config" else small.queue):
        ended = refused_untouched(small, part)
    assert ended.exit_code == 5
    assert "mount point" in ended.evidence


def test_a_read_only_filesystem_is_refused_before_the_stop(small: SmallSite) -> None:
    with mounted(small.queue.parent):
        plan_works = small.plan(small.demo.good["queue"])
        assert plan_works.steps
        subprocess.run(["mount", "-o", "remount,ro", small.queue.parent], check=True)
        ended = refused_untouched(small, "queue")
    assert "read-only" in ended.evidence.lower() or "written" in ended.evidence


@pytest.mark.parametrize("where", ["var/lib", "var/lib/pacs_bridge"])
def test_a_filesystem_that_is_full_when_it_is_staged_changes_nothing(
    small: SmallSite, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checklist.ready

    def fills(job: Job) -> str:
        evidence = real(job)
        fill(small.live / where)
        return evidence

    with mounted(small.live / where, "size=100m,mode=0755"):
        monkeypatch.setattr(checklist, "ready", fills)
        before = small.fingerprint()
        code, run = small.restore(small.plan(small.demo.good["queue"]))
        assert (code, outcome(run).outcome) == (1, "failed_untouched")
        assert "No space left" in outcome(run).evidence
        assert small.calls() == []
        (small.live / where / "filler").unlink()
        assert {k: v for k, v in small.fingerprint().items() if ".pacs_recover" not in k} == before


def test_a_filesystem_that_is_too_small_is_refused_before_anything_is_read(small: SmallSite) -> None:
    with mounted(small.live / "var/lib", "size=20m,mode=0755"):
        assert "beside the ones set aside" in refused_untouched(small, "queue").evidence


def filling(at: int, home: Path, real: Callable[..., Any]) -> Callable[..., Any]:
    """A journal whose filesystem is full from its nth line on."""
    seen = 0

    def write(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == at:
            fill(home)
        return real(*args, **kwargs)

    return write


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_journal_that_takes_no_more_line_ends_with_the_old_site_or_the_new(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small.plan(small.demo.good["config"], small.demo.good["queue"])
    assert small.restore(plan)[0] == 0
    new = small.fingerprint()
    small.reset()
    old = small.fingerprint()
    real = Journal._append
    ends = set()
    for at in range(2, LIMIT):
        small.reset()
        state = small.root / "state"
        state.mkdir(mode=0o700)
        with mounted(state, "size=1m,mode=0700"):
            run = small.arm(plan)
            monkeypatch.setattr(Journal, "_append", filling(at, state, real))
            code = worker.restore(run, lambda: False)
            monkeypatch.setattr(Journal, "_append", real)
            full = (state / "filler").exists()
            ends.add((code, full))
            assert small.running(), at
            assert small.fingerprint() == (new if code == 0 else old), (at, code)
            assert code in (0, 1), at
            if not full:
                break
            (state / "filler").unlink()
            again(small, run, code, new, old)
    else:
        pytest.fail("the journal was never left alone")
    assert (1, True) in ends


def again(small: SmallSite, run: Path, code: int, new: dict[str, str], old: dict[str, str]) -> None:
    """Once there is room again, the run is taken up where its journal ends, and the site stays what the exit said."""
    if code == 0 and not any(isinstance(event, Ended) for event in events_of(run)):  # else the last line just fitted
        assert worker.take_up(run, "resume", "test", lambda: False) == 0
        assert small.fingerprint() == new
    elif code == 1:
        assert worker.take_up(run, "rollback", "test", lambda: False) in (1, 130)
        assert small.fingerprint() == old
    assert small.running()
    assert any(isinstance(event, Ended) for event in events_of(run))
