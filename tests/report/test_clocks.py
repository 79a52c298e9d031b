"""The clocks of a run: recovery against RTO, downtime, waiting, whatever the host's own clocks do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pacs_recover import report
from pacs_recover.events import Asked
from tests.report import story
from tests.report.story import DOWN, PUT, SOAK, START, STARTS, STEPS, UP, Story


def test_a_restore_that_passed_has_all_its_clocks_apart() -> None:
    told = report.fold(story.restored().events)
    assert (told.outcome, told.exit_code, told.rto_met) == ("restored", 0, True)
    assert told.recovery_seconds == 74.6
    assert told.downtime_seconds == 9.6
    assert told.human_wait_seconds == 45.0
    assert told.soak_seconds == 30.0
    assert told.total_seconds == 104.6
    assert told.kept == ("/var/lib/.pacs_recover/aside/queue",)
    assert {step.state for step in told.steps} == {"passed"}


@pytest.mark.parametrize(("rto", "met"), [(74.6, True), (74.599, False), (104.0, True)])
def test_the_rto_is_met_by_the_first_answer_and_not_by_the_end_of_the_soak(rto: float, met: bool) -> None:
    assert report.fold(story.restored(rto_seconds=rto).events).rto_met is met


def test_the_rto_is_shown_from_the_outage_as_well() -> None:
    late = report.fold(story.restored(since=START - timedelta(minutes=14)).events)
    assert (late.rto_met, late.outage_seconds, late.outage_rto_met) == (True, 914.6, False)
    without = report.fold(story.restored().events)
    assert (without.outage_seconds, without.outage_rto_met) == (None, None)


def test_downtime_of_a_rollback_ends_when_the_service_is_back_and_not_before() -> None:
    events = story.rolled_back().wait(100.0).end("rolled_back", 1).events
    assert report.fold(events).downtime_seconds == pytest.approx(9.6 + 10.0 + 4.0)


def test_an_open_question_counts_as_human_wait_while_somebody_is_there_to_hear_the_answer() -> None:
    events = Story().do(0, 1, 2).begin(3).events
    assert isinstance(events[-1], Asked)
    now = events[-1].at + timedelta(seconds=33)
    assert report.fold(events, alive=True, now=now).human_wait_seconds == 33.0
    assert report.fold(events, alive=False, now=now).human_wait_seconds == 0.0


def test_a_clock_that_is_behind_the_journal_takes_no_time_back() -> None:
    events = story.cut().events
    told = report.fold(events, alive=True, now=events[-1].at - timedelta(hours=3))
    assert told.total_seconds == pytest.approx(68.2)


def test_a_wall_clock_that_jumps_changes_no_duration() -> None:
    plain = report.fold(story.restored().events)
    jumped = report.fold(Story().do(*range(UP)).jump(-3600.0).do(UP, SOAK).end("restored", 0).events)
    assert jumped.total_seconds == plain.total_seconds
    assert jumped.downtime_seconds == plain.downtime_seconds


@pytest.mark.parametrize(("named", "clock"), [(True, 40.0), (True, 9e6), (False, 40.0)])
def test_a_run_resumed_after_a_reboot_counts_the_time_that_the_host_was_gone(named: bool, clock: float) -> None:
    """Also where the line that tells of the reboot is damaged, as its clock then runs backwards."""
    told = story.cut().reboot(240.0, clock).resume("resume").do(PUT, STARTS, UP, SOAK).end("restored", 0)
    events = [event for event in told.events if named or type(event).__name__ != "Resumed"]
    found = report.fold(events)
    assert (found.outcome, found.rto_met) == ("restored", True)
    assert found.recovery_seconds == pytest.approx(68.2 + 240.0 + 6.4)
    assert found.downtime_seconds == pytest.approx(3.2 + 240.0 + 6.4)
    assert found.steps[PUT].seconds == pytest.approx(0.4)
    assert found.steps[PUT].state == "passed"


def test_a_wall_clock_that_was_lost_with_the_power_takes_no_time_back() -> None:
    told = story.cut().reboot(-86400.0).resume("resume").do(PUT, STARTS, UP, SOAK).end("restored", 0)
    assert report.fold(told.events).recovery_seconds == pytest.approx(68.2 + 6.4)


def test_downtime_begins_with_the_first_stop_where_the_stop_itself_was_cut() -> None:
    told = Story().do(*range(DOWN)).begin(DOWN).wait(7.0).resume("resume")
    told.do(*range(DOWN, len(STEPS))).end("restored", 0)
    assert report.fold(told.events).downtime_seconds == pytest.approx(7.0 + 9.6)


def test_downtime_of_an_incomplete_rollback_runs_to_its_end_whatever_was_returned() -> None:
    told = Story().do(*range(SOAK)).fail(SOAK).undo(but="bring_back").wait(50.0).end("rollback_incomplete", 4)
    assert report.fold(told.events).downtime_seconds == pytest.approx(9.6 + 10.0 + 4.0 + 50.0)


def test_downtime_of_a_rollback_ends_when_the_last_service_is_back() -> None:
    told = story.two_services().wait(50.0).end("rolled_back")
    assert report.fold(told.events).downtime_seconds == pytest.approx(10.0 + 3.0)


def test_the_rollback_of_a_finished_run_counts_and_the_days_between_do_not() -> None:
    told = story.restored().wait(3 * 86400.0).resume().undo().end("rolled_back", 1, kept=("/kept",))
    found = report.fold(told.events)
    assert (found.outcome, found.rto_met, found.recovery_seconds, found.kept) == (
        "rolled_back",
        False,
        None,
        ("/kept",),
    )
    assert found.total_seconds == pytest.approx(104.6 + 4.0)
    assert found.downtime_seconds == pytest.approx(9.6 + 4.0)


def test_a_second_rollback_of_a_run_that_is_rolled_back_is_no_downtime() -> None:
    once = story.rolled_back()
    before = report.fold(once.events)
    twice = report.fold(once.wait(500.0).resume().wait(2.0).end("rolled_back").events)
    assert (twice.downtime_seconds, twice.total_seconds) == (before.downtime_seconds, before.total_seconds + 2.0)
