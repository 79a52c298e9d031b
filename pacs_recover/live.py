"""What lives now, in numbers: what waits in the queue, how long the certificates last. Only read, never for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.formats import queue_db, sqlite_set
from pacs_recover.formats.queue_db import Depth
from pacs_recover.formats.sqlite_set import Unknown
from pacs_recover.jobs import live_paths, reals
from pacs_recover.model import FactState
from pacs_recover.site import Site
from pacs_recover.state import State
from pacs_recover.target import places
from pacs_recover.text import age, count, safe, seconds, stamp

LARGEST = 256 << 20
"""Bytes of a queue that is copied and checked for a look, a second's work; a plan counts a larger one."""
PATIENCE = 20.0
"""Seconds after which a disk is not waited for: a dead share never answers at all."""
QUEUE = ("waiting", "oldest_waiting", "states", "dead_letters")
CERTS = ("days_left", "not_after", "certificates")
"""What is null where it is unknown."""

Row = dict[str, Any]


def read(of: Site, state: State, *, patience: float = PATIENCE, largest: int = LARGEST) -> dict[str, Any]:
    """The live queue and certificates as ``status`` tells them; what cannot be read in time is unknown, and why."""
    queue = _Asking("queue", QUEUE, lambda live: _queue(live, state, largest), of)
    certs = _Asking("certs", CERTS, _certs, of)
    until = time.monotonic() + patience
    told = {asking.part: asking.told_by(until, patience) for asking in (queue, certs)}
    return {"read_at": stamp(datetime.now(UTC)), **told}


class _Asking(Thread):
    """One live part being read; a daemon, as a read from a dead share can neither be waited for nor stopped."""

    def __init__(self, part: str, keys: tuple[str, ...], ask: Callable[[Path], Row], of: Site) -> None:
        super().__init__(daemon=True, name=f"live {part}")
        self.part = part
        self._keys, self._ask, self._of = keys, ask, of
        self._told: Row | None = None
        self.start()

    def run(self) -> None:
        """Ask, and turn what goes wrong into its words."""
        try:
            self._told = self._ask(reals(live_paths(self._of))[self.part])
        except BadBackup as error:
            self._told = self._without(error.message, "bad")
        except RecoverError as error:
            self._told = self._unknown(error.message)
        except OSError as error:
            self._told = self._unknown(f"{error.strerror}: {safe(error.filename)}" if error.filename else str(error))
        except Exception as error:  # what cannot be told must not hide the rest of the status
            self._told = self._unknown(type(error).__name__)

    def told_by(self, until: float, patience: float) -> Row:
        """What it came to by then."""
        self.join(max(0.0, until - time.monotonic()))
        return self._told or self._unknown(f"it could not be read within {seconds(patience)}")

    def _unknown(self, why: str) -> Row:
        return self._without(f"UNKNOWN: {why}", "warn")

    def _without(self, sentence: str, state: FactState) -> Row:
        return {"state": state, "sentence": sentence, **dict.fromkeys(self._keys)}


def _queue(live: Path, state: State, largest: int) -> Row:
    """How deep the live queue is, counted in a private copy. BadBackup, RecoverError, OSError."""
    if places.identity(live) is None:
        raise BadBackup(f"there is none: {safe(live)}")
    with state.scratch() as scratch:
        copy = sqlite_set.copy_live(live, scratch, most=largest)
        if isinstance(copy, Unknown):
            raise (BadBackup if copy.damaged else RecoverError)(copy.reason)
        return _depth(queue_db.depth(copy))


def _depth(found: Depth) -> Row:
    now = datetime.now(UTC)
    unsent = [f"{found.states[name]:,} {name}" for name in queue_db.UNSENT_STATES if found.states[name]]
    since = f", the oldest for {age(found.oldest, now)}" if found.oldest else ""
    waiting = f"{found.waiting:,} waiting ({', '.join(unsent)}){since}" if unsent else "nothing waits"
    return {
        "state": "ok",
        "sentence": f"{waiting}; {count(found.dead_letters, 'dead letter')}",
        "waiting": found.waiting,
        "oldest_waiting": stamp(found.oldest) if found.oldest else None,
        "states": queue_db.by_state(found.states),
        "dead_letters": found.dead_letters,
    }


def _certs(live: Path) -> Row:
    """How long the live certificates last. BadBackup, RecoverError, OSError."""
    from pacs_recover.formats.expiry import outlook  # cryptography, which no other command needs to begin

    found = outlook(live)
    first = found.soonest
    until = f"{first.certificate.name} {first.findings[0].value}"
    others = [f"{fact.label}: {fact.value}" for fact in found.troubles if fact != first.findings[0]]
    more = f" (and {len(others) - 1:,} more)" if len(others) > 1 else ""
    return {
        "state": found.state,
        "sentence": f"{until}; {others[0]}{more}" if others else until,
        "days_left": first.days_left,
        "not_after": stamp(first.certificate.not_after),
        "certificates": found.certificates,
    }
