"""Starting a drill: choose and judge the backups, choose the sandbox, hand it to a worker; failing leaves evidence."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from pacs_recover import __version__, engine
from pacs_recover import plan as plans
from pacs_recover.authority import Authority
from pacs_recover.drill.sandboxes import choose
from pacs_recover.drill.sweeping import sweep
from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.events import Choice, Drill, Ended, Failed, Noted, Planned, Request, Topic
from pacs_recover.front import Following, write_request
from pacs_recover.jobs import live_paths
from pacs_recover.journal import Journal, boot_id
from pacs_recover.model import Backup
from pacs_recover.site import Site
from pacs_recover.site import model as site_model
from pacs_recover.spawning import spawn
from pacs_recover.state import JOURNAL, State
from pacs_recover.target.sandbox import below
from pacs_recover.text import safe

READ = "Read and judge the backups"


@dataclass(frozen=True)
class Order:
    """What a drill was asked for."""

    components: tuple[str, ...]
    sandbox: str | None = None
    at: datetime | None = None
    participants: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


@dataclass
class Made:
    """A drill that can start, or the reason why not: then that is its result."""

    request: Request
    swept: list[str] = field(default_factory=list)
    problem: BadBackup | SourceError | None = None


def make(site: Site, state: State, order: Order, select: Callable[[], Sequence[Backup]], authority: Authority) -> Made:
    """Sweep what killed drills left, choose the sandbox, read every backup to its end and judge it. Refused, OSError.

    A missing or bad backup is no error of the drill's but what it found.
    """
    authority.must_allow("a drill")
    swept = sweep(site.sandbox)
    chosen = choose(site, order.sandbox)
    drill = Drill(
        sandbox=chosen.kind,
        why=chosen.why,
        production=live_paths(site),
        participants=order.participants,
        observations=order.observations,
        actions=order.actions,
    )
    request = _request(site, order, (), drill)
    try:
        choices = _judged(site, state, select())
    except (BadBackup, SourceError) as error:
        return Made(request, swept, error)
    return Made(_request(site, order, tuple(choices.values()), drill), swept)


def _judged(site: Site, state: State, backups: Sequence[Backup]) -> dict[str, Choice]:
    with state.audit.noting("plan", f"drill of {' '.join(backup.id for backup in backups)}", site.name):
        return dict(plans.read_and_judge(site, backups, state).choices)


def _request(site: Site, order: Order, choices: tuple[Choice, ...], drill: Drill) -> Request:
    """Stages nowhere but in its own sandbox."""
    own = msgspec.structs.replace(site, staging=())
    return Request(
        run="",
        mode="drill",
        plan_id=secrets.token_hex(4),
        site=site_model.to_data(own),
        components=order.components,
        choices=choices,
        live=(),
        assume_yes=True,
        rto_seconds=plans.rto_of(site, order.components),
        operator=plans.operator(),
        host=socket.gethostname(),
        at=order.at,
        drill=drill,
    )


def attended(made: Made, participants: Sequence[str]) -> Made:
    """The same with the names of those who take part."""
    assert made.request.drill is not None
    drill = msgspec.structs.replace(made.request.drill, participants=tuple(participants))
    return replace(made, request=msgspec.structs.replace(made.request, drill=drill))


def names(typed: str) -> tuple[str, ...]:
    """The names in a line, which commas separate."""
    return tuple(safe(name.strip(), 500) for name in typed.split(",") if name.strip())


def start(made: Made, site: Site, state: State, authority: Authority) -> Following:
    """Start it in a worker; one whose backups were no good ends here, with a journal that says so. Refused, OSError."""
    authority.must_allow("a drill")
    state.prepare()
    run = state.new_run()
    assert made.request.drill is not None
    home = site.sandbox / run.name
    drill = msgspec.structs.replace(made.request.drill, home=str(home))
    request = msgspec.structs.replace(made.request, run=run.name, drill=drill, live=below(home, drill.production))
    write_request(run, request)
    if made.problem is None:
        return Following(run, spawn(run, "restore", authority))
    journal = Journal(run / JOURNAL, create=True)
    try:
        _fail(journal, request, made.problem)
    finally:
        journal.close()
    return Following(run)


def _fail(journal: Journal, request: Request, problem: BadBackup | SourceError) -> None:
    message, hint, code = engine.told(problem)
    journal.write(Planned, request=request, steps=(), program=__version__, boot=boot_id())
    journal.write(Failed, title=READ, evidence=message, hint=hint, exit_code=code)
    journal.write(Ended, outcome="failed_untouched", exit_code=code, evidence=message)


def note(following: Following, topic: Topic, texts: Sequence[str], authority: Authority) -> None:
    """Add to the record of a drill that has ended what those who took part say. Refused, OSError."""
    authority.must_allow("a note")
    if not texts:
        return
    journal = Journal(following.run / JOURNAL, create=False)
    try:
        for text in texts:
            journal.write(Noted, topic=topic, title=topic.capitalize(), evidence=text)
    finally:
        journal.close()
