"""What came of a backup: of each component in each place, for people, cron and scripts."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.proving import Proven
from pacs_recover.text import safe

SEVERITY = (BadBackup.exit_code, SourceError.exit_code, RecoverError.exit_code)
"""Of several failures the first of these is the exit code."""


@dataclass(frozen=True)
class Outcome:
    """What came of one component in one place."""

    component: str
    destination: str
    """Empty: it came to none."""
    ok: bool
    id: str = ""
    size: int | None = None
    sha256: str = ""
    note: str = ""
    error: str = ""
    hint: str = ""
    code: int = 0
    seconds: float = 0.0
    proven: Proven | None = None
    """What was found of it; None where nothing new was."""


def failed(component: str, place: str, error: RecoverError | OSError, began: float) -> Outcome:
    """That it was not backed up to this place (or to none), and what to do about it."""
    known = error if isinstance(error, RecoverError) else in_words(error)
    took = time.monotonic() - began
    return Outcome(component, place, False, error=known.message, hint=known.hint, code=known.exit_code, seconds=took)


def in_words(error: OSError) -> RecoverError:
    """What the system said, and what to do about it."""
    where = f": {safe(error.filename)}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RecoverError(f"the disk is full{where}", "make room there; nothing of it was kept")
    if error.errno in (errno.EACCES, errno.EPERM):
        return RecoverError(f"{error.strerror}{where}", "run it as root, or let this user write there")
    return RecoverError(f"{error.strerror or error}{where}", "see what is wrong with that file or filesystem")


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 where all went well; else the code of the worst failure."""
    codes = {one.code for one in outcomes if not one.ok}
    return next((code for code in SEVERITY if code in codes), 1) if codes else 0


def to_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The JSON contract of ``backup``."""
    return {"backups": [_json(one) for one in outcomes], "ok": all(one.ok for one in outcomes)}


def _json(one: Outcome) -> dict[str, Any]:
    error = {"message": one.error, "hint": one.hint, "exit_code": one.code}
    return {
        "component": one.component,
        "destination": one.destination or None,
        "backup": one.id or None,
        "ok": one.ok,
        "size": one.size,
        "sha256": one.sha256 or None,
        "note": one.note or None,
        "error": None if one.ok else error,
        "seconds": round(one.seconds, 3),
    }
