"""The vocabulary of the project: plain values that every other module speaks in."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, Protocol

from msgspec import DecodeError, Struct

FactState = Literal["ok", "warn", "bad"]
VerdictState = Literal["never", "good", "failed", "stale"]
"""What verifications have found of a backup; ``stale``: its bytes were exchanged since."""
StepKind = Literal["do", "check", "ask"]
Phase = Literal["", "down", "carry", "up", "soak", "after"]
"""What a step means for the clocks: downtime runs from the start of ``down`` to the end of ``up``.

``carry`` is the part of it that carrying messages over takes; ``after`` is what is told once the restored site was
proven.
"""
Activity = Literal["active", "starting", "stopped", "failed", "absent", "unknown"]

UNDECODABLE = (DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON of the wanted type."""

COMPONENTS = ("config", "certs", "queue", "logs")
"""Every restorable part, in the order in which a full restore prepares them."""
LIVE = ("config", "certs", "queue")
"""The components that a live restore replaces; logs are only looked at and extracted."""


class Fact(Struct, frozen=True, gc=False):
    """One line of a preview: what, its value, and whether it is fine."""

    label: str
    value: str
    state: FactState = "ok"


class Backup(Struct, frozen=True, kw_only=True, gc=False):  # a hundred thousand values, none in a cycle
    """One thing in a source that a component can be restored from."""

    id: str
    component: str
    source: str
    key: str
    """Where it is, in the source's own terms: a path, an object key, a commit."""
    taken_at: datetime
    """Aware, UTC; from the name where it has one, else the file's mtime."""
    size: int | None = None
    """Bytes as stored; None where the source does not know it."""
    format: str = ""
    """How the bytes are wrapped, outermost last, as in a file name: ``tar.gz``, ``tar.enc``, ``db.gz``."""
    storage_class: str | None = None
    readable: bool = True
    verified: str | None = None
    """When it was last proven by a restore or a verification (RFC 3339); None is never."""
    verdict: VerdictState = "never"
    stored: str = ""
    """Changes with its bytes: times and inode of a file, the ETag of an object; empty where only reading tells."""
    recorded: str = ""
    """What holds its hash, in the source's own terms: the key of a manifest beside it, a commit; empty for nothing."""
    current: bool = True
    """Not a version that was deleted or overwritten and that its bucket still keeps: that is restored only by name."""
    findings: tuple[Fact, ...] = ()
    """What is odd about the entry itself (its name, its time), before it is opened."""

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to read it."""
        return is_encrypted(self.format)


@cache
def is_encrypted(format: str) -> bool:
    """Whether a key is needed to read what is wrapped so."""
    return not {"enc", "age"}.isdisjoint(format.split("."))


class Preview(Struct, frozen=True):
    """What is known of a backup's content without restoring it."""

    facts: tuple[Fact, ...]
    details: dict[str, Any] = {}
    """Keys that the JSON contract adds for a component: ``tables``, ``certificates`` …"""

    @property
    def state(self) -> FactState:
        """The worst state of any fact."""
        states = {fact.state for fact in self.facts}
        return "bad" if "bad" in states else "warn" if "warn" in states else "ok"


class ServiceState(Struct, frozen=True):
    """What a service is doing now."""

    activity: Activity
    detail: str
    """In the service manager's own words, for evidence: ``active/running, pid 4711, NRestarts=0``."""
    restarts: int | None = None
    """How often the manager restarted it by itself; None where that is not counted."""
    pid: int | None = None


class Service(Protocol):
    """One service of a site, however it is run."""

    @property
    def name(self) -> str:
        """What an operator calls it."""
        ...

    def state(self) -> ServiceState:
        """What it is doing now; ``unknown`` (never an exception) where that cannot be told."""
        ...

    def start(self) -> str:
        """Start it and return the evidence; that it stays up is checked elsewhere. Raises RecoverError."""
        ...

    def stop(self) -> str:
        """Stop it, see it stopped, and return the evidence. Raises RecoverError when it is not."""
        ...

    def environment(self) -> dict[str, str] | None:
        """The variables that its configuration is expanded with; None where they cannot be known."""
        ...


@dataclass(frozen=True)
class Amount:
    """Progress inside a step: how much of how much, in bytes or seconds."""

    done: float
    total: float | None
    unit: Literal["bytes", "seconds", "files"] = "bytes"


Work = Generator[Amount, None, str]
"""A step's work that reports progress and returns its evidence."""


@dataclass(frozen=True)
class Step:
    """One line of the checklist: what it says is what it does."""

    title: str
    do: Callable[[], str | Work] = lambda: ""
    """Does it and returns the evidence; of a question (kind ``ask``) the details that it is put with."""
    kind: StepKind = "do"
    budget: float | None = None
    """Seconds it should take at most; a longer one is shown, not failed."""
    phase: Phase = ""
    covers: str | None = None
    """The line of the guide's verification checklist that this step proves."""
