"""What screens decide to show, as plain functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pacs_recover import app, pace, standing
from pacs_recover.audit.checking import Finding, Verified
from pacs_recover.catalog import Catalog
from pacs_recover.errors import Refused
from pacs_recover.events import Asked, Drill, Planned, Progress, StepLine
from pacs_recover.model import COMPONENTS, Fact, Preview
from pacs_recover.screens import audit_view, catalog_view, choosing, overview_view, plan_view, report, run_view
from pacs_recover.screens.ages import minute, short_age
from pacs_recover.screens.choosing import Choosing
from pacs_recover.screens.commands import matching
from pacs_recover.screens.gathered import Gathered
from pacs_recover.session import OpenRun
from pacs_recover.site import Site
from pacs_recover.text import stamp
from pacs_recover.widgets.edges import LEAST, fitting
from pacs_recover.widgets.line import Line, cells, fit, stated
from tests.report import story
from tests.screens.acted import BACKUPS, BUCKET, NOW, PACE, RECORDS, RUN, backup, plan, report_of

ESCAPE = "\x1b[31mred\x1b[0m\u202egnp"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (89, "89s"), (5399, "90min"), (5400, "2h"), (172799, "48h"), (172800, "2d"), (-5, "AHEAD")],
)
def test_ages_fit_five_columns(seconds: float, said: str) -> None:
    assert short_age(seconds) == said


def test_a_time_is_told_in_utc_whatever_its_zone() -> None:
    assert minute(datetime(2026, 1, 1, 1, 30, tzinfo=UTC).astimezone()) == "2026-01-01 01:30"


@pytest.mark.parametrize(
    ("size", "said"), [(None, "?"), (0, "0B"), (1, "1B"), (999, "999B"), (3_490, "3.5kB"), (465_400, "465kB")]
)
def test_sizes_fit_six_columns(size: int | None, said: str) -> None:
    assert catalog_view.short_size(size) == said
    assert len(catalog_view.short_size(size)) <= 6


def test_a_line_wraps_behind_its_start_and_breaks_what_has_no_room() -> None:
    assert Line("one two three", start="  - ").wrapped(10) == ["  - one", "    two", "    three"]
    assert Line("x" * 25).wrapped(10) == ["x" * 10, "x" * 10, "x" * 5]
    assert Line("  two  spaces", fixed=True).wrapped(40) == ["  two  spaces"]


def test_no_escape_sequence_and_no_bidirectional_trick_gets_into_a_line() -> None:
    for rows in (Line(ESCAPE).wrapped(80), Line(ESCAPE, fixed=True).wrapped(80), [cells((ESCAPE, 60))]):
        assert all("\x1b" not in row and "\u202e" not in row for row in rows)
        assert "\\x1b[31mred" in rows[0]


def test_wide_characters_are_cut_by_the_columns_they_take() -> None:
    assert fit("病院病院", 5) == "病院…"
    assert cells(("病院", 6), ("x", 3)) == "病院   x"


@pytest.mark.parametrize(("state", "start"), [("ok", "  ✓ "), ("warn", "  ! "), ("bad", "  ✗ ")])
def test_a_state_is_a_symbol_and_where_it_is_not_fine_a_word(state: str, start: str) -> None:
    line = stated(state, "it")
    assert line.start == start
    assert line.text == {"ok": "it", "warn": "LOOK: it", "bad": "BAD: it"}[state]


def test_a_filter_wants_every_word_in_any_order() -> None:
    assert catalog_view.matching(BACKUPS, "2026-11-23 config") == [BACKUPS[2]]
    assert catalog_view.matching(BACKUPS, "ODD") == [BACKUPS[3]]
    assert catalog_view.matching(BACKUPS, "") == list(BACKUPS)
    assert catalog_view.matching(BACKUPS, "queue nowhere") == []


@pytest.mark.parametrize(
    ("number", "note"), [(0, ""), (3, "ODD"), (4, "enc"), (5, "aside")], ids=["plain", "odd", "encrypted", "aside"]
)
def test_a_row_notes_the_one_thing_to_know_before_it_is_opened(number: int, note: str) -> None:
    row = catalog_view.row(BACKUPS[number], NOW, 45, chosen=False).text
    assert row.endswith(note) if note else row.endswith("kB")
    assert len(row) <= 43


def test_a_backup_that_cannot_be_read_now_says_so_first() -> None:
    assert (
        catalog_view.notes(backup("queue", 1, "db.gz", readable=False, findings=(Fact("x", "y", "warn"),))) == "UNREAD"
    )


def test_what_a_bucket_or_a_commit_tells_of_an_entry_is_no_oddity() -> None:
    notes = [catalog_view.notes(one) for one in BUCKET]
    assert notes == ["", "COLD", "THAWING", "DELETED", "OLDER", ""]
    assert [catalog_view.row(one, NOW, 46, chosen=False).look for one in BUCKET] == ["", *["warn"] * 4, ""]
    assert all(
        catalog_view.row(one, NOW, 46, chosen=False).text.endswith(note)
        for one, note in zip(BUCKET, notes, strict=True)
    )
    assert catalog_view.matching(BUCKET, "other port") == [BUCKET[5]]
    assert catalog_view.matching(BUCKET, "deleted") == [BUCKET[3]]


def test_the_worst_fact_of_a_preview_comes_first_and_names_the_verdict() -> None:
    seen = Preview((Fact("fine", "yes"), Fact("odd", "a bit", "warn"), Fact("broken", "very", "bad")))
    texts = [line.text for line in catalog_view.pane(BACKUPS[0], seen, "", "")]
    assert "BAD: it must not be restored" in texts
    assert [text for text in texts if text.startswith(("BAD: broken", "LOOK: odd", "fine"))] == [
        "BAD: broken: very",
        "LOOK: odd: a bit",
        "fine: yes",
    ]


def test_a_component_without_a_backup_is_told_only_when_every_source_has_answered() -> None:
    gathered = Gathered()
    status = {
        "components": [
            {"component": name, "taken_at": None, "age_seconds": None, "rpo_seconds": 3600.0, "state": "bad"}
            | {"verdict": "never", "verified": None}
            for name in overview_view.PARTS
        ]
    }
    gathered.expect({"nas"})
    assert "reading" in overview_view.rows(status, gathered, NOW)[0].text
    gathered.add("nas", Catalog((), ()))
    assert "NO BACKUP" in overview_view.rows(status, gathered, NOW)[0].text


@pytest.mark.parametrize(
    ("verdict", "age", "said", "look"),
    [
        ("good", 60, ("✓ fresh", "✓ good, 2h ago"), "ok"),
        ("never", 60, ("✓ fresh", "· never"), "ok"),
        ("failed", 60, ("✓ fresh", "✗ BAD"), "bad"),
        ("stale", 7200, ("! OLDER than RPO", "✗ CHANGED since"), "bad"),
        ("good", 7200, ("! OLDER than RPO", "✓ good, 2h ago"), "warn"),
    ],
)
def test_a_component_says_whether_its_newest_backup_is_fresh_and_what_its_verification_found(
    verdict: str, age: float, said: tuple[str, str], look: str
) -> None:
    row = {"component": "queue", "taken_at": stamp(NOW - timedelta(seconds=age)), "age_seconds": age}
    row |= {"rpo_seconds": 3600.0, "verdict": verdict, "verified": stamp(NOW - timedelta(hours=2)), "state": look}
    line = overview_view.rows({"components": [row]}, Gathered(), NOW)[2]
    assert line.text.endswith(f"{said[0]:17} {said[1]}")
    assert line.look == look


def test_the_overview_has_a_row_for_every_component() -> None:
    assert overview_view.PARTS == COMPONENTS


def test_the_overview_has_the_sentences_of_status_on_verification_and_drill() -> None:
    site = Site()
    row = {"verification": {"state": "bad", "sentence": "OVERDUE: the last verification was 9 days ago"}}
    lines = overview_view.proofs({**row, "drill": standing.drill(site, [])})
    assert [line.look for line in lines] == ["title", "bad", "warn"]
    assert lines[2].text == "LOOK: drill: OVERDUE: there was no drill yet"
    assert overview_view.proofs(None)[1].text == "reading…"


@pytest.mark.parametrize(
    ("found", "said", "look"),
    [
        (None, "checking", ""),
        (Verified(records=3, findings=(), anchors=(), proven_to=2), "VERIFIED", "good"),
        (Verified(records=3, findings=(), anchors=(), proven_to=None), "UNPROVEN", "warn"),
        (Verified(records=0, findings=(), anchors=(), proven_to=None), "no records", "warn"),
        (Verified(records=3, findings=(Finding("order", "x", "y"),), anchors=(), proven_to=2), "DAMAGED", "bad"),
    ],
)
def test_the_audit_is_verified_unproven_or_damaged_in_words(found: Verified | None, said: str, look: str) -> None:
    first = audit_view.summary(found)[0]
    assert said in first.text
    assert first.look == look


def test_a_record_tells_the_uid_as_a_fact_and_the_rest_as_claimed() -> None:
    texts = [line.text for line in audit_view.whole(RECORDS[2])]
    assert "plan 4f2a77b1; record 2, 2026-11-23 02:04:05 UTC (02:04 UTC), ticket INC-42" in texts
    assert "root (uid 0), process 4711 on pacs1" in texts
    assert "claimed: login anna (uid 1000), sudo from anna (1000), ssh from 10.0.0.9 4711" in texts
    assert audit_view.row(RECORDS[4]).look == "warn"
    assert "anna" in audit_view.row(RECORDS[0]).text


def test_a_run_that_goes_on_is_told_with_its_operator_host_and_since_when() -> None:
    (line,) = overview_view.banner([OpenRun(RUN, "berta", "running", "pacs2", NOW)], False, False, "")
    assert "of berta IS GOING ON: press a to watch it (on pacs2 since 2026-11-23 03:04:05 UTC (03:04 UTC))" in line.text


def test_a_command_that_has_the_site_and_a_key_without_a_copy_are_told_on_the_overview() -> None:
    status = {
        "services": [],
        "locks": [
            {"what": "run 1", "operator": "anna", "host": "pacs1"},
            {"what": "backup.sh", "operator": "root", "host": "pacs1"},
        ],
        "findings": [
            {"label": "key copy", "value": "alone", "state": "warn"},
            {"label": "read-only", "value": "kept", "state": "ok"},
        ],
    }
    texts = [line.text for line in overview_view.services(status)][1:]
    assert texts == ["backup.sh of root on pacs1 holds the site", "LOOK: key copy: alone"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("running", "IS GOING ON: press a to watch it"),
        ("unfinished", "DID NOT END: press a to see it, then u to go on or b to roll back"),
        ("rollback_incomplete", "ROLLBACK INCOMPLETE. Press a to see what is left"),
        ("unreadable", "holds this site"),
    ],
)
def test_the_banner_says_who_and_what_to_press(outcome: str, said: str) -> None:
    lines = overview_view.banner([OpenRun(RUN, "anna", outcome)], False, False, "pacs-recover")
    assert said in lines[0].text
    assert "of anna" in lines[0].text


def test_the_banner_of_a_read_only_console_names_no_key_that_does_nothing() -> None:
    lines = overview_view.banner([OpenRun(RUN, "anna", "unfinished")], True, False, "pacs-recover")
    assert lines[0].text.endswith("press a to see it")


def test_not_being_root_is_told_with_the_line_to_type() -> None:
    lines = overview_view.banner((), False, True, "pacs-recover --site /x")
    assert "needs root" in lines[0].text
    assert lines[1].text == "sudo pacs-recover --site /x"


CATALOG = Catalog(tuple(sorted(BACKUPS, key=lambda found: found.taken_at, reverse=True)), ())


def test_a_recovery_set_begins_with_the_newest_and_never_with_what_was_set_aside() -> None:
    chosen = Choosing.of(CATALOG, ("queue", "certs"), {})
    assert chosen.backups == (BACKUPS[4], BACKUPS[0])
    assert chosen.picked["config"] == BACKUPS[2], "a row that is left out shows its newest all the same"


def test_older_and_newer_stop_at_the_ends() -> None:
    chosen = Choosing.of(CATALOG, ("queue",), {})
    chosen.step("queue", -1)
    assert chosen.backups == (BACKUPS[0],)
    for _ in range(9):
        chosen.step("queue", 1)
    assert chosen.backups == (BACKUPS[5],)
    assert "set aside by a run" in choosing.rows(chosen, NOW)[2].text


def test_same_time_takes_of_the_others_what_was_newest_then() -> None:
    chosen = Choosing.of(CATALOG, ("config", "queue"), {"config": BACKUPS[2]})
    chosen.align("config")
    assert chosen.picked["queue"] == BACKUPS[1]


def test_sets_that_belong_together_are_taken_one_after_the_other() -> None:
    chosen = Choosing.of(CATALOG, ("queue",), {})
    told = [line.text for line in choosing.below(chosen, "queue")]
    assert "Sets that belong together: t takes the next" in told
    taken = chosen.take()
    assert taken is not None
    assert taken.anchor == BACKUPS[2].taken_at
    assert chosen.backups == (BACKUPS[2], BACKUPS[1]), "there were no certificates yet"
    told = [line.text for line in choosing.below(chosen, "queue") if line.start == "  • "]
    assert told[-1] == "2026-11-23 01:58 UTC: config 0s, queue 24min before"
    while chosen.taken:
        chosen.take()
    assert chosen.picked == {"config": BACKUPS[2], "certs": BACKUPS[4], "queue": BACKUPS[0]}


def test_a_set_that_is_days_apart_warns() -> None:
    told = choosing.skew((BACKUPS[0], backup("config", 60, "tar.gz")))
    assert "2 days apart" in told[0].text
    assert choosing.skew((BACKUPS[0], BACKUPS[1]))[0].text == "taken within 60min of each other"


def test_a_backup_named_by_its_path_can_be_chosen_though_no_source_lists_it() -> None:
    stranger = backup("queue", 5, "db.gz", source="file")
    chosen = Choosing.of(CATALOG, (), {"queue": stranger})
    assert chosen.backups == (stranger,)
    assert chosen.options("queue")[0] == stranger


def test_a_plan_predicts_only_from_steps_that_it_knows() -> None:
    steps = plan((BACKUPS[0],)).steps
    assert pace.predicted(steps, PACE) == 16.0
    assert pace.predicted_downtime(steps, PACE) == 10.0
    assert pace.predicted(steps, {}) is None


def test_replay_numbers_that_are_unknown_are_told_as_unknown() -> None:
    unknown = {"resent": None, "dead_lettered": None, "lost_since": None}
    lines = plan_view.lines(msgspec.structs.replace(plan((BACKUPS[0],)), replay=unknown), False)
    assert sum("UNKNOWN" in line.text for line in lines) == 3


def clock(told: story.Story, seconds: float, pace: dict[str, float]) -> Line:
    """The clock so many seconds after the story's last event."""
    now = told.at + timedelta(seconds=seconds)
    return run_view.clock(report_of(told.events, alive=True, now=now), pace, told.events)


