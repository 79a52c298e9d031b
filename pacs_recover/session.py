"""What a console works on: a site, its state directory, and whether anything may be changed.

Everything here may take its time (a dead share, a large backup), so a front end calls it from a thread of its own.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pacs_recover import (
    arming,
    calling,
    catalog,
    closing,
    drilling,
    findings,
    front,
    group,
    handover,
    live,
    looks,
    notes,
    report,
    rolling_back,
    site,
    thawing,
    verdicts,
)
from pacs_recover import plan as plans
from pacs_recover.authority import Authority
from pacs_recover.catalog import Catalog, Partly
from pacs_recover.components import Comparison
from pacs_recover.drilling import Made, Order
from pacs_recover.errors import RecoverError, Refused, SourceError, UsageError
from pacs_recover.events import Topic
from pacs_recover.front import Following
from pacs_recover.journal import is_written, read
from pacs_recover.model import Amount, Backup, Fact, Preview
from pacs_recover.past import Past
from pacs_recover.plan import Plan
from pacs_recover.report import reading
from pacs_recover.runs import is_drill, is_finished
from pacs_recover.selection import select
from pacs_recover.site import Site
from pacs_recover.sources import Source, sources_of
from pacs_recover.sources.file import FileSource
from pacs_recover.state import JOURNAL, State, default_place
from pacs_recover.target.sandbox import refuse_drill
from pacs_recover.text import safe
from pacs_recover.thawing import Offer, Tier


class NoSite(UsageError):
    """There is no site file and nothing of PACS Bridge in the usual places."""


@dataclass(frozen=True)
class OpenRun:
    """A run that is going on, or that has not ended: nothing else may change the site."""

    path: Path
    operator: str
    outcome: str
    """``running``, ``unfinished``, ``rollback_incomplete``, or ``unreadable`` where its journal is not ours to read."""
    host: str = ""
    since: datetime | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name


@dataclass
class Session(Past):
    """One console's site, state directory and permission."""

    read_only: bool = False
    command: str = "pacs-recover"
    """How the same site is named on a command line."""

    @property
    def host(self) -> str:
        """The machine that is restored."""
        return os.uname().nodename

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    def sources(self) -> tuple[Source, ...]:
        """The places that hold backups."""
        every = sources_of(self.site, self.state.journals())
        return tuple(source for source in every if source.kind != FileSource.kind)

    def read(self, source: Source, partly: Partly | None = None) -> Catalog:
        """What one source holds, told while it is read; a fault is in its state."""
        found = catalog.read([source], longest=catalog.WATCHED, partly=partly)
        return verdicts.known(self.state.path, self.authority).mark(self.site.name, found)

    def status(self, found: Catalog) -> dict[str, Any]:
        """Freshness of these backups, and the services."""
        return group.looked_at(self.site, found, self.state)

    def live(self) -> dict[str, Any]:
        """How much waits in the live queue, how long the live certificates last; unknown where that takes long."""
        return live.read(self.site, self.state)

    def open_runs(self) -> list[OpenRun]:
        """Runs of this site that have not ended, newest first: ours, and others' by the marks beside the live paths."""
        own = {run: _open_run(run, "") for run in front.unfinished(self.state)}
        for mark in front.marks(front.request_of(self.site)):
            journal = Path(mark.journal)
            if not mark.finished and not is_finished(journal):
                own[journal.parent] = _open_run(journal.parent, mark.operator)
        return sorted(own.values(), key=lambda run: run.name, reverse=True)

    def needs_root(self) -> bool:
        """Whether this user can look but not restore."""
        return any(fact.label == "rights" for fact in findings.host_findings(self.site, ()))

    def preview(self, backup: Backup, stopping: Callable[[], bool], amount: Callable[[Amount], None]) -> Preview:
        """Read a backup to its end and say what it is. SourceError; Interrupted where it was told to stop."""
        return looks.preview(self.site, backup, self.state, stopping, amount)

    def compare(self, backup: Backup, stopping: Callable[[], bool] = lambda: False) -> Comparison:
        """What restoring a backup would change. BadBackup, SourceError; Interrupted where it was told to stop."""
        return looks.compare(self.site, backup, self.state, stopping)

    def thaw_offer(self, backup: Backup) -> Offer:
        """What having an archived backup made readable would take. UsageError, SourceError."""
        return thawing.look(self.site, backup, self.state)

    def thaw(self, backup: Backup, tier: Tier) -> Offer:
        """Ask for it, which costs. Refused, UsageError, SourceError."""
        return thawing.ask(self.site, backup, self.state, self.authority, tier)

    def plan(self, backups: Sequence[Backup], *, carry_over: bool = False, doubts: tuple[Fact, ...] = ()) -> Plan:
        """Read these backups, judge them, compare them with what lives; the plan is kept so that it can be armed.

        ``doubts`` are findings about how they were chosen.
        """
        made = plans.make(self.site, backups, self.state, carry_over=carry_over)
        made = msgspec.structs.replace(made, findings=(*doubts, *made.findings))
        if not self.read_only and not made.refusals:
            arming.save(made, self.state, self.authority)
        return made

    def arm(self, plan: Plan, typed: str) -> Following:
        """Start this very plan. Refused unless the site's name was typed and nothing changed since it was made."""
        self.must_write("a restore")
        must_be_name(typed, str(plan.request.site["name"]))
        if plan.refusals:
            raise Refused("; ".join(f"{fact.label}: {fact.value}" for fact in plan.refusals), "put that right first")
        saved = arming.load(plan.plan_id, self.state)
        arming.refuse_stale(saved, arming.inputs_now(saved, self.site, self.state))
        return front.start(saved, self.state, self.authority, assume_yes=False)

    def drill(self, backups: Sequence[Backup], names: Sequence[str], found: Catalog) -> Made:
        """Choose the sandbox, read and judge these backups, or the newest of these components. Refused, OSError."""
        self.must_write("a drill")
        self.state.prepare()
        order = Order(tuple(names))
        return drilling.make(self.site, self.state, order, lambda: backups or select(found, names), self.authority)

    def start_drill(self, made: Made, participants: Sequence[str]) -> Following:
        """Start it. Refused, OSError."""
        self.must_write("a drill")
        return drilling.start(drilling.attended(made, participants), self.site, self.state, self.authority)

    def undo_plan(self, run: Path) -> list[str]:
        """What rolling back a run would undo, and what arrived since it. RecoverError."""
        events, _ = read(run / JOURNAL)
        if is_drill(events):
            refuse_drill(run.name)
        if rolling_back.is_restored(events):
            return rolling_back.make(run.name, events, self.state).lines()
        made = [effect.title for effect in report.fold(events).effects if effect.state != "undone"]
        return [f"ROLLBACK of the unfinished run {run.name}", *(f"  undo: {text}" for text in reversed(made))] + (
            [] if made else ["  it changed nothing: it is only ended"]
        )

    def take_up(self, run: Path, purpose: str, typed: str) -> Following:
        """Roll a run back or go on with it. Refused unless the site's name was typed."""
        self.must_write(f"a {purpose}")
        must_be_name(typed, self.site.name)
        started = front.take_up(run, "resume" if purpose == "resume" else "rollback", self.authority)
        return Following(run, started.process)

    def close(self, run: Path, why: str) -> None:
        """End an unfinished run that a person put right by hand. Refused."""
        self.must_write("closing a run")
        closing.close(run, why, self.authority)

    def answer(self, following: Following, yes: bool) -> None:
        """Answer a run's open question. Refused where it is another operator's."""
        following.answer(yes, plans.operator(), self.authority)

    def take_over(self, run: Path, typed: str) -> Following:
        """Take a run's questions over. Refused unless the site's name was typed."""
        self.must_write("taking the questions over")
        must_be_name(typed, self.site.name)
        following = Following(run)
        following.look_ahead()
        front.take_over(following, plans.operator(), self.authority)
        return Following(run)

    def note(self, run: Path, text: str, topic: Topic = "note") -> bool:
        """Add a note to a run's record; False where its worker takes it up later. Refused, UsageError.

        A drill that is over takes observations and improvement actions as well.
        """
        self.must_write("a note")
        if topic != "note":
            drilling.note(Following(run), topic, (safe(text.strip(), 500),), self.authority)
            return True
        return notes.add(run, text, plans.operator(), self.authority)

    def handover(self, run: Path) -> list[str]:
        """A run in a few lines to paste. SourceError."""
        return handover.of(run, self.pace(), self.command, self.now())

    def may_answer(self, following: Following) -> bool:
        """Whether a run's questions are this operator's."""
        return following.may_answer(plans.operator())

    @property
    def authority(self) -> Authority:
        """What the verbs that change something are handed."""
        return Authority(self.read_only)

    def refused(self, problem: RecoverError, doing: str) -> None:
        """Record that something was refused."""
        self.state.audit.note_refusal(problem, f"console: {doing}", self.site.name)

    def must_write(self, what: str) -> None:
        """Refused where the operator said that nothing may be changed."""
        self.authority.must_allow(what)

    def goes_on(self, run: str) -> str:
        """How a run that goes on without this terminal is found again, in lines to print."""
        ways = f"  follow it:  {self.line('attach', run)}\n  undo it:    {self.line('rollback', run)}\n"
        return f"The run {run} goes on without this terminal.\n{ways}"

    def line(self, *words: str) -> str:
        """The command line that does the same."""
        return " ".join([self.command, *map(shlex.quote, words)])


