"""The console over the real engine: a small site, real plans, real workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from pacs_recover.errors import RecoverError, Refused
from pacs_recover.model import Amount
from pacs_recover.screens.console import Console
from pacs_recover.screens.plan import PlanPage
from pacs_recover.screens.report import ReportPage
from pacs_recover.screens.run import RunPage
from pacs_recover.session import NoSite, Session, open_session
from tests.runs.small_site import SmallSite, outcome
from tests.screens.conftest import frame
from tests.screens.test_frames import settle

DIES_ONCE = """
root="$(dirname "$0")"
[ -e "$root/died" ] || rm -f "$root/running"
touch "$root/died"
"""
Flow = Callable[[Pilot[Any]], Awaitable[None]]


def session_of(small: SmallSite, *, read_only: bool = False) -> Session:
    """A session of the small site."""
    return Session(small.site, small.state, read_only)


def drive(session: Session, flow: Flow) -> Console:
    """Run a console through a flow; whatever run it left behind is waited for."""

    async def main() -> Console:
        app = Console(session)
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await flow(pilot)
        return app

    app = asyncio.run(main())
    wait_for(app)
    return app


def wait_for(app: Console) -> None:
    """Let every worker that this console started end."""
    for following in app.followings.values():
        if following.process:
            following.process.wait(60)


async def until(pilot: Pilot[Any], *texts: str, seconds: float = 30.0) -> None:
    """Wait until one of these is on the screen."""
    end = time.monotonic() + seconds
    while not any(text in frame(pilot.app) for text in texts):
        assert time.monotonic() < end, f"{texts} never came:\n{frame(pilot.app)}"
        await pilot.pause(0.1)


async def plan_of(pilot: Pilot[Any], words: str) -> None:
    """From the catalog to the plan of the backup that these words find."""
    await pilot.press("c", "slash", *("space" if char == " " else char for char in words), "enter")
    await until(pilot, "GOOD", "LOOK", "BAD")
    await pilot.press("p")
    await until(pilot, "choose the recovery set")
    await pilot.press("enter")
    await until(pilot, ": nothing changed yet", "NO PLAN")


async def arm(pilot: Pilot[Any], name: str) -> None:
    """Type the site's name."""
    await pilot.press("a", *("minus" if char == "-" else char for char in name), "enter")
    await until(pilot, "run 2", "RESTORED", "ROLLED")


def find(small: SmallSite, backup: str) -> str:
    """Its time as the catalog shows it, and its component."""
    component, _, rest = backup.partition("/")
    day, time_of_day = rest[:8], f"{rest[9:11]}:{rest[11:13]}"
    return f"{component} {day[:4]}-{day[4:6]}-{day[6:]} {time_of_day}"


def test_from_the_catalog_to_the_report(small: SmallSite) -> None:
    session = session_of(small)

    async def flow(pilot: Pilot[Any]) -> None:
        await plan_of(pilot, find(small, small.demo.good["config"]))
        await arm(pilot, small.site.name)
        await until(pilot, "RESTORED")
        await pilot.press("enter")
        await until(pilot, "Start to answering")
        assert isinstance(pilot.app.screen, ReportPage)

    drive(session, flow)
    assert outcome(small.state.runs()[0]).outcome == "restored"


def test_a_replay_risk_is_asked_and_a_declined_one_changes_nothing(small: SmallSite) -> None:
    before = small.fingerprint()

    async def flow(pilot: Pilot[Any]) -> None:
        await plan_of(pilot, find(small, small.demo.good["queue"]))
        assert "SENT AGAIN" in frame(pilot.app) or "LOST" in frame(pilot.app)
        await arm(pilot, small.site.name)
        await until(pilot, "QUESTION")
        await pilot.press("D")
        await until(pilot, "nothing was changed")

    drive(session_of(small), flow)
    assert outcome(small.state.runs()[0]).outcome in ("interrupted", "failed_untouched")
    assert small.fingerprint() == before


def test_a_drill_goes_from_its_plan_to_what_was_observed_and_touches_nothing(small: SmallSite) -> None:
    before, calls = small.fingerprint(), small.calls()
    rehearsed = msgspec.structs.replace(small.site, sandbox=small.root / "sandbox")
    rehearsed = msgspec.structs.replace(rehearsed, drill=msgspec.structs.replace(rehearsed.drill, sandbox="root"))
    session = Session(rehearsed, small.state)

    async def flow(pilot: Pilot[Any]) -> None:
        await until(pilot, "fresh")
        await pilot.press("d")
        await until(pilot, "is good: a asks who takes part")
        await pilot.press("a", *"anna", "comma", *"berta", "enter")
        await until(pilot, "DRILL restored files")
        await pilot.press("n", "escape")
        await until(pilot, "improve")
        await pilot.press("o", *"slow", "enter")
        await until(pilot, "• slow")
        await pilot.press("escape", "h")
        await until(pilot, "drill of config, certs, queue")

    drive(session, flow)
    told = session.report(small.state.runs()[0])
    assert told.drill
    assert (told.drill.participants, told.drill.observations) == (("anna", "berta"), ("slow",))
    assert (small.fingerprint(), small.calls()) == (before, calls)