@pytest.mark.parametrize(
    ("seconds", "look", "said"),
    [
        (4, "ok", "ends at about 34 s"),
        (700, "warn", "CLOSE, ends at about 12:10"),
        (875, "warn", "will be MISSED, ends at about 15:05"),
        (900, "bad", "RTO MISSED by 20 s"),
    ],
)
def test_the_clock_is_amber_before_the_rto_is_missed_and_red_when_it_is(seconds: float, look: str, said: str) -> None:
    line = clock(story.Story().do(0, 1).begin(2), seconds, PACE)
    assert (line.look, said in line.text) == (look, True), line.text


def test_the_clock_never_guesses_an_end() -> None:
    assert "end unknown" in clock(story.Story().do(0, 1).begin(2), 4, {}).text


def limits(taken: float, **more: float) -> story.Story:
    """A first run here: its plan took so long to read, its services may take so long to stop, start and answer."""
    told = story.Story(reading_seconds=taken)
    budgets = {"Stop pacs_bridge": 90.0, "Start pacs_bridge": 60.0, "PACS Bridge runs and answers": 60.0} | more
    first = told.events[0]
    assert isinstance(first, Planned)
    steps = (StepLine(title=s.title, kind=s.kind, phase=s.phase, budget=budgets.get(s.title)) for s in first.steps)
    told.events[0] = msgspec.structs.replace(first, steps=tuple(steps))
    return told


