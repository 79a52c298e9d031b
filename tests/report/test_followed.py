"""A followed run: one line an event."""

from __future__ import annotations

import json

from pacs_recover import report
from pacs_recover.events import Failed, Progress
from tests.report import story
from tests.report.story import ASIDE, RUN, SOAK, START, STEPS, Story

LINES = """\
▸ planned  run 20261110-020000-beef: live restore of queue; 10 steps, RTO 15:00
▸ began    6/10 Set the live queue aside
• changes  Set the live queue aside
✓ passed   6/10 Set the live queue aside  0.2 s
▸ began    10/10 PACS Bridge stays up
✗ FAILED   10/10 PACS Bridge stays up  10 s  NRestarts went from 0 to 3  next: see its log
↶ undone   Set the live queue aside  as it was
▸ taken up by bert to roll back
■ ended    ROLLBACK INCOMPLETE  gone  to do: move it; then: start it"""


def test_a_run_reads_like_this() -> None:
    told = Story().do(ASIDE).fail(SOAK).undo().resume()
    told.end("rollback_incomplete", 4, evidence="gone", left=("move it", "then: start it"))
    teller = report.Teller()
    assert [teller.line(event) for event in told.events] == LINES.splitlines()


def test_a_question_shows_its_details_and_until_when_it_waits() -> None:
    teller = report.Teller(total=10)
    asked, answered = [teller.line(event) for event in Story().do(3).events][2:4]
    assert asked.startswith(
        "? asked    4/10 12 messages would be sent again  12 resent  answer by 2026-11-10 02:10:00 UTC"
    )
    assert answered == "✓ answered 4/10 12 messages would be sent again  yes (anna)"


def test_progress_says_how_much_of_how_much() -> None:
    def told(done: float, total: float | None, unit: str) -> str:
        return report.line(Progress(at=START, clock=0.0, step=1, title="T", done=done, total=total, unit=unit), 10)

    assert told(1e6, 2e6, "bytes") == "… progress 2/10 T  1.0 MB of 2.0 MB"
    assert told(1e6, None, "bytes") == "… progress 2/10 T  1.0 MB"
    assert told(12, 30, "seconds") == "… progress 2/10 T  12 s of 30 s"
    assert told(7, 9, "files") == "… progress 2/10 T  7 of 9 files"


def test_a_line_without_a_known_number_of_steps_names_none() -> None:
    assert report.line(Story().do(0).events[1]) == "▸ began    The host can take the restored files"


def test_a_step_that_another_process_began_has_no_seconds() -> None:
    told = Story().begin(0).reboot(100.0, 9e6).resume("resume")
    told.step = 0
    told.tell(Failed, title=STEPS[0].title, evidence="gone")
    teller = report.Teller()
    assert [teller.line(event) for event in told.events][
        -1
    ] == "✗ FAILED   1/10 The host can take the restored files  gone"


def test_outside_text_cannot_leave_its_line() -> None:
    told = Story().fail(0, "a\nb\x1b[2Jc\u202e")
    assert report.line(told.events[-1]).endswith("a b\\x1b[2Jc\\u202e  next: see its log")


def test_every_json_line_has_the_keys_of_the_contract_and_no_internals() -> None:
    lines = [report.line_json(event) for event in story.incomplete().events]
    for each in lines:
        assert {"kind", "at", "step", "title", "evidence", "n", "clock"} <= set(each)
        assert not {"request", "args"} & set(each)
    assert "hunter2" not in json.dumps(lines)
    kinds = {each["kind"] for each in lines}
    assert kinds == {"planned", "began", "sealed", "passed", "asked", "answered", "effect", "failed", "undone", "ended"}


def test_the_planned_line_is_what_the_steps_are_counted_in() -> None:
    planned, began = [report.line_json(event) for event in Story().begin(2).events]
    assert (planned["run"], planned["n"], planned["rto_seconds"]) == (RUN, 0, 900.0)
    assert planned["steps"][began["step"]] == {
        "title": "The restored database is whole",
        "kind": "check",
        "budget_seconds": None,
        "covers": "Database integrity check passes",
    }


def test_a_line_tells_what_is_not_there_too() -> None:
    ended = report.line_json(Story().end("restored", 0).events[-1])
    assert (ended["left"], ended["kept"], ended["outcome"], ended["exit_code"]) == ([], [], "restored", 0)
    assert ended["at"] == "2026-11-10T02:00:00Z"
