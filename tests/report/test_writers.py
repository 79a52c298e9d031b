"""The written forms of a report, word for word where it matters, and what no outside text can do to them."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, timedelta, timezone
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_recover import report
from pacs_recover.events import Ended, Failed
from pacs_recover.journal import Damage
from pacs_recover.wrapping import columns
from tests.report import story
from tests.report.story import PUT, SOAK, START, Story

RESTORED = """\
RESTORED in 1:15, RTO 15:00 met

Run
  Run       20261110-020000-beef (live restore)
  Restores  queue
  Host      pacs1
  Operator  anna
  Started   2026-11-10 02:00:00 UTC (02:00 UTC)
  Ended     2026-11-10 02:01:44 UTC (02:01 UTC)

Times
  Start to answering   1:15 (RTO 15:00 met)
  Outage to answering  8:15 (RTO met from there as well)
  Downtime             9.6 s
  Soak                 30 s
  Waited for people    45 s
  Total                1:45

Steps
  ✓ passed  1   0.0 s           The host can take the restored files
      owner 990:990
  ✓ passed  2   20 s of 1:00    Unpack the queue
      3.1 MB
  ✓ passed  3   0.0 s           The restored database is whole
      integrity_check: ok
  ✓ passed  4   45 s            12 messages would be sent again
      12 resent: yes (anna)
  ✓ passed  5   3.0 s           Stop pacs_bridge
  ✓ passed  6   0.2 s           Set the live queue aside
  ✓ passed  7   0.4 s of 2.0 s  Put the restored queue in place
  ✓ passed  8   1.0 s           Start pacs_bridge
  ✓ passed  9   5.0 s           PACS Bridge runs and answers
      active/running
  ✓ passed  10  30 s            PACS Bridge stays up
      up for 30 s

Checks
  ✓ passed  Database integrity check passes
      integrity_check: ok
  ✓ passed  Service starts with restored data
      active/running

Backups
  queue  queue/20261110_010000@local
      taken 2026-11-10 01:00:00 UTC (01:00 UTC); 1.2 MB; SHA-256
      abababababababab…; no recorded hash; name: an hour from its mtime

Kept
  - /var/lib/.pacs_recover/aside/queue
"""

LEFT = """\
ROLLBACK INCOMPLETE: a person is needed

To do now, in this order
  1. move /aside/queue.db to /q.db
  2. then: pacs-recover rollback 20261110-020000-beef

What went wrong
  - PACS Bridge stays up: NRestarts went from 0 to 3
  - Next: see its log
"""

ROLLBACK = """\
Rollback, in the order it ran
  ↶ undone  Start pacs_bridge
      as it was
  ↶ undone  Put the restored queue in place
      as it was
  ✗ failed  Set the live queue aside
      the disk is gone
  ↶ undone  Stop pacs_bridge
      as it was
"""

CUT = """\
UNFINISHED: cut off in step 7 of 10; 3 changes not undone

To end this run, do one of
  - go on where it was cut: pacs-recover --state /s resume 20261110-020000-beef
  - take everything back: pacs-recover --state /s rollback 20261110-020000-beef
  - if a person put it right by hand: pacs-recover --state /s close
    20261110-020000-beef --why TEXT