@pytest.mark.parametrize(
    ("reading", "seconds", "look", "said"),
    [
        (40.0, 4, "ok", "ends by 4:10 (no earlier run)"),
        (400.0, 100, "ok", "ends by 10:10 (no earlier run)"),
        (600.0, 4, "warn", "CLOSE, ends by 13:30 (no earlier run)"),
        (800.0, 4, "warn", "may be MISSED, ends by 16:50 (no earlier run)"),
    ],
)
def test_without_earlier_runs_the_end_is_told_by_the_plan_s_reading_and_the_services_limits(
    reading: float, seconds: float, look: str, said: str
) -> None:
    told = limits(reading).begin(0)
    line = clock(told, seconds, {})
    assert (line.look, said in line.text) == (look, True), line.text
    assert len(line.start + line.text) <= 78


def test_a_step_that_reads_is_told_by_its_own_rate_whatever_earlier_runs_took() -> None:
    told = story.Story().do(0).begin(1)
    told.wait(100.0).tell(Progress, title="Unpack the queue", done=25.0, total=100.0, unit="bytes")
    assert "ends at about 6:52" in clock(told, 0, PACE).text, "three times as much is left, then six steps"


def test_what_was_carried_or_drilled_the_first_time_has_no_known_end() -> None:
    assert "end unknown" in clock(story.Story(reading_seconds=3.0, mode="drill").begin(0), 4, {}).text
    told = limits(3.0)
    first = told.events[0]
    assert isinstance(first, Planned)
    carrying = (*first.steps[:6], StepLine(title="Add the messages", phase="carry"), *first.steps[6:])
    told.events[0] = msgspec.structs.replace(first, steps=carrying)
    assert "end unknown" in clock(told.begin(0), 4, {}).text


