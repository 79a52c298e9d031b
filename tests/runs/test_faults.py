"""Disks, services and this program fail anywhere in a restore: the site is old or new, and the exit says which."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacs_recover import worker
from pacs_recover.events import Began, Effect, Ended, Failed
from pacs_recover.journal import Journal
from pacs_recover.plan import Plan
from pacs_recover.target import places, trees
from tests.runs.small_site import SmallSite, events_of, outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LIMIT = 600
"""More calls than any run makes: reaching it means that the fault always came."""
NAMES = ("rename_free", "sync", "make_directory", "remove_in", "identity")
"""What every change and every look of the target goes through."""


class Faults:
    """Counts calls and raises at one of them, or from one of them on."""

    def __init__(self, at: int, error: Callable[[], BaseException], *, lasting: bool = False) -> None:
        self.at, self.error, self.lasting, self.seen, self.mended = at, error, lasting, 0, False

    def __call__(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.seen += 1
            if not self.mended and (self.seen == self.at or (self.lasting and self.seen > self.at)):
                raise self.error()
            return real(*args, **kwargs)

        return counted

    @property
    def came(self) -> bool:
        """Whether it was ever raised."""
        return self.seen >= self.at


def io_error() -> OSError:
    """What a dying disk says."""
    return OSError(errno.EIO, os.strerror(errno.EIO))


def no_space() -> OSError:
    """What a full disk says."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def roll_back(run: Path) -> int:
    """What ``pacs-recover rollback`` starts."""
    return worker.take_up(run, "rollback", "test", lambda: False)


class Ends:
    """The two states that a site may be in after a run of one plan."""

    def __init__(self, small: SmallSite) -> None:
        self.small = small
        self.plan: Plan = small.plan(*(small.demo.good[name] for name in ("config", "queue")))
        assert small.restore(self.plan)[0] == 0
        self.new = small.fingerprint()
        small.reset()
        self.old = small.fingerprint()

    def judge(self, code: int, run: Path, at: int) -> None:
        """The site is what the exit code says; what is left undone can be done once the fault is mended."""
        if code == 0:
            assert self.small.fingerprint() == self.new, at
        elif code == 4:
            ended = [event for event in events_of(run) if isinstance(event, Ended)]
            assert not ended or ended[-1].left, at
            assert roll_back(run) == 1, at
            assert self.small.fingerprint() == self.old, at
        else:
            assert code in (1, 130), (at, code)
            assert self.small.fingerprint() == self.old, at
        assert self.small.running(), at


def restore(run: Path) -> int:
    """What a worker's process ends with: a fault of our own before its first step ends it with a traceback and 1."""
    try:
        return worker.restore(run, lambda: False)
    except KeyError:
        assert not any(isinstance(event, Effect | Began) for event in events_of(run))
        return 1


def every_point(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException], *, lasting: bool, step: int
) -> set[int]:
    """One restore for every ``step``th call of what touches a disk, failing there; the exit codes that were seen."""
    ends, codes = Ends(small), set()
    for at in range(1, LIMIT, step):
        small.reset()
        run = small.arm(ends.plan)
        faults = Faults(at, error, lasting=lasting)
        with monkeypatch.context() as patch:
            for name in NAMES:
                patch.setattr(places, name, faults(getattr(places, name)))
            patch.setattr(trees, "_hash", faults(trees._hash))
            code = restore(run)
        codes.add(code)
        ends.judge(code, run, at)
        if not faults.came:
            return codes
    raise AssertionError("the run was never left alone")


def test_a_disk_that_fails_once_anywhere_leaves_the_old_site_or_the_new(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert every_point(small, monkeypatch, io_error, lasting=False, step=3) == {0, 1}


def test_a_disk_that_fails_for_good_says_what_is_left_and_a_later_rollback_mends_it(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert every_point(small, monkeypatch, no_space, lasting=True, step=5) == {0, 1, 4}


def test_a_fault_of_our_own_anywhere_rolls_back(small: SmallSite, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = every_point(small, monkeypatch, lambda: KeyError("a fault of ours"), lasting=False, step=7)
    assert codes == {0, 1}


def test_a_journal_line_that_cannot_be_written_once_leaves_the_old_site_or_the_new(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Ends(small)
    for at in range(2, LIMIT):
        small.reset()
        run = small.arm(ends.plan)
        faults = Faults(at, no_space)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_append", faults(Journal._append))
            code = worker.restore(run, lambda: False)
        ends.judge(code, run, at)
        if not faults.came:
            return
    pytest.fail("the run was never left alone")


def test_a_signal_to_stop_at_any_step_changes_nothing_or_rolls_back(small: SmallSite) -> None:
    ends, codes = Ends(small), set()
    for at in range(1, LIMIT):
        small.reset()
        run = small.arm(ends.plan)
        asked = iter(range(1, LIMIT * 10))
        code = worker.restore(run, lambda asked=asked, at=at: next(asked) >= at)  # type: ignore[misc]
        ends.judge(code, run, at)
        codes.add((code, outcome(run).outcome))
        if code == 0:
            break
    assert {end for _, end in codes} == {"interrupted", "rolled_back", "restored"}


@pytest.mark.parametrize("file", ["refuse-stop", "refuse-start"])
def test_a_service_that_does_not_obey_is_said_and_nothing_is_half_done(small: SmallSite, file: str) -> None:
    before = small.fingerprint()
    (small.control / file).touch()
    code, run = small.restore(small.plan(small.demo.good["queue"]))
    assert small.fingerprint() == before
    assert code == (1 if file == "refuse-stop" else 4)
    assert (outcome(run).left != ()) == (code == 4)
    (small.control / file).unlink()
    if code == 4:
        assert roll_back(run) == 1
    assert small.running()


def test_a_backup_that_disappears_after_the_plan_changes_nothing(small: SmallSite) -> None:
    before = small.fingerprint()
    plan = small.plan(small.demo.good["queue"])
    path = Path(plan.request.choices[0].backup.key)
    path.rename(path.with_suffix(".away"))
    try:
        code, run = small.restore(plan)
    finally:
        path.with_suffix(".away").rename(path)
    assert (code, outcome(run).outcome) == (3, "failed_untouched")
    assert small.fingerprint() == before
    assert small.calls() == []
    assert not any(isinstance(event, Effect) for event in events_of(run))


def test_a_backup_that_is_exchanged_after_the_plan_is_refused(small: SmallSite) -> None:
    plan = small.plan(small.demo.good["queue"])
    path = Path(plan.request.choices[0].backup.key)
    other = next(p for p in path.parent.glob("queue_*.db.gz") if p != path and p.name not in small.demo.corrupt)
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    try:
        code, run = small.restore(plan)
    finally:
        path.write_bytes(content)
    assert code in (5, 6)
    assert outcome(run).outcome == "failed_untouched"
    assert small.calls() == []


def test_a_database_that_changes_once_it_is_unpacked_is_checked_anew_and_refused(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, plan, own = small.fingerprint(), small.plan(small.demo.good["queue"]), trees.own

    def changed(top: Path, *args: Any) -> None:
        if top.name == small.queue.name:
            with top.open("r+b") as database:
                database.seek(4096)
                database.write(bytes(4096))
        own(top, *args)

    monkeypatch.setattr(trees, "own", changed)
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome) == (6, "failed_untouched")
    failed = next(event for event in events_of(run) if isinstance(event, Failed))
    assert "queue.db is not a sound SQLite database" in failed.evidence
    assert (small.fingerprint(), small.calls()) == (before, [])