"""

MARKDOWN = """\
| State | Change | Evidence |
| --- | --- | --- |
| • made | Stop pacs\\_bridge |  |
| • made | Set the live queue aside |  |
| • made | Put the restored queue in place |  |
"""


def _text(told: Story, **how: object) -> str:
    return report.as_text(report.fold(told.events), zone=UTC, **how)  # type: ignore[arg-type]


def test_a_restore_reads_like_this() -> None:
    assert _text(story.restored(since=START - timedelta(minutes=7))) == RESTORED


def test_what_is_left_to_do_comes_first() -> None:
    assert _text(story.incomplete()).startswith(LEFT)


def test_the_rollback_is_shown_in_the_order_in_which_it_ran() -> None:
    assert ROLLBACK in _text(story.incomplete())


def test_a_cut_run_says_how_it_is_ended_and_which_changes_stand() -> None:
    text = _text(story.cut(), command="pacs-recover --state /s")
    assert text.startswith(CUT)
    assert "Changes so far\n  • made  Stop pacs_bridge\n" in text
    assert "Downtime            at least 3.2 s" in text


def test_a_cut_run_that_had_failed_can_only_be_rolled_back_or_closed() -> None:
    assert "resume" not in _text(Story().do(*range(SOAK)).fail(SOAK))


def test_markdown_has_the_same_tables() -> None:
    markdown = report.as_markdown(report.fold(story.cut().events), zone=UTC)
    assert markdown.startswith("# UNFINISHED: cut off in step 7 of 10; 3 changes not undone\n")
    assert MARKDOWN in markdown


@pytest.mark.parametrize(
    ("told", "alive", "expected"),
    [
        (story.restored(rto_seconds=60.0), False, "RESTORED in 1:15, RTO 1:00 MISSED by 15 s"),
        (story.restored(rto_seconds=74.6), False, "RESTORED in 1:15, RTO 1:15 met"),
        (story.restored(mode="drill"), False, "DRILL RESTORED in 1:15, RTO 15:00 met"),
        (story.rolled_back(), False, "ROLLED BACK after 1:29: the site is as it was"),
        (Story().fail(0).end("failed_untouched", 6), False, "FAILED after 10 s: nothing was changed"),
        (Story().fail(0).end("interrupted", 130), False, "INTERRUPTED after 10 s: nothing was changed"),
        (story.cut().end("closed", 0), False, "CLOSED by hand"),
        (story.cut(), True, "RUNNING for 1:08 in step 7 of 10, RTO 15:00: 13:52 left"),
        (
            Story(rto_seconds=60.0).do(0, 1, 2, 3),
            True,
            "RUNNING for 1:05 before step 5 of 10, RTO 1:00 MISSED by 5.0 s",
        ),
        (Story().do(*range(SOAK)), True, "RUNNING for 1:15 before step 10 of 10, RTO 15:00: answered after 1:15"),
        (Story().do(*range(SOAK)).fail(SOAK), True, "ROLLING BACK for 1:25, RTO 15:00: 13:35 left"),
        (Story().do(0).begin(1), False, "UNFINISHED: cut off in step 2 of 10; nothing was changed"),
        (Story().do(*range(SOAK)).fail(SOAK).undo(), False, "UNFINISHED: cut off; every change was undone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_headline_says_how_it_went(told: Story, alive: bool, expected: str) -> None:
    assert report.headline(report.fold(told.events, alive=alive, now=told.at)) == expected


def test_a_journal_that_lost_its_first_line_is_reported_as_far_as_it_goes() -> None:
    damage = [Damage(1, "its checksum does not match")]
    text = report.as_text(report.fold(story.cut().events[1:], damage, run="some-run"), zone=UTC)
    assert "Run       some-run (live restore)" in text
    assert "Journal lines that could not be read\n  - line 1: its checksum does not match\n" in text


def test_a_step_over_its_budget_is_shown_to_be() -> None:
    told = Story().do(*range(PUT)).begin(PUT).wait(130.0)
    told.do(PUT)
    told.begin(PUT).wait(130.0).tell(Failed, title=story.STEPS[PUT].title, evidence="no room")
    assert "2:10 of 2.0 s OVER" in _text(told)


def test_times_are_given_in_local_time_as_well() -> None:
    seoul = timezone(timedelta(hours=9), "KST")
    text = report.as_text(report.fold(story.restored().events), zone=seoul)
    assert "Started   2026-11-10 02:00:00 UTC (11:00 KST)" in text


def test_json_is_the_report_itself_and_says_nothing_of_the_site_file() -> None:
    told = report.fold(story.restored().events)
    assert msgspec.convert(json.loads(report.as_json(told)), report.Report) == told
    for write in (report.as_json, report.as_text, report.as_markdown, report.as_html):
        assert "hunter2" not in write(told)


TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "ul", "ol", "li", "dl", "dt", "dd"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}


class Markup(HTMLParser):
    """What a browser would make of a page: its tags in balance, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_page_stands_alone() -> None:
    page = report.as_html(report.fold(story.rolled_back().events), zone=UTC)
    seen = Markup(page)
    assert seen.open == []
    assert seen.tags <= TAGS
    assert seen.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    assert "http:" not in page
    assert "https:" not in page
    assert "@media print" in page
    assert "ROLLED BACK after 1:29: the site is as it was" in seen.text


HOSTILE = "</td><script>alert(1)</script> | **b** [x](y) \x1b[31m \x9b \u202e \u2028 `c`\n# h"


def _hostile(evil: str) -> report.Report:
    told = Story(run=evil, operator=evil, host=evil, components=(evil,)).fail(0, evil)
    told.end("rollback_incomplete", 4, evidence=evil, left=(evil,), kept=(evil,))
    return report.fold(told.events, [Damage(1, evil)])


def test_outside_text_does_nothing_in_any_form() -> None:
    told = _hostile(HOSTILE)
    page = Markup(report.as_html(told))
    assert page.open == []
    assert "script" not in page.tags
    assert "<script" not in report.as_markdown(told).replace("\\<", "")
    assert "| **" not in report.as_markdown(told).replace("\\|", "").replace("\\*", "")
    for write in (report.as_text, report.as_markdown, report.as_html, report.as_json):
        assert not {char for char in write(told) if char != "\n" and unicodedata.category(char)[0] in "CZ"} - {" "}


@given(st.text(max_size=300), st.integers(40, 120))
def test_no_text_is_wider_than_the_terminal_unless_a_word_is(evil: str, width: int) -> None:
    for each in report.as_text(_hostile(evil), width=width, zone=UTC).splitlines():
        assert columns(each) <= width or len(each.split()) == 1


@given(st.text(max_size=200))
def test_any_text_leaves_the_page_in_balance(evil: str) -> None:
    assert Markup(report.as_html(_hostile(evil))).open == []


def test_a_question_that_was_declined_is_a_failure_with_what_was_asked() -> None:
    told = Story().do(0, 1, 2).fail(3, "12 messages would be sent again: declined by anna")
    text = _text(told.tell(Ended, outcome="failed_untouched", exit_code=5))
    assert "12 resent: 12 messages would be sent again: declined by anna" in text


def test_a_run_taken_up_again_says_by_whom_and_when() -> None:
    text = _text(story.incomplete().wait(600.0).resume().undo().end("rolled_back"))
    assert "Rollback  2026-11-10 02:11:28 UTC (02:11 UTC) by bert" in text
