"""A host that was booted again in the middle of a restore: a resume trusts nothing that may be gone."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacs_recover import worker
from pacs_recover.events import Began, Planned
from pacs_recover.journal import Journal
from pacs_recover.target.lock import Mark, SiteLock
from tests.runs.small_site import SmallSite, events_of, outcome
from tests.runs.test_killed import never, resume, roll_back


def cut_in(small: SmallSite, wanted: str) -> Path:
    """A full restore that is killed just after the step whose title begins so was journalled."""
    run = small.arm(small.full())
    child = os.fork()
    if child == 0:
        try:
            Journal.write = killing(Journal.write, wanted)  # type: ignore[method-assign]
            worker.restore(run, never)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return run


def killing(real: Callable[..., Any], wanted: str) -> Callable[..., Any]:
    """A journal that is the last thing that its process wrote."""

    def write(journal: Journal, kind: type[Any], **fields: Any) -> Any:
        written = real(journal, kind, **fields)
        if kind is Began and written.title.startswith(wanted):
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    return write


def titles(run: Path) -> list[str]:
    """The steps as they began."""
    return [event.title for event in events_of(run) if isinstance(event, Began)]


@pytest.fixture
def reboot(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets workers to come see another boot."""
    return lambda: monkeypatch.setattr(worker, "boot_id", lambda: "another boot")


def test_what_was_unpacked_but_not_sealed_is_unpacked_again(small: SmallSite, reboot: Callable[[], None]) -> None:
    run = cut_in(small, "The restored configuration is valid")
    reboot()
    for staged in small.live.rglob("staged"):
        shutil.rmtree(staged)
    assert resume(run) == 0
    first = events_of(run)[0]
    assert isinstance(first, Planned)
    assert titles(run).count(first.steps[0].title) == 2
    assert small.running()


def test_without_a_reboot_a_resume_goes_on_where_it_was(small: SmallSite) -> None:
    run = cut_in(small, "The restored configuration is valid")
    assert resume(run) == 0
    assert len([title for title in titles(run) if title.startswith("Decrypt and unpack the certificate")]) == 1


@pytest.mark.parametrize("step", ["PACS Bridge stays up", "Count what is sent again"])
@pytest.mark.parametrize("up", [True, False])
def test_the_service_is_started_and_proven_again(
    small: SmallSite, reboot: Callable[[], None], step: str, up: bool
) -> None:
    run = cut_in(small, step)
    reboot()
    if not up:
        (small.control / "running").unlink()
    assert resume(run) == 0
    assert small.running()
    assert titles(run).count("PACS Bridge runs and answers") == 2
    assert small.calls()[-2:] == ["stopped", "started"]
    assert outcome(run).outcome == "restored"


def test_a_rollback_after_a_reboot_brings_back_what_was(small: SmallSite, reboot: Callable[[], None]) -> None:
    before = small.fingerprint()
    run = cut_in(small, "PACS Bridge stays up")
    reboot()
    (small.control / "running").unlink()
    assert roll_back(run) == 1
    assert small.fingerprint() == before
    assert small.running()


def test_a_lock_file_that_cannot_be_written_at_the_end_leaves_the_exit_code(
    small: SmallSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SiteLock.mark

    def mark(lock: SiteLock, said: Mark) -> None:
        if said.finished:
            raise OSError(5, "Input/output error")
        real(lock, said)

    monkeypatch.setattr(SiteLock, "mark", mark)
    code, run = small.restore(small.plan(small.demo.good["config"]))
    assert (code, outcome(run).outcome) == (0, "restored")
    monkeypatch.undo()
    assert small.restore(small.plan(small.demo.good["config"]))[0] == 0