def test_a_failing_restore_shows_its_rollback(small: SmallSite) -> None:
    small.on_start(DIES_ONCE)

    async def flow(pilot: Pilot[Any]) -> None:
        await plan_of(pilot, find(small, small.demo.good["config"]))
        await arm(pilot, small.site.name)
        await until(pilot, "ROLLED BACK")
        await until(pilot, "Rollback, newest change first")
        await until(pilot, "Failed: PACS Bridge")
        assert "↶ undone" in frame(pilot.app)

    drive(session_of(small), flow)
    assert outcome(small.state.runs()[0]).outcome == "rolled_back"


def test_a_run_is_left_found_again_on_the_first_screen_and_watched_to_its_end(small: SmallSite) -> None:
    patient = small.root / "patient.yaml"
    patient.write_text(small.demo.site_file.read_text().replace("soak: 0.2s", "soak: 5s"))
    patient.chmod(0o600)
    slow = open_session(patient, small.state.path, False)

    async def leave(pilot: Pilot[Any]) -> None:
        await plan_of(pilot, find(small, small.demo.good["config"]))
        await arm(pilot, small.site.name)
        await until(pilot, "▸ running         PACS Bridge stays up")
        await pilot.press("q")

    async def watch(pilot: Pilot[Any]) -> None:
        await until(pilot, "IS GOING ON: press a")
        await pilot.press("a")
        await until(pilot, "RESTORED", "ROLLED BACK")
        assert isinstance(pilot.app.screen, RunPage)

    async def main() -> str:
        first = Console(slow)
        async with first.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await leave(pilot)
        second = Console(session_of(small))
        async with second.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await watch(pilot)
        wait_for(first)
        return first.last_words

    assert "goes on without this terminal" in asyncio.run(main())


def test_a_backup_that_is_bad_makes_no_plan(small: SmallSite) -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await plan_of(pilot, find(small, small.demo.corrupt))
        assert "NO PLAN: nothing was changed" in frame(pilot.app)
        assert isinstance(pilot.app.screen, PlanPage)

    drive(session_of(small), flow)
    assert small.calls() == []


def test_a_plan_whose_site_changed_since_is_refused(small: SmallSite) -> None:
    session = session_of(small)
    made = session.plan([b for b in session.read(session.sources()[0]).backups if b.id == small.demo.good["config"]])
    (small.config / "config.yaml").write_text("server: {name: other}\n")
    with pytest.raises(Refused, match="since the plan was made"):
        session.arm(made, small.site.name)


def test_a_plan_arms_one_run(small: SmallSite) -> None:
    session = session_of(small)
    made = session.plan([b for b in session.read(session.sources()[0]).backups if b.id == small.demo.good["config"]])
    following = session.arm(made, small.site.name)
    assert following.process
    following.process.wait(60)
    with pytest.raises(RecoverError):
        session.arm(made, small.site.name)


def test_a_read_only_session_arms_nothing_whatever_is_typed(small: SmallSite) -> None:
    session = session_of(small, read_only=True)
    made = session.plan([b for b in session.read(session.sources()[0]).backups if b.id == small.demo.good["config"]])
    with pytest.raises(Refused, match="READ-ONLY"):
        session.arm(made, small.site.name)
    assert not (small.state.path / "plans").exists(), "a plan that cannot be armed is not kept"


def test_a_preview_that_is_told_to_stop_leaves_nothing_behind(small: SmallSite) -> None:
    session = session_of(small)
    small.state.prepare()
    backup = next(b for b in session.read(session.sources()[0]).backups if b.component == "queue")
    amounts: list[Amount] = []
    with pytest.raises(RecoverError):
        session.preview(backup, lambda: bool(amounts), amounts.append)
    assert not list(small.state.path.glob("pacs_recover-scratch-*"))


def test_a_finished_run_is_rolled_back_from_its_report(small: SmallSite) -> None:
    session = session_of(small)
    before = small.fingerprint()

    async def flow(pilot: Pilot[Any]) -> None:
        await plan_of(pilot, find(small, small.demo.good["config"]))
        await arm(pilot, small.site.name)
        await until(pilot, "RESTORED")
        await pilot.press("enter")
        await until(pilot, "roll back")
        await pilot.press("b")
        await until(pilot, "nothing happens before it is armed")
        await arm(pilot, small.site.name)
        await until(pilot, "ROLLED BACK")

    drive(session, flow)
    assert small.fingerprint() == before


def test_without_a_site_and_without_pacs_bridge_there_is_nothing_to_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pacs_recover import session, site

    monkeypatch.delenv("PACS_RECOVER_SITE", raising=False)
    monkeypatch.setattr(
        site.Found, "load", lambda _: site.Site(live=site.Live(config=tmp_path / "a", queue=tmp_path / "b"), sources=())
    )
    monkeypatch.setattr(site, "find", lambda *_: site.Found(None))
    with pytest.raises(NoSite, match="no site file"):
        session.open_session(None, tmp_path, False)


def test_a_session_names_its_site_and_state_on_every_command_line(small: SmallSite) -> None:
    opened = open_session(small.demo.site_file, small.root / "state", True)
    words = opened.line("preview", "queue/x y@local")
    options = f"--site {small.demo.site_file} --state {small.root / 'state'} --read-only"
    assert words == f"pacs-recover {options} preview 'queue/x y@local'"
