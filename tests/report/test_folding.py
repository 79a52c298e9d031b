"""A report is what the journal says: outcomes, step states and changes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pacs_recover import report
from pacs_recover.events import Effect, Failed, Passed, Planned, Progress, Undone
from pacs_recover.journal import Damage
from tests.report import story
from tests.report.story import ASIDE, DOWN, PUT, RUN, STARTS, STEPS, Story

CONTRACT = [
    "run",
    "mode",
    "outcome",
    "started_at",
    "ended_at",
    "total_seconds",
    "rto_seconds",
    "rto_met",
    "downtime_seconds",
    "soak_seconds",
    "human_wait_seconds",
    "steps",
    "checks",
    "backups",
    "operator",
    "host",
]


def test_the_json_begins_with_the_keys_of_the_contract() -> None:
    told = report.to_json(report.fold(story.restored().events))
    assert list(told)[: len(CONTRACT)] == CONTRACT
    assert list(told["steps"][0]) == ["title", "kind", "state", "seconds", "budget_seconds", "evidence"]
    assert list(told["checks"][0]) == ["name", "state", "evidence"]
    assert (told["started_at"], told["ended_at"]) == ("2026-11-10T02:00:00Z", "2026-11-10T02:01:44.600000Z")


def test_the_yes_to_a_question_is_reported_with_what_it_agreed_to() -> None:
    assert report.fold(story.restored().events).steps[3].evidence == "12 resent: yes (anna)"


def test_the_checks_are_the_steps_that_cover_a_line_of_the_checklist() -> None:
    checks = report.fold(story.cut().events).checks
    assert [(check.name, check.state) for check in checks] == [
        ("Database integrity check passes", "passed"),
        ("Service starts with restored data", "waiting"),
    ]


def test_a_rollback_reports_the_failure_the_undone_steps_and_a_missed_rto() -> None:
    told = report.fold(story.rolled_back().events)
    assert (told.outcome, told.exit_code, told.rto_met, told.recovery_seconds) == ("rolled_back", 1, False, None)
    assert told.failure is not None
    assert (told.failure.title, told.failure.hint) == ("PACS Bridge stays up", "see its log")
    assert [step.state for step in told.steps] == ["passed"] * 4 + ["undone"] * 4 + ["passed", "failed"]
    assert {effect.state for effect in told.effects} == {"undone"}


def test_an_incomplete_rollback_says_what_is_left_and_which_change_stayed() -> None:
    told = report.fold(story.incomplete().events)
    assert told.left[0] == "move /aside/queue.db to /q.db"
    assert [(effect.title, effect.state) for effect in told.effects] == [
        ("Stop pacs_bridge", "undone"),
        ("Set the live queue aside", "failed"),
        ("Put the restored queue in place", "undone"),
        ("Start pacs_bridge", "undone"),
    ]
    assert told.steps[ASIDE].state == "passed"
    assert told.failure is not None
    assert told.failure.title == "PACS Bridge stays up"


def test_a_second_rollback_after_an_incomplete_one_counts_and_the_outage_between_them_too() -> None:
    events = story.incomplete().wait(600.0).resume().undo().end("rolled_back").events
    told = report.fold(events)
    assert (told.outcome, told.left, {effect.state for effect in told.effects}) == ("rolled_back", (), {"undone"})
    assert told.total_seconds == pytest.approx(98.6 - 10.0 + 600.0 + 1.0)
    assert told.resumed[0].operator == "bert"


def test_a_failure_before_the_stop_has_no_downtime() -> None:
    told = report.fold(Story().do(0).fail(1, "gzip: crc error").end("failed_untouched", 6, evidence="crc").events)
    assert (told.outcome, told.exit_code, told.downtime_seconds, told.rto_met) == ("failed_untouched", 6, 0.0, False)
    assert [step.state for step in told.steps[:3]] == ["passed", "failed", "waiting"]
    assert told.steps[1].seconds == 10.0
    assert told.reason == "crc"


def test_a_failure_between_two_steps_is_a_failure_of_none() -> None:
    told = report.fold(Story().tell(Failed, title="Begin", evidence="locked").end("failed_untouched", 5).events)
    assert told.failure is not None
    assert told.failure.evidence == "locked"
    assert {step.state for step in told.steps} == {"waiting"}


def test_a_run_that_was_cut_is_unfinished_and_its_step_was_neither_passed_nor_failed() -> None:
    told = report.fold(story.cut().events)
    assert (told.outcome, told.rto_met, told.exit_code, told.ended_at) == ("unfinished", None, None, None)
    assert (told.steps[PUT].state, told.steps[PUT].seconds) == ("cut", None)
    assert told.total_seconds == pytest.approx(68.2)
    assert told.downtime_seconds == pytest.approx(3.2)
    assert told.changed


def test_a_run_cut_before_any_change_is_unfinished_too_and_says_that_nothing_was_changed() -> None:
    told = report.fold(Story().do(0).begin(1).events)
    assert (told.outcome, told.changed, told.downtime_seconds) == ("unfinished", False, 0.0)


def test_a_damaged_line_may_hide_a_change() -> None:
    told = report.fold(Story().do(0).events, [Damage(4, "its checksum does not match")])
    assert told.changed
    assert told.damage[0].line == 4


def test_a_living_run_is_running_and_its_clocks_run_until_now() -> None:
    events = story.cut().events
    told = report.fold(events, alive=True, now=events[-1].at + timedelta(seconds=5))
    assert (told.outcome, told.rto_met) == ("running", None)
    assert (told.steps[PUT].state, told.steps[PUT].seconds) == ("running", 5.0)
    assert told.total_seconds == pytest.approx(73.2)
    assert told.downtime_seconds == pytest.approx(8.2)


def test_progress_is_the_evidence_of_a_step_that_runs() -> None:
    told = Story().do(0).begin(1).tell(Progress, title="", done=1_000_000, total=3_100_000, unit="bytes")
    assert report.fold(told.events, alive=True).steps[1].evidence == "1.0 MB of 3.1 MB"
    told.tell(Passed, title=STEPS[1].title, evidence="all")
    assert report.fold(told.events).steps[1].evidence == "all"


def test_a_step_is_undone_only_when_all_its_changes_are() -> None:
    partly = [
        event for event in story.two_services().events if not (isinstance(event, Undone) and "lite" in event.title)
    ]
    assert report.fold(partly).steps[DOWN].state == "passed"
    assert report.fold(story.two_services().events).steps[DOWN].state == "undone"


def test_changes_of_one_title_that_cannot_be_undone_are_told_apart() -> None:
    told, title = Story().begin(DOWN), STEPS[DOWN].title
    for _ in range(2):
        told.tell(Effect, undo="return_to", args={}, title=title)
    told.tell(Undone, effect=told.events[-1].n, title=f"Undo: {title}")
    for _ in range(2):
        told.tell(Failed, title=f"Undo: {title}", evidence="")
    assert [effect.state for effect in report.fold(told.events).effects] == ["failed", "failed", "undone"]
    told.tell(Failed, title=f"Undo: {title}", evidence="again")
    assert [effect.state for effect in report.fold(told.events).effects] == ["failed", "failed", "undone"]


def test_a_rollback_that_fails_is_not_what_made_the_run_fail() -> None:
    told = report.fold(story.cut().resume().undo(but="take_out").events)
    assert told.failure is None
    assert told.going_back


def test_a_worker_that_tidies_up_after_the_end_stops_no_clock() -> None:
    events = story.restored().events
    assert report.fold(events, alive=True, now=events[-1].at + timedelta(hours=1)) == report.fold(events)


def test_a_step_that_was_cut_does_not_run_again_before_it_begins_again() -> None:
    assert report.fold(story.cut().resume().events, alive=True).steps[PUT].state == "cut"


def test_what_was_left_and_where_things_are_kept_outlives_an_end_only_as_far_as_it_is_true() -> None:
    assert report.fold(story.incomplete().resume().events).left == ()
    assert report.fold(story.restored().resume().events).kept == ("/var/lib/.pacs_recover/aside/queue",)


def test_a_rollback_of_a_finished_run_that_was_cut_is_no_restored_run_any_more() -> None:
    told = story.restored().wait(60.0).resume().undo(but="return_to")
    found = report.fold(told.events)
    assert (found.outcome, found.rto_met, found.exit_code) == ("unfinished", None, None)


def test_a_run_closed_by_hand_keeps_the_reason_and_decides_nothing_about_the_rto() -> None:
    found = report.fold(story.cut().wait(60.0).end("closed", 0, evidence="closed by bert: moved by hand").events)
    assert (found.outcome, found.reason, found.rto_met) == ("closed", "closed by bert: moved by hand", None)


def test_a_journal_without_its_first_line_still_tells_what_happened() -> None:
    events = [event for event in story.rolled_back().events if not isinstance(event, Planned)]
    found = report.fold(events, [Damage(1, "damaged")], run=RUN)
    assert (found.run, found.outcome, found.rto_seconds, found.rto_met) == (RUN, "rolled_back", None, None)
    assert found.steps[DOWN].title == "Stop pacs_bridge"
    assert found.downtime_seconds > 0


def test_an_undoing_whose_change_is_damaged_is_told_by_its_own_title() -> None:
    events = [e for e in story.rolled_back().events if not (type(e).__name__ == "Effect" and e.step == PUT)]
    found = report.fold(events)
    assert sorted(e.title for e in found.effects) == sorted(STEPS[n].title for n in (DOWN, ASIDE, PUT, STARTS))


def test_an_empty_journal_is_an_unfinished_run() -> None:
    found = report.fold([], run=RUN)
    assert (found.run, found.outcome, found.started_at, found.total_seconds) == (RUN, "unfinished", None, 0.0)


def test_the_summary_is_one_row_of_the_list_of_runs() -> None:
    assert report.summary(report.fold(story.restored().events)) == {
        "run": RUN,
        "mode": "live",
        "components": ["queue"],
        "outcome": "restored",
        "started_at": "2026-11-10T02:00:00Z",
        "total_seconds": 104.6,
        "operator": "anna",
        "host": "pacs1",
    }
    assert report.summary(report.fold([]), "other")["run"] == "other"
