"""Every screen at 80 columns and 24 rows, as text that diffs readably; the main ones as pictures too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from pacs_recover.audit.checking import Finding, Verified
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.events import Drill, Noted
from pacs_recover.model import Fact
from pacs_recover.screens.console import Console
from pacs_recover.screens.points import PointsPage
from pacs_recover.session import NoSite, OpenRun
from tests.report import story
from tests.screens.acted import PACE, RUN, TIMES, Acted, Place, Told, bad_plan, bucket, replicated, report_of
from tests.screens.conftest import frame, picture

Accepted = Callable[[str, str], None]
Do = Callable[[Pilot[Any]], Awaitable[None]]
SMALL, LARGE = (80, 24), (120, 40)


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing changes any more."""
    before = ""
    for _ in range(100):
        await pilot.pause(0.05)
        now = frame(pilot.app)
        if now == before and not getattr(pilot.app.screen, "is_pending", False):
            return
        before = now


async def weighed(pilot: Pilot[Any]) -> None:
    """Wait until a point in time under the cursor is compared: how far it comes depends on the machine else."""
    page = pilot.app.screen
    while isinstance(page, PointsPage) and page.backup and not (page.weighing.compared or page.weighing.problem):
        await pilot.pause(0.05)


async def shown(
    session: Any, keys: Sequence[str] = (), size: tuple[int, int] = SMALL, do: Do | None = None, **options: Any
) -> Any:
    """The console after these keys: its text and its picture."""
    app = Console(failing(session) if isinstance(session, RecoverError) else session, theme="textual-dark", **options)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        if do:
            await do(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
            await weighed(pilot)
        if keys and keys[-1] in ("c", "down"):
            await pilot.pause(0.6)
        await settle(pilot)
        assert all(len(row) <= size[0] for row in frame(app).splitlines())
        return frame(app), picture(app)


def failing(error: RecoverError) -> Callable[[], Any]:
    """A site that cannot be opened."""

    def opening() -> Any:
        raise error

    return opening


def look(*given: Any, **options: Any) -> Any:
    """The same, from a plain function."""
    return asyncio.run(shown(*given, **options))


def run_of(told: Told) -> Do:
    """Opens the run of a story."""

    async def do(pilot: Pilot[Any]) -> None:
        from pacs_recover.screens.run import RunPage

        pilot.app.push_screen(RunPage(RUN, told))
        await pilot.pause(1.5 if told.gone else 0.6)

    return do


def running(told: story.Story, known: dict[str, float] = PACE, **options: Any) -> tuple[Acted, Do]:
    """A session at the time of the story's last event, which knows this of earlier runs."""
    session = Acted()
    session.known = known
    session.clock = told.at + timedelta(seconds=4)
    return session, run_of(Told(told.events, **options))


MAIN: dict[str, tuple[Callable[[], Acted], tuple[str, ...]]] = {
    "overview": (Acted, ()),
    "catalog": (Acted, ("c",)),
    "preview": (Acted, ("c", "enter")),
    "bucket": (bucket, ("c", "down")),
    "thaw": (bucket, ("c", "down", "t")),
    "choose": (Acted, ("f",)),
    "plan": (Acted, ("f", "enter")),
    "plan-carry": (Acted, ("f", "enter", "m")),
    "arming": (Acted, ("f", "enter", "a", "r", "a", "d")),
    "help": (Acted, ("question_mark",)),
    "commands": (Acted, ("ctrl+p",)),
    "command-line": (Acted, ("f", "enter", "y")),
    "filter": (Acted, ("c", "slash", "c", "o", "n", "f")),
    "audit": (Acted, ("w", "down")),
    "catalog-points": (replicated, ("c",)),
    "points": (replicated, ("i", "down", "down", "down", "down")),
    "points-gap": (replicated, ("i", *("down",) * 8)),
    "points-damaged": (replicated, ("i", "down", "down")),
    "read-only": (lambda: Acted(read_only=True), ("f", "enter")),
}
PICTURES = ("overview", "catalog", "plan", "points")


@pytest.mark.parametrize("name", MAIN)
def test_a_screen_looks_as_accepted(name: str, accepted: Accepted) -> None:
    make, keys = MAIN[name]
    text, svg = look(make(), keys)
    accepted(f"{name}.txt", text)
    if name in PICTURES:
        accepted(f"{name}.svg", svg)


@pytest.mark.parametrize("name", ["catalog", "plan", "choose"])
def test_a_wide_screen_leaves_out_nothing_that_the_narrow_one_has(name: str) -> None:
    make, keys = MAIN[name]
    wide, narrow = look(make(), keys, size=LARGE)[0].splitlines(), look(make(), keys)[0].splitlines()
    assert wide[0].split() == narrow[0].split()
    assert set(narrow[-1].split()) <= set(wide[-1].split())


RUNS: dict[str, tuple[Callable[[], tuple[Acted, Do]], str]] = {
    "run": (lambda: running(story.Story().do(0, 1, 2, 3, 4).begin(5)), "run"),
    "run-late": (lambda: running(story.Story(reading_seconds=950.0).do(0).begin(1), known={}), ""),
    "run-asks": (lambda: running(story.Story().do(0, 1, 2).begin(3)), ""),
    "run-restored": (lambda: running(story.restored()), ""),
    "run-rolling-back": (lambda: running(story.Story().do(*range(9)).fail(9).wait(1.0)), "rollback"),
    "run-rolled-back": (lambda: running(story.rolled_back()), ""),
    "run-incomplete": (lambda: running(story.incomplete()), ""),
    "run-cut": (lambda: running(story.cut(), gone=True), ""),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_looks_as_accepted(name: str, accepted: Accepted) -> None:
    make, drawn = RUNS[name]
    session, do = make()
    text, svg = look(session, do=do)
    accepted(f"{name}.txt", text)
    if drawn:
        accepted(f"{name}.svg", svg)


def test_another_operator_s_question_can_only_be_taken_over(accepted: Accepted) -> None:
    told = story.Story().do(0, 1, 2).begin(3)
    session, _ = running(told)
    asked = Told(told.events)
    asked.owner = "berta"
    accepted("run-asks-another.txt", look(session, do=run_of(asked))[0])
    asked = Told(told.events)
    asked.owner = "berta"
    accepted("take-over.txt", look(session, ("A", "T", "a", "r"), do=run_of(asked))[0])
    assert asked.answers == []


def test_an_audit_that_is_damaged_says_where(accepted: Accepted) -> None:
    session = Acted()
    found = (Finding("removed", "000000000000.jsonl line 4", "records 3 to 4 are missing before it"),)
    session.verified = Verified(records=6, findings=found, anchors=(), proven_to=2)
    accepted("audit-damaged.txt", look(session, ("w",))[0])


def test_what_cannot_be_recorded_is_told_on_the_screen_and_stays_in_sight() -> None:
    session = Acted()

    async def unrecorded(pilot: Pilot[Any]) -> None:
        session.state.audit.problem = "NOT RECORDED in /var/lib: the system's log has it instead"
        session.state.audit.warn(session.state.audit.problem)
        await settle(pilot)

    text = look(session, do=unrecorded)[0].splitlines()
    assert "NOT RECORDED radiology@pacs1" in text[0]
    assert any("system's log has it" in line for line in text[1:])
    assert "NOT RECORDED radiology@pacs1" in look(session, ("c",), do=unrecorded)[0].splitlines()[0]


def noted() -> story.Story:
    """A run of which two things were noted: one told to the worker, one afterwards."""
    told = story.Story().do(0, 1, 2, 3, 4)
    told.tell(Noted, topic="note", title="Note by anna", evidence="radiology is informed", said_at=told.at)
    told.tell(Noted, topic="note", title="Note by berta", evidence="the RIS was paused at 02:00")
    return told.begin(5)


def test_notes_and_the_hand_over_of_a_run_look_as_accepted(accepted: Accepted) -> None:
    told = noted()
    session, do = running(told)
    session.story = Told(told.events)
    session.told = report_of(told.events, alive=True, now=session.clock)
    accepted("notes.txt", look(session, ("n", *"ct"), do=do)[0])
    accepted("handover.txt", look(session, ("h",), do=run_of(Told(told.events)))[0])


def drilled() -> story.Story:
    """A drill that is over."""
    told = story.Story(mode="drill", drill=Drill(sandbox="process", participants=("anna", "berta")))
    told.do(*range(len(story.STEPS))).end("restored", 0)
    return told.tell(Noted, topic="observation", title="Observation", evidence="the phone list was out of date")


def test_a_drill_looks_as_accepted_from_its_plan_to_what_was_observed(accepted: Accepted) -> None:
    session = Acted()
    accepted("drill.txt", look(session, ("d",))[0])
    told = drilled()
    session.story, session.told = Told(told.events), report_of(told.events)
    accepted("drill-run.txt", look(session, ("d", "a", *"anna", "comma", *"berta", "enter"))[0])
    assert session.armed == ["drill with anna and berta"]
    accepted("drill-notes.txt", look(session, ("n", "escape"), do=run_of(Told(told.events)))[0])
    session.bad_plan = bad_plan()
    accepted("drill-bad.txt", look(session, ("d",))[0])
    assert "cannot start a drill" in look(Acted(read_only=True), ("d", "a"))[0]


@pytest.mark.parametrize("name", ["history", "history-none"])
def test_recovery_times_look_as_accepted(name: str, accepted: Accepted) -> None:
    session = Acted()
    session.times = TIMES if name == "history" else []
    accepted(f"{name}.txt", look(session, ("v",))[0])


def test_the_report_looks_as_accepted(accepted: Accepted) -> None:
    session, do = running(story.restored())
    session.told = report_of(story.restored().events)
    accepted("report.txt", look(session, ("enter",), do=do)[0])


def test_the_rollback_of_a_finished_run_is_shown_first(accepted: Accepted) -> None:
    session, do = running(story.restored())
    session.told = report_of(story.restored().events)
    accepted("undo.txt", look(session, ("enter", "b"), do=do)[0])


def test_the_runs_look_as_accepted(accepted: Accepted) -> None:
    session = Acted()
    session.past = [
        {"run": f"20261110-02000{n}-beef", "outcome": outcome, "components": ["queue"], "total_seconds": 12.0 * n}
        | {"operator": "anna"}
        for n, outcome in enumerate(("running", "unfinished", "rollback_incomplete", "restored", "rolled_back"))
    ]
    accepted("runs.txt", look(session, ("t",))[0])


def test_a_plan_that_must_not_be_armed_says_why(accepted: Accepted) -> None:
    session = Acted()
    session.findings = (Fact("rights", "needs root: run it with sudo", "bad"),)
    accepted("plan-refused.txt", look(session, ("f", "enter"))[0])


def test_a_bad_backup_makes_no_plan(accepted: Accepted) -> None:
    session = Acted()
    session.bad_plan = bad_plan()
    accepted("plan-bad.txt", look(session, ("f", "enter"))[0])


FIRST: dict[str, Callable[[], Any]] = {
    "first-read-only": lambda: Acted(read_only=True),
    "first-not-root": lambda: Acted(root=False),
    "first-running": lambda: Acted(runs=[OpenRun(RUN, "anna", "running")]),
    "first-unfinished": lambda: Acted(runs=[OpenRun(RUN, "anna", "unfinished")]),
    "first-incomplete": lambda: Acted(runs=[OpenRun(RUN, "anna", "rollback_incomplete")]),
    "first-locked": lambda: Acted(runs=[OpenRun(RUN, "anna", "unreadable")]),
    "first-no-site": lambda: NoSite("there is no site file", "looked for /etc/pacs_recover/site.yaml"),
    "first-bad-site": lambda: UsageError("the site file /x has 1 problem:\n  line 3: sorce is unknown", "mend it"),
}


@pytest.mark.parametrize("name", FIRST)
def test_each_situation_has_its_own_first_screen(name: str, accepted: Accepted) -> None:
    accepted(f"{name}.txt", look(FIRST[name]())[0])


def test_a_source_that_hangs_holds_up_nobody_and_one_that_fails_says_why(accepted: Accepted) -> None:
    session, free = Acted(), threading.Event()
    session.places += [Place("nas", "local", (), free), Place("old", "local", ())]
    session.broken["old"] = "/mnt/old: Permission denied"
    try:
        accepted("first-sources.txt", look(session)[0])
        accepted("catalog-sources.txt", look(session, ("c",))[0])
    finally:
        free.set()


def test_the_guide_of_the_demo_stands_above_each_screen(accepted: Accepted) -> None:
    from pacs_recover.screens.guide import guide

    told = guide("config/20261122_020000@local", {"config": "config/20261123_020000@local"}, "radiology")
    accepted("demo.txt", look(Acted(), ("c",), guide=told)[0])


def test_the_pictures_hold_no_path_of_the_machine_they_were_made_on() -> None:
    for path in (Path(__file__).parents[2] / "snapshots").glob("*.svg"):
        assert str(Path.home()) not in path.read_text()
