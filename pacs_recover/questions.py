"""Questions that a run puts to whoever follows it: one random id each, one file per answer, the first one counts."""

from __future__ import annotations

import os
import secrets
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pacs_recover.errors import Refused
from pacs_recover.events import Answered, Asked
from pacs_recover.journal import Journal
from pacs_recover.model import UNDECODABLE
from pacs_recover.text import safe

POLL = 0.1
"""Seconds between two looks for an answer."""


class Answer(Struct, frozen=True):
    """What a front end writes."""

    yes: bool
    by: str


def ask(timeout: float) -> dict[str, Any]:
    """A new question's id and deadline."""
    return {"question": secrets.token_hex(8), "deadline": datetime.now(UTC) + timedelta(seconds=timeout)}


def give(run: Path, question: str, yes: bool, by: str) -> None:
    """Answer a run's open question. Refused where it was answered already; OSError."""
    home = run / "answers"
    temporary = home / f".{question}-{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, msgspec.json.encode(Answer(yes, by)))
    finally:
        os.close(fd)
    try:
        os.link(temporary, home / question)
    except FileExistsError as error:
        raise Refused("somebody answered this question first", "") from error
    finally:
        temporary.unlink()


def wait(run: Path, asked: Asked, journal: Journal) -> bool:
    """Wait for the answer to this question until its deadline, and journal what came."""
    end = time.monotonic() + (asked.deadline - asked.at).total_seconds()
    answer = None
    while answer is None and time.monotonic() < end:
        answer = _read(run / "answers" / asked.question)
        if answer is None:
            time.sleep(POLL)
    said = answer or Answer(False, "")
    journal.write(Answered, title=asked.title, question=asked.question, yes=said.yes, by=safe(said.by, 80))
    return said.yes


def _read(path: Path) -> Answer | None:
    """The answer, if it is a regular file of ours; anything else is ignored."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        return msgspec.json.decode(os.read(fd, 4096), type=Answer)
    except UNDECODABLE:
        return None
    finally:
        os.close(fd)
