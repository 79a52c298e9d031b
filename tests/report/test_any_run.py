"""Whatever part of whatever run a journal still holds, its report folds, adds up and never claims a success."""

from __future__ import annotations

import re
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from pacs_recover import report
from pacs_recover.events import AnyEvent, Effect, Ended, Undone
from tests.report.story import STEPS, UNDO, Story


@st.composite
def runs(draw: st.DrawFn) -> list[AnyEvent]:
    """Any run that an engine can tell: passed, failed anywhere, cut, rebooted, resumed, rolled back more than once."""
    story, first = Story(rto_seconds=draw(st.sampled_from([1.0, 60.0, 900.0]))), 0
    for _ in range(draw(st.integers(0, 2))):
        first = draw(st.integers(first, len(STEPS) - 1))
        story.do(*range(story_next(story), first)).begin(first)
        if draw(st.booleans()):
            story.reboot(draw(st.floats(-100.0, 1e6)))
        _undo_step(story.wait(1.0).resume("resume"), first)
    upto = draw(st.integers(story_next(story), len(STEPS)))
    story.do(*range(story_next(story), upto))
    if upto == len(STEPS):
        story.end("restored", 0)
    elif draw(st.booleans()):
        story.fail(upto)
    for _ in range(draw(st.integers(0, 2))):
        story.wait(draw(st.floats(0.0, 1e6))).resume()
        but = draw(st.sampled_from(["", *UNDO.values()]))
        story.undo(but=but).end("rollback_incomplete" if but else "rolled_back", 4 if but else 1)
    return story.events


def story_next(story: Story) -> int:
    """The step that comes next: after the last passed one."""
    passed = [e.step for e in story.events if type(e).__name__ == "Passed" and e.step is not None]
    return max(passed, default=-1) + 1


def _undo_step(story: Story, number: int) -> None:
    undone = {event.effect for event in story.events if isinstance(event, Undone)}
    for effect in [e for e in story.events if isinstance(e, Effect) and e.step == number and e.n not in undone]:
        story.tell(Undone, effect=effect.n, title=f"Undo: {effect.title}")


def _adds_up(found: report.Report) -> None:
    assert 0 <= found.downtime_seconds <= found.total_seconds + 0.002
    assert 0 <= found.human_wait_seconds <= found.total_seconds + 0.002
    assert all(step.seconds is None or step.seconds >= 0 for step in found.steps)
    assert found.recovery_seconds is None or 0 <= found.recovery_seconds <= found.total_seconds + 0.002


@given(runs(), st.data(), st.booleans())
def test_any_prefix_of_a_run_folds_and_claims_no_success(
    events: list[AnyEvent], data: st.DataObject, alive: bool
) -> None:
    part = events[: data.draw(st.integers(0, len(events)))]
    found = report.fold(part, alive=alive)
    _adds_up(found)
    last = part[-1] if part else None
    if not (isinstance(last, Ended) and last.outcome == "restored"):
        assert found.outcome != "restored"
        assert found.rto_met is not True
        assert "RESTORED" not in report.headline(found)
        assert not re.search(r"\bmet\b", report.as_text(found, zone=UTC))
    if not isinstance(last, Ended):
        assert found.outcome == ("running" if alive else "unfinished")
        assert alive or "running" not in {step.state for step in found.steps}


@given(runs(), st.data())
def test_a_run_with_damaged_lines_folds_in_every_form(events: list[AnyEvent], data: st.DataObject) -> None:
    whole = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    found = report.fold([event for event, kept in zip(events, whole, strict=True) if kept])
    _adds_up(found)
    for write in (report.as_text, report.as_markdown, report.as_html, report.as_json):
        assert write(found)


@given(runs())
def test_every_event_has_a_line_for_people_and_one_for_programs(events: list[AnyEvent]) -> None:
    teller = report.Teller()
    for event in events:
        told, plain = teller.line(event), report.line_json(event)
        assert "\n" not in told
        assert len(told) > 3
        assert list(plain)[:5] == ["kind", "at", "step", "title", "evidence"]
