"""kill -9 at every journal write and around every change: what comes after converges on the old state or the new."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pacs_recover import worker
from pacs_recover.events import Ended
from pacs_recover.journal import Journal
from pacs_recover.target import places
from tests.runs.small_site import SmallSite, events_of, outcome

LIMIT = 400
"""More journal writes and renames than any run has: reaching it means that the kill never came."""


class Killing:
    """Counts journal writes and renames, before and after each, and kills the process at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def __call__(self, real: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            self._count()
            result = real(*args, **kwargs)
            self._count()
            return result

        return counted

    def _count(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], int], kill_at: int, also: Sequence[tuple[object, str]] = ()) -> int:
    """Run in a forked process that is killed at its nth journal write or rename; 0–255, or -9.

    ``also`` names more functions, by their home, around which it may be killed.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            killing = Killing(kill_at)
            Journal._append = killing(Journal._append)  # type: ignore[method-assign]
            places.rename_free = killing(places.rename_free)  # type: ignore[assignment]
            for home, name in also:
                setattr(home, name, killing(getattr(home, name)))
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def never() -> bool:
    """Nothing asks the run to stop."""
    return False


def roll_back(run: Path) -> int:
    """What ``pacs-recover rollback`` starts."""
    return worker.take_up(run, "rollback", "test", never)


def resume(run: Path) -> int:
    """What ``pacs-recover resume`` starts."""
    return worker.take_up(run, "resume", "test", never)


def staged_leftovers(small: SmallSite) -> list[Path]:
    """Staged copies of messages or keys that nobody needs any more."""
    return [path for path in small.root.rglob("staged") if ".pacs_recover" in str(path) or "runs" in str(path)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_a_rollback_brings_back_the_old_state(small: SmallSite) -> None:
    small.reset()
    before = small.fingerprint()
    plan = small.full()
    for at in range(1, LIMIT):
        small.reset()
        run = small.arm(plan)
        code = in_child(lambda run=run: worker.restore(run, never), at)  # type: ignore[misc]
        if code == 0:
            break
        assert code == -9, at
        if not (run / "journal.jsonl").exists() or not events_of(run):
            assert small.fingerprint() == before, at
            continue
        finished = any(isinstance(event, Ended) for event in events_of(run))
        if finished:
            continue
        assert roll_back(run) in (1, 130), at
        assert small.fingerprint() == before, at
        assert small.running(), at
        again = roll_back(run)
        assert again in (1, 130), at
        assert small.fingerprint() == before, at
        assert small.running(), at
        assert staged_leftovers(small) == [], at
    else:
        pytest.fail("the run was never let through")
    assert at > 60


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_a_resume_arrives_at_the_new_state(small: SmallSite) -> None:
    plan = small.full()
    assert small.restore(plan)[0] == 0
    wanted = small.fingerprint()
    for at in range(1, LIMIT):
        small.reset()
        run = small.arm(plan)
        code = in_child(lambda run=run: worker.restore(run, never), at)  # type: ignore[misc]
        if code == 0:
            break
        events = events_of(run) if (run / "journal.jsonl").exists() else []
        if not events or any(isinstance(event, Ended) for event in events):
            continue
        assert resume(run) == 0, at
        assert small.fingerprint() == wanted, at
        assert small.running(), at
        assert outcome(run).outcome == "restored", at
    else:
        pytest.fail("the run was never let through")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rollback_killed_anywhere_converges_when_it_is_run_again(small: SmallSite) -> None:
    before = small.fingerprint()
    plan = small.full()
    for at in range(1, LIMIT):
        small.reset()
        code, run = small.restore(plan)
        assert code == 0
        killed = in_child(lambda run=run: roll_back(run), at)  # type: ignore[misc]
        if killed == 1:
            break
        assert killed == -9, at
        assert roll_back(run) == 1, at
        assert small.fingerprint() == before, at
        assert small.running(), at
    else:
        pytest.fail("the rollback was never let through")
    assert at > 15
