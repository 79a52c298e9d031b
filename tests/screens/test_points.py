"""Points in time: what their screen says, and what its keys do."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from pacs_recover import points
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.components import Comparison
from pacs_recover.points import Gap
from pacs_recover.screens import points_view as view
from pacs_recover.screens.catalog import CatalogPage
from pacs_recover.screens.choose import ChoosePage
from pacs_recover.screens.overview import Overview
from pacs_recover.screens.points import PointsPage
from pacs_recover.screens.preview import PreviewPage
from pacs_recover.sources import Problem
from tests.screens.acted import NOW, POINTS, Acted, Place, point, replicated
from tests.screens.conftest import frame
from tests.screens.test_flows import drive, notice, press
from tests.screens.test_frames import settle

STATE = SourceState("replica", "litestream", True)
FOUND = points.of(Catalog(POINTS, (STATE,)))


def replay(resent: int | None, dead: int | None, lost: int | None) -> Comparison:
    return Comparison(("c",), replay={"resent": resent, "dead_lettered": dead, "lost_since": lost})


def test_a_gap_is_a_row_between_its_two_points() -> None:
    rows = view.rows(FOUND)
    (place,) = [number for number, row in enumerate(rows) if isinstance(row, Gap)]
    assert (rows[place - 1], rows[place + 1]) == (POINTS[7], POINTS[8])
    assert len(rows) == len(POINTS) + 1
    assert "292 transactions in it can no longer be had apart" in view.line(rows[place], NOW, {}).text
    said = " ".join(line.text for line in view.below(rows[place], None, "", ""))
    assert f"between {view.clock(POINTS[8].taken_at)} and {view.clock(POINTS[7].taken_at)}" in said
    assert "No state of this time can be restored" in said


def test_a_row_has_utc_to_the_millisecond_local_time_and_what_is_known_of_it() -> None:
    one = POINTS[1]
    plain = view.line(one, NOW, {}).text
    assert plain.startswith(f"{one.taken_at:%Y-%m-%d %H:%M:%S}.{one.taken_at.microsecond // 1000:03} ")
    known = {one.id: replay(1200, 34, 88)}
    assert view.line(one, NOW, known).text.split()[-2:] == ["1,234", "88"]
    assert view.line(one, NOW, {one.id: replay(None, None, None)}).text.split()[-2:] == ["?", "?"]
    assert view.line(POINTS[8], NOW, {}).look == "warn"


@pytest.mark.parametrize(
    ("compared", "said", "looks"),
    [
        (replay(0, 0, 0), "holds the same messages", {"ok"}),
        (replay(3, 0, 0), "3 messages would be SENT AGAIN", {"warn", "ok"}),
        (replay(0, 0, 1), "1 message arrived since and would be LOST", {"ok", "bad"}),
        (Comparison(("cannot be read: unknown",), replay={"resent": None}), "unknown", {"warn"}),
    ],
)
def test_what_a_point_gains_and_loses_is_told_in_words(compared: Comparison, said: str, looks: set[str]) -> None:
    lines = view.against(compared)
    assert any(said in line.text for line in lines)
    assert {line.look for line in lines} == looks


def test_the_summary_counts_points_and_gaps_and_names_what_is_lost() -> None:
    assert view.summary(FOUND, False)[0].text == f"{len(POINTS)} points in time of replica, 1 gap"
    problem = Problem("file:///r", "generation ab has no snapshot: nothing in it can be restored", "hint")
    bad = SourceState("replica", "litestream", False, "file:///r: generation ab has no snapshot", "", (problem,))
    assert [line.look for line in view.summary(points.of(Catalog(POINTS, (bad,))), True)] == ["", "bad"]
    hung = SourceState("replica", "litestream", False, "still reading after 10 s")
    assert "CANNOT BE READ" in view.summary(points.of(Catalog((), (hung,))), False)[1].text


def test_a_time_leads_to_the_newest_point_at_or_before_it() -> None:
    rows = view.rows(FOUND)
    assert rows[view.nearest(rows, POINTS[3].taken_at) or 0] == POINTS[3]
    assert rows[view.nearest(rows, POINTS[7].taken_at - timedelta(milliseconds=1)) or 0] == POINTS[8]
    assert view.nearest(rows, NOW - timedelta(days=1)) is None


def page(pilot: Pilot[Any]) -> PointsPage:
    found = pilot.app.screen
    assert isinstance(found, PointsPage)
    return found


def test_the_key_is_there_only_where_the_site_has_a_replica() -> None:
    async def without(pilot: Pilot[Any]) -> None:
        await press(pilot, "i")
        assert isinstance(pilot.app.screen, Overview)
        await press(pilot, "c", "i")
        assert isinstance(pilot.app.screen, CatalogPage)
        assert "in time" not in frame(pilot.app)

    async def with_one(pilot: Pilot[Any]) -> None:
        await press(pilot, "c", "i")
        assert isinstance(pilot.app.screen, PointsPage)

    drive(Acted(), without)
    drive(replicated(), with_one)


def test_only_the_point_under_the_cursor_is_compared_and_one_at_a_time() -> None:
    session = replicated()
    session.slow_compare = threading.Event()

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "i")
        await pilot.pause(0.6)
        assert session.compared == [POINTS[0].id]
        await press(pilot, "down", "down", "down", "down")
        await pilot.pause(0.6)
        assert session.stopped == [POINTS[0].id]
        assert session.compared == [POINTS[0].id, POINTS[4].id]
        assert session.slow_compare
        session.slow_compare.set()
        await settle(pilot)
        assert "48 messages would be SENT AGAIN" in frame(pilot.app)
        await press(pilot, "up", "down")
        await pilot.pause(0.6)
        assert session.compared.count(POINTS[4].id) == 1

    drive(session, flow)


def test_a_point_is_looked_at_and_planned_and_a_gap_is_not() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "i", "down", "y")
        assert "points --at 2026-11-23T03:04:03.493Z" in notice(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, PreviewPage)
        assert pilot.app.screen.backup == POINTS[1]
        await press(pilot, "escape", "p")
        assert isinstance(pilot.app.screen, ChoosePage)
        assert POINTS[1].id in frame(pilot.app)
        await press(pilot, "escape", *("down",) * 7, "enter", "p")
        assert "no state of this time" in notice(pilot)
        assert isinstance(page(pilot).row, Gap)

    drive(replicated(), flow)


def test_slash_goes_to_a_time() -> None:
    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "i", "slash", *"1h ago", "enter")
        assert page(pilot).backup == POINTS[12]
        await press(pilot, "slash", *"3", "enter")
        assert "is not a time" in notice(pilot)
        await press(pilot, "escape", "slash", *"9d ago", "enter")
        assert "no point at or before" in notice(pilot)
        assert page(pilot).backup == POINTS[12]

    drive(replicated(), flow)


def test_ten_thousand_points_move_as_quickly_as_ten() -> None:
    session = Acted()
    session.places.append(Place("replica", "litestream", [point(20_000 - n, float(n)) for n in range(10_000)]))

    async def flow(pilot: Pilot[Any]) -> None:
        await press(pilot, "i", "end", "home", "pagedown")
        assert "10,000 points" in frame(pilot.app)
        await press(pilot, "escape", "c")
        assert "9,999 more points in time of replica: press i" in frame(pilot.app)

    drive(session, flow)
