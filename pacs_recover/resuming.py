"""What a cut run's journal says of going on: in which boot it was, whether it ended well, whether it may be resumed."""

from __future__ import annotations

from pacs_recover import __version__, engine
from pacs_recover.errors import Refused
from pacs_recover.events import AnyEvent, Ended, Failed, Planned, Resumed
from pacs_recover.model import Step
from pacs_recover.runs import last_end


def booted(events: list[AnyEvent]) -> str:
    """The boot in which a worker last took the run up; empty where no line says so."""
    return next((event.boot for event in reversed(events) if isinstance(event, Planned | Resumed)), "")


def is_done(events: list[AnyEvent]) -> bool:
    """Whether the run ended well, so that only an armed rollback takes it up."""
    ended = last_end(events)
    return ended is not None and ended.outcome in ("restored", "closed")


def refuse_resume(events: list[AnyEvent], steps: tuple[Step, ...]) -> None:
    """A resume is for a run that was cut and never failed, by the same version, with the same checklist. Refused."""
    planned = events[0]
    if not isinstance(planned, Planned) or any(isinstance(event, Failed | Ended) for event in events):
        raise Refused("this run failed or ended, so it cannot go on", "see: pacs-recover report; plan a new restore")
    if any(isinstance(event, Resumed) and event.purpose == "rollback" for event in events):
        raise Refused("a rollback of this run has begun, so it cannot go on", "finish it: pacs-recover rollback")
    if planned.program != __version__:
        made = f"version {planned.program} made this run and this is {__version__}"
        raise Refused(made, "roll it back: pacs-recover rollback")
    if planned.steps != engine.lines(steps):
        raise Refused("its checklist is not the one it began with", "roll it back: pacs-recover rollback")