def test_the_clock_of_a_soak_says_that_it_answered_in_time() -> None:
    line = clock(story.Story().do(*range(9)).begin(9), 3, PACE)
    assert line.text == "answered after 1:15, RTO 15:00 met; it has to stay up: 3 s"


def test_the_cursor_follows_the_step_then_the_rollback() -> None:
    assert run_view.current(report_of(story.Story().do(0, 1).begin(2).events, alive=True)) == 2
    failed = story.Story().do(*range(9)).fail(9)
    rows = run_view.checklist(report_of(failed.events, alive=True))
    assert "Start pacs_bridge" in rows[run_view.current(report_of(failed.events, alive=True))].text
    assert "Rollback, newest change first" in rows[10].text


def test_the_rows_of_a_rollback_say_what_is_undone_and_what_could_not_be() -> None:
    texts = [line.text for line in run_view.checklist(report_of(story.incomplete().events))]
    assert any("NOT UNDONE Set the live queue aside: the disk is gone" in text for text in texts)
    assert sum("↶ undone     " in text for text in texts) == 3


def test_after_a_bad_end_the_first_thing_told_is_what_a_person_has_to_do() -> None:
    texts = [line.text for line in run_view.ending(report_of(story.incomplete().events), "")]
    assert texts[:2] == ["A PERSON HAS TO, in this order:", "move /aside/queue.db to /q.db"]
    assert "NRestarts went from 0 to 3" in texts


