"""What front ends leave for a run's worker, a file each: answers (the first to a question counts), notes, a take-over.

They belong to the operator who started the run or took it up last. Another may watch, and answers only after taking
them over, which is journalled. Who it is, each front end says of itself: operators share root, and are not kept apart
by force.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from pacs_recover.errors import Refused
from pacs_recover.events import Answered, AnyEvent, Asked, Handed, Noted, Planned, Resumed
from pacs_recover.journal import Journal
from pacs_recover.model import UNDECODABLE
from pacs_recover.text import safe

A = TypeVar("A", "Answer", "TakeOver", "Remark")
LONGEST = 500
"""Characters of a note."""
POLL = 0.1
"""Seconds between two looks for an answer."""


class Answer(Struct, frozen=True):
    """What a front end writes."""

    yes: bool
    by: str


class TakeOver(Struct, frozen=True):
    """What a front end writes whose operator takes the questions over."""

    by: str


class Remark(Struct, frozen=True):
    """What a front end writes whose operator notes something for the record."""

    text: str
    by: str
    at: datetime


TAKE_OVER = re.compile(r"take-over-[0-9a-f]{16}")
NOTE = re.compile(r"note-[0-9]{20}-[0-9a-f]{8}")


def owner(found: Iterable[AnyEvent], before: str = "") -> str:
    """Whose the questions are after these events, and who had them before; empty where nobody is known to."""
    for event in found:
        match event:
            case Planned():
                before = event.request.operator
            case Resumed():
                before = event.operator
            case Handed():
                before = event.by
            case _:
                pass
    return before


def ask(timeout: float) -> dict[str, Any]:
    """A new question's id and deadline."""
    return {"question": os.urandom(8).hex(), "deadline": datetime.now(UTC) + timedelta(seconds=timeout)}


def give(run: Path, question: str, yes: bool, by: str) -> None:
    """Answer a run's open question. Refused where it was answered already; OSError."""
    _leave(run, question, Answer(yes, by))


def take_over(run: Path, by: str) -> None:
    """Ask the run's worker to take answers from this operator from now on. OSError."""
    _leave(run, f"take-over-{os.urandom(8).hex()}", TakeOver(by))


def remark(run: Path, text: str, by: str) -> Path:
    """Leave a note where the run's worker takes it up; the file is there until then. OSError."""
    name = f"note-{time.time_ns():020}-{os.urandom(4).hex()}"
    _leave(run, name, Remark(text, by, datetime.now(UTC)))
    return run / "answers" / name


def _leave(run: Path, name: str, said: Answer | TakeOver | Remark) -> None:
    home = run / "answers"
    temporary = home / f".{name}-{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, msgspec.json.encode(said))
    finally:
        os.close(fd)
    try:
        os.link(temporary, home / name)
    except FileExistsError as error:
        raise Refused("somebody answered this question first", "") from error
    finally:
        temporary.unlink()


def wait(run: Path, asked: Asked, journal: Journal) -> bool:
    """Wait for its owner's answer to this question until its deadline, and journal what came."""
    end = time.monotonic() + (asked.deadline - asked.at).total_seconds()
    answer = None
    while answer is None and time.monotonic() < end:
        take_up(run, journal)
        answer = _answer(run / "answers" / asked.question, owner(journal.events))
        if answer is None:
            time.sleep(POLL)
    said = answer or Answer(False, "")
    journal.write(Answered, title=asked.title, question=asked.question, yes=said.yes, by=safe(said.by, 80))
    return said.yes


def take_up(run: Path, journal: Journal) -> None:
    """Journal what was left for the worker, but for answers. OSError."""
    hand_over(run, journal)
    take_notes(run, journal)


def hand_over(run: Path, journal: Journal) -> None:
    """Journal that an operator took the questions over; each asking counts once."""
    for path in sorted((run / "answers").iterdir()):
        if TAKE_OVER.fullmatch(path.name):
            said = _read(path, TakeOver)
            if said:
                journal.write(Handed, by=safe(said.by, 80), before=owner(journal.events))
            path.unlink()


def take_notes(run: Path, journal: Journal) -> None:
    """Journal the notes that were left, oldest first; each is taken away once it is on disk. OSError."""
    for path in sorted((run / "answers").iterdir()):
        if NOTE.fullmatch(path.name):
            said = _read(path, Remark)
            if said:
                title, text = f"Note by {safe(said.by, 80) or 'unknown'}", safe(said.text, LONGEST)
                journal.write(Noted, topic="note", title=title, evidence=text, said_at=said.at)
            path.unlink()


def _answer(path: Path, owner: str) -> Answer | None:
    """The answer, if it is its owner's; another's is taken away, so that it bars nobody's."""
    said = _read(path, Answer)
    if said and owner and said.by != owner:
        path.unlink(missing_ok=True)
        return None
    return said


def _read(path: Path, kind: type[A]) -> A | None:
    """What was left there, if it is a regular file of ours; anything else is ignored."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        return msgspec.json.decode(os.read(fd, 4096), type=kind)
    except UNDECODABLE:
        return None
    finally:
        os.close(fd)
