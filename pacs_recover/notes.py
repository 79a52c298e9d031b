"""What an operator writes down of a run: while it goes on the worker journals it, afterwards whoever writes it."""

from __future__ import annotations

import time
from pathlib import Path

from pacs_recover import questions, worker
from pacs_recover.authority import Authority
from pacs_recover.errors import Refused, UsageError
from pacs_recover.journal import Journal, is_written
from pacs_recover.state import JOURNAL
from pacs_recover.text import safe

PATIENCE = 3.0
"""Seconds that a worker is given to take a note up; a step that tells nothing meanwhile takes it up later."""


def add(run: Path, text: str, by: str, authority: Authority) -> bool:
    """Add a note to a run's record; False where the worker takes it up later. Refused, UsageError, OSError."""
    authority.must_allow("a note")
    said = " ".join(text.split())
    if not said:
        raise UsageError("a note needs words", "for example: pacs-recover note latest 'radiology is informed'")
    if len(said) > questions.LONGEST:
        raise UsageError(f"a note has at most {questions.LONGEST} characters, this has {len(said)}", "write two")
    worker.state_of(run).audit.note("note", run.name, f"by {safe(by, 80)}")
    left, end = questions.remark(run, said, by), time.monotonic() + PATIENCE
    while left.exists() and time.monotonic() < end:
        if not _taken_up(run):
            time.sleep(questions.POLL)
    return not left.exists()


def _taken_up(run: Path) -> bool:
    """Journal what was left, where no worker does; whether that was so."""
    journal = run / JOURNAL
    if not journal.exists() or is_written(journal):
        return False
    try:
        held = Journal(journal, create=False)
    except Refused:  # a worker took the run up in this moment: it takes the note up too
        return False
    try:
        questions.take_notes(run, held)
    finally:
        held.close()
    return True