def test_a_good_end_says_nothing_more() -> None:
    assert run_view.ending(report_of(story.restored().events), "") == []


def test_a_worker_that_is_gone_leaves_its_last_words_and_what_is_in_force() -> None:
    texts = [line.text for line in run_view.ending(report_of(story.cut().events), "MemoryError")]
    assert texts[0] == "Its worker is gone: MemoryError"
    assert "3 changes in force" in texts[1]


def test_a_question_names_its_keys_and_its_deadline() -> None:
    events = story.Story().do(0, 1, 2).begin(3).events
    asked = next(event for event in events if isinstance(event, Asked))
    text = " ".join(line.text for line in run_view.question(asked))
    assert "A to ACCEPT" in text
    assert "D to DECLINE" in text
    assert "2026-11-10 02:10:20 UTC" in text


def test_the_report_on_the_screen_is_the_printed_one() -> None:
    from pacs_recover.report import as_text

    told = report_of(story.rolled_back().events)
    assert [line.text for line in report.lines(told, 78)] == as_text(told, 78).splitlines()
    assert report.lines(told, 78)[0].look == "bad"


def test_the_palette_finds_by_any_word() -> None:
    commands = [("c", "All backups of all sources", "catalog"), ("p", "Plan a restore", "plan")]
    assert matching(commands, "REST plan") == [commands[1]]
    assert matching(commands, "zebra") == []


