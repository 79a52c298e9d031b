"""Past and present runs of a state directory, and of others that left their mark beside the live paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pacs_recover.errors import SourceError
from pacs_recover.events import AnyEvent, Ended, Planned, Resumed
from pacs_recover.journal import is_written, read

ENDS = ("restored", "failed_untouched", "rolled_back", "interrupted", "closed")
"""The outcomes after which a site may be changed again; a rollback that is incomplete is not one."""


def last_end(events: Sequence[AnyEvent]) -> Ended | None:
    """How the run ended; None while it has not, or since a rollback took a finished one up again."""
    last = next((event for event in reversed(events) if isinstance(event, Ended | Resumed)), None)
    return last if isinstance(last, Ended) else None


def is_finished(journal: Path) -> bool:
    """Whether this run has ended and left nothing to do; False where its journal cannot be read."""
    try:
        events, _ = read(journal)
    except SourceError:
        return False
    ended = last_end(events)
    ends = ended is not None and (ended.outcome in ENDS or is_drill(events))
    return ends and not is_written(journal)


def is_drill(events: Sequence[AnyEvent]) -> bool:
    """Whether the run was a drill: it changed nothing live, so nothing of it can be gone on with or taken back."""
    first = planned(events)
    return first is not None and first.request.mode == "drill"


def planned(events: Sequence[AnyEvent]) -> Planned | None:
    """The first line of a journal, if that is whole."""
    first = events[0] if events else None
    return first if isinstance(first, Planned) else None