def must_be_name(typed: str, name: str) -> None:
    """Refused where what was typed is not the site's name."""
    if typed.strip() != name:
        raise Refused("not armed: that is not the site's name; nothing was changed", f"the name is {safe(name)}")


def open_session(site_option: Path | None, state_option: Path | None, read_only: bool) -> Session:
    """The session of a command line's options. UsageError; NoSite where there is nothing to work on."""
    found = site.find(site_option, os.environ)
    loaded = found.load()
    if found.path is None and not any(place.exists() for place in _usual_places(loaded)):
        raise NoSite(
            "there is no site file, and nothing of PACS Bridge in the usual places",
            f"looked for {site.finding.USUAL} and {', '.join(map(str, _usual_places(loaded)))}",
        )
    named = found.path if found.path != site.finding.USUAL else None
    return session_of(loaded, named, state_option, read_only)


def session_of(of: Site, named: Path | None, state_option: Path | None, read_only: bool) -> Session:
    """The session of a site that is named by this file."""
    command = calling.program(named, state_option, read_only=read_only)
    return Session(of, State(state_option or default_place()), read_only, command)


def _usual_places(of: Site) -> tuple[Path, ...]:
    return (of.live.config, of.live.queue, *of.directories.values())


def _open_run(run: Path, operator: str) -> OpenRun:
    try:
        told = reading.report_of(run)
    except (SourceError, OSError):
        held = "running" if _held(run / JOURNAL) else "unreadable"
        return OpenRun(run, operator, held)
    return OpenRun(run, told.operator or operator, told.outcome, told.host, told.started_at)


def _held(journal: Path) -> bool:
    try:
        return is_written(journal)
    except OSError:
        return False