def test_of_too_many_keys_the_screens_own_stay_longest() -> None:
    keys = [("a", "arm"), ("r", "reread"), ("esc", "back"), ("y", "cmd"), ("^p", "all"), ("?", "help"), ("q", "quit")]
    assert fitting(keys, 80) == keys
    assert [word for _, word in fitting(keys, 40)] == ["arm", "back", "cmd", "help", "quit"]
    assert set(LEAST) == {"all", "reread", "cmd"}


@pytest.mark.parametrize(("environ", "slow"), [({}, False), ({"SSH_CONNECTION": "x"}, True), ({"SSH_TTY": "x"}, True)])
def test_a_remote_terminal_is_a_slow_one(environ: dict[str, str], slow: bool) -> None:
    assert app.is_slow(environ) is slow


@pytest.mark.parametrize(
    ("environ", "slow", "theme"),
    [
        ({"TERM": "xterm-256color"}, False, app.FULL),
        ({"TERM": "xterm-256color"}, True, app.ANSI),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False, app.ANSI),
        ({"TERM": "linux"}, False, app.ANSI),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, False, app.FULL),
    ],
)
def test_sixteen_colours_where_more_are_not_wanted_or_not_there(
    environ: dict[str, str], slow: bool, theme: str
) -> None:
    assert app.theme_of(environ, slow) == theme


@pytest.mark.parametrize(("term", "interactive"), [("dumb", True), ("", True), ("xterm", False)])
def test_a_terminal_that_cannot_show_the_console_is_refused_with_the_commands(term: str, interactive: bool) -> None:
    with pytest.raises(Refused) as refused:
        app.refuse_terminal({"TERM": term}, interactive)
    assert "pacs-recover status" in refused.value.hint


def test_without_earlier_runs_a_plan_tells_what_it_measured_itself() -> None:
    quick, slow = pace.measured(2.0, 30_000_000), pace.measured(1000.0, 50_000_000_000)
    said = pace.expectation(None, None, 900, quick)
    assert said.value.endswith("reading the backups alone takes about 2.0 s (15.0 MB/s), as this plan measured")
    assert said.state == "ok"
    told = pace.expectation(None, None, 900, slow)
    assert "16:40 (50.0 MB/s), as this plan measured; that alone would MISS it" in told.value
    assert told.state == "warn"
    assert "measured" not in pace.expectation(100.0, 5.0, 900, slow).value, "earlier runs know better"
    assert pace.measured(None, 1) is None
    assert pace.measured(0.1, 1) is None, "it says nothing"


def test_a_drill_that_was_cut_leaves_nothing_to_take_back() -> None:
    told = story.Story(mode="drill", drill=Drill(sandbox="process")).do(0, 1, 2, 3, 4).begin(5)
    report = report_of(told.events)
    texts = [line.text for line in run_view.ending(report, "")]
    assert "nothing of production was changed: the next drill removes its sandbox" in texts
    assert "into a sandbox, production is not touched" in run_view.head(report_of(told.events, alive=True)).text
