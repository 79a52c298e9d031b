"""What is handed over of a run, whatever became of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pacs_recover import handover
from pacs_recover.events import Handed, Noted
from tests.report import story
from tests.report.story import STEPS, Story

PACE = {step.title: 2.0 for step in STEPS}


def told(of: Story, *, alive: bool = False, pace: dict[str, float] = PACE) -> str:
    """The lines."""
    now = of.at + timedelta(seconds=3)
    report = handover.report.fold(of.events, alive=alive, now=now, run=story.RUN)
    return "\n".join(handover.lines(report, of.events, pace, "pacs-recover", now))


def test_a_running_one_says_what_was_done_what_is_next_and_when_it_ends() -> None:
    text = told(Story().do(0, 1, 2, 3, 4).begin(5), alive=True)
    assert "Done: 5 of 10 steps, the last: Stop pacs_bridge" in text
    assert "Now: Set the live queue aside (3.0 s)" in text
    assert "Next: Put the restored queue in place, then 3 more steps" in text
    assert "ends at about 1:17, in 6.0 s" in text
    assert f"Follow it: pacs-recover attach {story.RUN}" in text


def test_an_end_that_is_late_or_unknown_is_told_so() -> None:
    told_of = Story().do(0).begin(1)
    assert "the RTO will be MISSED" in told(told_of, alive=True, pace=dict.fromkeys(PACE, 400.0))
    assert "when it ends is unknown" in told(told_of, alive=True, pace={})


def test_a_question_that_waits_and_whose_it_is_now() -> None:
    of = Story().do(0, 1, 2).begin(3)
    of.tell(Handed, by="berta", before="anna")
    text = told(of, alive=True)
    assert "Question that waits: 12 messages would be sent again" in text
    assert "begun by anna" in text
    assert "its questions are berta's now" in text


@pytest.mark.parametrize(
    ("of", "lines"),
    [
        (story.restored(), ["State: RESTORED in", "Undo it: pacs-recover rollback"]),
        (story.restored(mode="drill"), ["in its sandbox, none in production"]),
        (story.rolled_back(), ["State: ROLLED BACK", "Failed: PACS Bridge stays up", "Changes in force: none"]),
        (story.incomplete(), ["A person has to (1): move", "by hand: pacs-recover close"]),
        (story.cut(), ["Cut in: Put the restored queue in place", "resume", "Changes in force: 3 changes"]),
    ],
    ids=["restored", "drill", "rolled back", "incomplete", "cut"],
)
def test_every_end_says_how_to_go_on(of: Story, lines: list[str]) -> None:
    assert all(line in told(of) for line in lines)


def test_neither_a_secret_of_the_site_nor_what_people_noted_is_handed_over() -> None:
    of = Story().do(0)
    of.tell(Noted, topic="note", title="Note by anna", evidence="Mrs Example was called")
    text = told(of.begin(1), alive=True)
    assert "Notes: 1 note, in the report" in text
    assert "Example" not in text
    assert "hunter2" not in text
