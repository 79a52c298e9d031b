"""What keys do, on a session that only acts."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.events import Key
from textual.pilot import Pilot

from pacs_recover import screens, widgets
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import Refused
from pacs_recover.events import Answered, Passed
from pacs_recover.screens import catalog_view
from pacs_recover.screens.catalog import CatalogPage
from pacs_recover.screens.console import Console
from pacs_recover.screens.overview import Overview
from pacs_recover.screens.plan import PlanPage
from pacs_recover.screens.run import RunPage
from pacs_recover.widgets.edges import LEAST, Notice, fitting, shown
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading
from tests.report import story
from tests.screens.acted import BACKUPS, BUCKET, RUN, Acted, Place, Told, backup, bucket, report_of
from tests.screens.conftest import frame
from tests.screens.test_frames import MAIN, drilled, settle

Flow = Callable[[Pilot[Any]], Awaitable[None]]


def drive(session: Any, flow: Flow, **options: Any) -> Console:
    """Run a console through a flow."""

    async def main() -> Console:
        app = Console(session, **options)
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await flow(pilot)
        return app

    return asyncio.run(main())


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys, each after the screen has settled."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def until(pilot: Pilot[Any], text: str) -> None:
    """Wait until this is on the screen."""
    for _ in range(200):
        if text in frame(pilot.app):
            return
        await pilot.pause(0.05)
    raise AssertionError(f"{text!r} never came:\n{frame(pilot.app)}")


def notice(pilot: Pilot[Any]) -> str:
    """The message on the screen."""
    return pilot.app.screen.query_one(Notice).text


def armed_session() -> Acted:
    """One whose armed run is a story."""
    session = Acted()
    session.story = Told(story.Story().do(0).begin(1).events)
    return session


def test_a_wrong_name_arms_nothing_and_the_right_one_that_plan() -> None:
    session = armed_session()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter", "a", *"radio", "enter")
        assert session.armed == []
        assert "not armed" in notice(pilot)
        await press(pilot, "a", *"radiology", "enter")
        assert session.armed == ["4f2a77b1"]
        assert isinstance(pilot.app.screen, RunPage)
        assert "LIVE RESTORE" in frame(pilot.app)

    drive(session, flow)


def test_what_lives_is_shown_when_it_is_read_and_holds_up_nobody() -> None:
    session = Acted()
    session.slow_live = threading.Event()

    async def flow(pilot: Pilot[Any]) -> None:
        assert "… queue: reading…" in frame(pilot.app)
        assert "pacs_bridge runs" in frame(pilot.app)
        await press(pilot, "c", "escape")
        session.slow_live.set()
        await settle(pilot)
        assert "✓ queue: 1,810 waiting" in frame(pilot.app)
        session.held |= {"certs": {"state": "bad", "sentence": "server.crt EXPIRED on 2026-11-22 (0 days ago)"}}
        session.held |= {"queue": {"state": "warn", "sentence": "UNKNOWN: it could not be read within 20 s"}}
        await press(pilot, "r")
        assert "✗ BAD: certs: server.crt EXPIRED on 2026-11-22" in frame(pilot.app)
        assert "! LOOK: queue: UNKNOWN: it could not be read within 20 s" in frame(pilot.app)

    try:
        drive(session, flow)
    finally:
        session.slow_live.set()


def test_keys_typed_in_one_burst_reach_the_input_line_and_nothing_else() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c")
        for key in ("slash", *"queue"):
            pilot.app.post_message(Key(key, "/" if key == "slash" else key))
        await settle(pilot)
        assert isinstance(pilot.app.screen, CatalogPage)
        assert pilot.app.screen.filter == "queue"

    drive(Acted(), flow)


def test_a_key_plans_again_with_what_only_the_live_queue_has() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter")
        assert "88 messages arrived since and would be LOST" in frame(pilot.app)
        await press(pilot, "m")
        assert "88 messages only in the live queue would be CARRIED OVER" in frame(pilot.app)
        assert "adds about 0.3 s of" in frame(pilot.app)
        assert "LOST" not in frame(pilot.app)
        assert "--carry-over" not in notice(pilot)
        await press(pilot, "m")
        assert "CARRIED OVER" not in frame(pilot.app)

    drive(Acted(), flow)


def test_help_is_left_by_the_key_that_opened_it() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "question_mark")
        assert "Everything that can be done here" in frame(pilot.app)
        await press(pilot, "question_mark")
        assert isinstance(pilot.app.screen, CatalogPage)

    drive(Acted(), flow)


def test_leaving_the_name_arms_nothing() -> None:
    session = armed_session()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter", "a", *"radiology", "escape")
        assert "not armed: nothing was changed" in notice(pilot)
        assert isinstance(pilot.app.screen, PlanPage)

    drive(session, flow)
    assert session.armed == []


def test_a_read_only_console_has_no_key_that_arms() -> None:
    session = Acted(read_only=True)
    session.story = Told(story.restored().events)

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter", "a", *"radiology", "enter")
        assert isinstance(pilot.app.screen, PlanPage)
        assert "READ-ONLY" in frame(pilot.app)
        pilot.app.push_screen(RunPage(RUN, session.story))
        await settle(pilot)
        await press(pilot, "b", "u", "x")
        assert isinstance(pilot.app.screen, RunPage)

    drive(session, flow)
    assert session.armed == []


def test_moving_on_stops_the_reading_and_coming_back_reads_what_was_never_finished() -> None:
    session, free = Acted(), threading.Event()
    session.slow_preview = free

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c")
        await pilot.pause(0.4)
        assert session.previews == [BACKUPS[4].id]
        await press(pilot, "down")
        await pilot.pause(0.4)
        assert session.stopped == [BACKUPS[4].id]
        free.set()
        await settle(pilot)
        assert "LOOK: it can be" in frame(pilot.app)

    drive(session, flow)


def test_what_was_read_once_is_kept() -> None:
    session = Acted()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c")
        await pilot.pause(0.4)
        await press(pilot, "down")
        await pilot.pause(0.4)
        await press(pilot, "up", "enter")
        assert session.previews == [BACKUPS[4].id, BACKUPS[0].id]

    drive(session, flow)


def test_keys_work_while_a_source_hangs() -> None:
    session, free = Acted(), threading.Event()
    session.places.append(Place("nas", "local", (), free))

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "down", "down")
        assert pilot.app.screen.query_one("#backups", Listing).cursor == 2
        free.set()
        await settle(pilot)
        assert pilot.app.screen.query_one("#backups", Listing).cursor == 2
        assert "reading" not in frame(pilot.app).splitlines()[1]

    drive(session, flow)


def test_rows_arrive_while_a_source_is_read_and_what_was_known_stays_while_it_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, go, again = Acted(), threading.Event(), threading.Event()
    session.places = [Place("s3", "s3", ())]
    state = SourceState("s3", "s3", True)

    def read(source: Any, partly: Any) -> Catalog:
        partly(Catalog(BUCKET[1:3], (SourceState("s3", "s3", False, "still reading"),)))
        assert (again if go.is_set() else go).wait(20)
        return Catalog(BUCKET[:3], (state,))

    monkeypatch.setattr(session, "read", read)

    async def flow(pilot: Pilot[Any]) -> None:
        await pilot.pause(0.2)
        assert "s3: reading… 2 backups so far" in frame(pilot.app)
        await press(pilot, "c")
        assert "2 backups, newest first" in frame(pilot.app)
        assert "reading s3…" in frame(pilot.app)
        assert "CANNOT BE READ: still" not in frame(pilot.app)
        go.set()
        await pilot.pause(0.3)
        page = pilot.app.screen
        assert isinstance(page, CatalogPage)
        assert page.backup == BUCKET[0]  # nobody moved the cursor: it stays on the newest
        await press(pilot, "down", "r")
        assert len(page.shown) == 3
        assert page.backup == BUCKET[1]
        again.set()
        await pilot.pause(0.3)
        assert page.backup == BUCKET[1]

    drive(session, flow)


def test_an_archived_backup_is_thawed_by_typing_a_tier() -> None:
    session = bucket()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c")
        assert "thaw" not in {word for _, word in shown(pilot.app.screen)}
        await press(pilot, "down")
        await pilot.pause(0.4)
        assert "pacs-recover thaw" in frame(pilot.app)
        await press(pilot, "enter", "t", "a", *"yes", "enter")
        assert "nothing was asked for" in notice(pilot)
        await press(pilot, "a", "escape")
        assert not session.thawed
        await press(pilot, "a", *"bulk", "enter")
        assert session.thawed == [f"{BUCKET[1].id} Bulk"]
        assert "thawing: GLACIER" in frame(pilot.app)
        assert "ask for it" not in {word for _, word in shown(pilot.app.screen)}

    drive(session, flow)


def test_a_read_only_console_thaws_nothing() -> None:
    session = bucket(read_only=True)

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "down", "t")
        assert isinstance(pilot.app.screen, CatalogPage)
        await press(pilot, "enter", "t")
        assert "thaw" not in {word for _, word in shown(pilot.app.screen)}

    drive(session, flow)
    with pytest.raises(Refused):
        session.thaw(BUCKET[1], "Bulk")


def test_a_filter_is_kept_by_enter_and_dropped_by_escape() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "slash", *"conf", "enter")
        page = pilot.app.screen
        assert isinstance(page, CatalogPage)
        assert [found.component for found in page.shown] == ["config", "config"]
        await press(pilot, "escape")
        assert len(page.shown) == len(BACKUPS)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, Overview)

    drive(Acted(), flow)


def test_a_recovery_set_is_picked_in_the_catalog_and_planned() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "space", "down", "space", "p", "enter")
        assert isinstance(pilot.app.screen, PlanPage)
        assert [found.component for found in pilot.app.screen.backups] == ["certs", "queue"]

    drive(Acted(), flow)


def test_logs_are_never_planned() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "end", "p")
        assert isinstance(pilot.app.screen, CatalogPage)
        assert "pacs-recover extract" in notice(pilot)

    drive(Acted(), flow)


def test_a_question_is_answered_inline() -> None:
    told = Told(story.Story().do(0, 1, 2).begin(3).events)

    async def flow(pilot: Pilot[Any]) -> None:
        pilot.app.push_screen(RunPage(RUN, told))
        await settle(pilot)
        assert "QUESTION" in frame(pilot.app)
        await press(pilot, "A")
        assert told.answers == [True]
        more = story.Story().do(0, 1, 2, 3).events[len(story.Story().do(0, 1, 2).begin(3).events) :]
        told.waiting = [event for event in more if isinstance(event, Answered | Passed)]
        await pilot.pause(0.6)
        assert "QUESTION" not in frame(pilot.app)
        await press(pilot, "A")
        assert told.answers == [True], "the key does nothing without a question"

    drive(Acted(), flow)


def test_leaving_the_console_says_how_to_find_the_run_again() -> None:
    session = armed_session()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter", "a", *"radiology", "enter", "q")

    app = drive(session, flow)
    assert f"pacs-recover attach {RUN.name}" in app.last_words
    assert f"pacs-recover rollback {RUN.name}" in app.last_words


def test_escape_leaves_a_run_and_the_overview_is_behind_it() -> None:
    session = armed_session()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter", "a", *"radiology", "enter", "escape")
        assert isinstance(pilot.app.screen, Overview)

    drive(session, flow)


def test_an_unfinished_run_is_resumed_rolled_back_or_closed_after_it_was_shown() -> None:
    session = Acted()
    session.story = Told(story.restored().events)

    async def flow(pilot: Pilot[Any]) -> None:
        for key, typed in (("u", "radiology"), ("b", "radiology"), ("x", "moved it by hand")):
            pilot.app.push_screen(RunPage(RUN, Told(story.cut().events, gone=True)))
            await pilot.pause(1.5)
            await press(pilot, key, "a", *(typed.replace(" ", "_")), "enter")

    drive(session, flow)
    assert session.armed == ["resume", "rollback", "close: moved_it_by_hand"]


def test_the_cursor_of_a_run_stays_where_it_was_put_until_it_is_told_to_follow() -> None:
    told = Told(story.Story().do(0, 1).begin(2).events)

    async def flow(pilot: Pilot[Any]) -> None:
        pilot.app.push_screen(RunPage(RUN, told))
        await settle(pilot)
        listing = pilot.app.screen.query_one("#checklist", Listing)
        assert listing.cursor == 2
        await press(pilot, "home")
        told.waiting = story.Story().do(0, 1, 2).events[len(story.Story().do(0, 1).begin(2).events) :]
        await pilot.pause(0.6)
        assert listing.cursor == 0
        assert "owner 990:990" in frame(pilot.app)
        await press(pilot, "full_stop")
        assert listing.cursor == 2

    drive(Acted(), flow)


def test_the_equivalent_command_line_is_shown_and_copied() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "y")
        assert notice(pilot) == f"$ pacs-recover preview {BACKUPS[4].id}"
        assert pilot.app.clipboard == f"pacs-recover preview {BACKUPS[4].id}"

    drive(Acted(), flow)


def test_the_palette_does_what_its_sentence_says() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "ctrl+p", *"all_backups".replace("_", ""), "escape")
        await press(pilot, "ctrl+p", *"sources", "enter")
        assert isinstance(pilot.app.screen, CatalogPage | Overview)
        await press(pilot, "ctrl+p", "escape", "question_mark")
        assert "Keys" in frame(pilot.app)

    drive(Acted(), flow)


def test_names_from_backups_reach_the_screen_escaped_and_never_as_markup() -> None:
    session = Acted()
    name = "queue/\x1b]0;owned\x07[red]x[/red]\u202e"
    evil = backup("queue", 0.01, "db.gz", source="local")
    evil = type(evil)(**{field: getattr(evil, field) for field in evil.__struct_fields__} | {"id": name, "key": name})
    session.places = [Place("local", "local", (evil,))]

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c")
        await pilot.pause(0.4)
        shown_text = frame(pilot.app)
        await press(pilot, "y", "enter")
        shown_text += frame(pilot.app)
        assert not set(shown_text) & {"\x1b", "\x07", "\u202e"}
        assert "\\x1b]0;owned\\x07" in shown_text
        assert "[red]" in shown_text

    drive(session, flow)


def test_a_hundred_thousand_backups_are_drawn_a_screenful_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(backup("queue", number / 60, "db.gz") for number in range(100_000))
    session = Acted()
    drawn: list[int] = []
    monkeypatch.setattr(session, "read", lambda source, _: Catalog(many, (SourceState(source.name, "local", True),)))
    session.places = [Place("local", "local", ())]
    draw = CatalogPage.line

    def counted(page: CatalogPage, number: int, width: int) -> Line:
        drawn.append(number)
        return draw(page, number, width)

    monkeypatch.setattr(CatalogPage, "line", counted)

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "end")
        assert pilot.app.screen.query_one("#backups", Listing).cursor == 99_999
        assert len(drawn) < 300
        while any(task.thread and task.thread.is_alive() for task in pilot.app.background.tasks):  # type: ignore[attr-defined]
            await pilot.pause(0.05)
        monkeypatch.setattr(catalog_view, "_text_of", None)  # it was laid out while it was read
        await press(pilot, "slash", *"q", "u")
        await until(pilot, "100,000 of 100,000 backups match")
        await press(pilot, "e", "space", *"1123 01")
        await until(pilot, f"{len(catalog_view.matching(many, 'que 1123 01'))} of 100,000 backups match")
        await press(pilot, "backspace", "backspace")
        await until(pilot, f"{len(catalog_view.matching(many, 'que 1123')):,} of 100,000 backups match")
        assert len(drawn) < 900

    drive(session, flow)


def test_a_very_long_page_is_wrapped_a_little_at_a_time_and_keys_work_in_between() -> None:
    lines = [Line(f"03:04:{n % 60:02} line {n} " + "of a log " * 12, "", "  • ") for n in range(20_000)]

    async def flow(pilot: Pilot[Any]) -> None:
        page = pilot.app.screen.query_one("#below", Reading)
        page.show(lines)
        assert 20 < len(page._rows) < 20_000, "the window is full, and not all is wrapped"
        page.action_edge(1)
        page.action_leaf(-1)
        page.action_edge(1)
        await wrapped(page)
        assert len(page._rows) == 40_000
        last = 40_000 - page.scrollable_content_region.height
        assert page.scroll_offset.y == last, "the end that was asked for is the end of all"
        page.action_edge(0)
        page.action_scroll(20_001)
        await pilot.resize_terminal(120, 40)
        await wrapped(page)
        assert page._rows[page.scroll_offset.y][2] == 10_000, "the line that was read is still on top"

    async def wrapped(page: Reading) -> None:
        await asyncio.sleep(0.2)
        while page._next < len(lines):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)

    drive(Acted(), flow)


def test_a_fault_of_ours_is_told_in_words_and_its_traceback_is_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = Acted()
    session.state.path = tmp_path
    monkeypatch.setattr(session, "plan", lambda *_, **__: 1 / 0)

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter")
        assert "something unexpected happened (ZeroDivisionError)" in frame(pilot.app)
        assert "Traceback" not in frame(pilot.app)

    drive(session, flow)
    assert "ZeroDivisionError" in (tmp_path / "console.log").read_text()
    assert (tmp_path / "console.log").stat().st_mode & 0o777 == 0o600


def bindings() -> list[tuple[str, Binding]]:
    """Every binding of ours."""
    owners: set[type] = {Console}
    for package in (screens, widgets):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            values = vars(importlib.import_module(module.name)).values()
            owners |= {value for value in values if inspect.isclass(value) and value.__module__ == module.name}
    ours = sorted(owners, key=lambda owner: owner.__name__)
    found = [(owner.__name__, binding) for owner in ours for binding in vars(owner).get("BINDINGS", ())]
    return [(name, binding) for name, binding in found if isinstance(binding, Binding)]


def test_every_binding_has_an_id_and_a_tooltip() -> None:
    assert len(bindings()) > 30
    for name, binding in bindings():
        assert binding.id, f"{name} {binding.key}"
        assert binding.tooltip, f"{name} {binding.key}"


def test_no_two_bindings_share_an_id() -> None:
    ids = [binding.id for _, binding in bindings()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", MAIN)
def test_at_80_columns_every_key_of_a_screen_is_in_its_footer(name: str) -> None:
    make, keys = MAIN[name]

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, *keys)
        every = shown(pilot.app.screen)
        missing = {word for _, word in every} - {word for _, word in fitting(every, 80)}
        assert missing <= set(LEAST)

    drive(make(), flow)


def test_a_note_is_typed_and_of_a_drill_that_is_over_what_was_observed_and_is_to_be_improved() -> None:
    session = Acted()
    told = drilled()
    session.told = report_of(told.events)

    async def flow(pilot: Pilot[Any]) -> None:
        pilot.app.push_screen(RunPage(RUN, Told(told.events)))
        await press(pilot, "n", *"all", "enter", "o", *"slow", "enter", "m", *"fix", "enter")
        assert "noted" in notice(pilot)
        await press(pilot, "n", "n", "escape", "escape")
        assert isinstance(pilot.app.screen, RunPage)

    drive(session, flow)
    assert session.noted == ["note: all", "observation: slow", "action: fix"]


def test_nothing_is_observed_of_a_run_that_is_no_drill_and_nothing_noted_read_only() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        pilot.app.push_screen(RunPage(RUN, Told(story.restored().events)))
        await press(pilot, "n", *(() if pilot.app.session.read_only else ("escape",)), "o", "m")  # type: ignore[attr-defined]
        assert "observed" not in frame(pilot.app)
        await press(pilot, "y")
        assert f"$ pacs-recover note {RUN.name}" in notice(pilot)

    for session in (Acted(), Acted(read_only=True)):
        session.told = report_of(story.restored().events)
        drive(session, flow)
        assert session.noted == []


def test_a_plan_says_what_may_be_newer_than_what_was_taken_as_the_newest() -> None:
    session = Acted()
    session.broken["aside"] = "the disk is gone"

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "f", "enter")
        told = " ".join(line.text for line in pilot.app.screen.query_one("#plan", Reading).lines)
        assert "source: aside could not be read in whole, it may have newer backups: the disk is gone" in told

    drive(session, flow)
