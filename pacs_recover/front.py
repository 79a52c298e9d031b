"""What both front ends do around a run: start it, follow it, answer it, end it. Nothing here prints."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pacs_recover import arming, marking, questions, worker
from pacs_recover import plan as plans
from pacs_recover.authority import Authority
from pacs_recover.durable import sync_directory
from pacs_recover.errors import Busy, RecoverError, Refused, SourceError
from pacs_recover.events import Answered, AnyEvent, Asked, Ended, Planned, Request, Resumed
from pacs_recover.jobs import live_paths
from pacs_recover.journal import Reader, is_written, read
from pacs_recover.model import UNDECODABLE
from pacs_recover.plan import Plan
from pacs_recover.runs import is_drill, is_finished, planned
from pacs_recover.site import Site
from pacs_recover.spawning import spawn
from pacs_recover.state import JOURNAL, State
from pacs_recover.target import lock
from pacs_recover.target.host import live_trees
from pacs_recover.target.sandbox import refuse_drill
from pacs_recover.text import safe

PATIENCE = 0.2
"""Seconds between two looks at a journal that says nothing new."""


@dataclass
class Following:
    """One front end's view of a run; dropping it changes nothing for the run."""

    run: Path
    process: subprocess.Popen[bytes] | None = None
    skip: int = 0
    """Events that were there before, and are not told again."""
    question: Asked | None = None
    """The question that waits for an answer now."""
    ended: Ended | None = None
    site: str = ""
    """Its name, where the run was followed from its first line."""
    owner: str = ""
    """The operator whose the questions are."""
    _reader: Reader = field(init=False)
    _seen: int = 0
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._reader = Reader(self.run / JOURNAL)

    def more(self) -> list[AnyEvent]:
        """What happened since the last call, at once. SourceError."""
        if not (self.run / JOURNAL).exists():
            return []
        fresh = self._reader.more()
        told = [event for place, event in enumerate(fresh, start=self._seen) if place >= self.skip]
        self._seen += len(fresh)
        self.owner = questions.owner(fresh, self.owner)
        for event in told:
            self._note(event)
        return told

    def _note(self, event: AnyEvent) -> None:
        if isinstance(event, Planned):
            self.site = str(event.request.site.get("name", ""))
        elif isinstance(event, Asked):
            self.question = event
        elif isinstance(event, Answered):
            self.question = None
        elif isinstance(event, Ended):
            self.ended = event
        elif isinstance(event, Resumed):
            self.ended = None

    def look_ahead(self) -> None:
        """Find out whose the questions are, and whose site it is, without telling any event. SourceError."""
        found, _ = read(self.run / JOURNAL)
        self.owner = questions.owner(found)
        first = planned(found)
        self.site = str(first.request.site.get("name", "")) if first else ""

    def alive(self) -> bool:
        """Whether a worker still works on the run."""
        if self.process is not None and self.process.poll() is None:
            return True
        journal = self.run / JOURNAL
        return is_written(journal) if journal.exists() else False

    def over(self) -> bool:
        """Whether nothing more will come: it ended, or its worker is gone."""
        return self.ended is not None or not self.alive()

    def events(self) -> Iterator[AnyEvent]:
        """Every event as it comes, until the run ends or its worker is gone."""
        while True:
            gone = self.over()
            fresh = self.more()
            yield from fresh
            if gone and not fresh:
                return
            if not fresh:
                time.sleep(PATIENCE)

    def answer(self, yes: bool, by: str, authority: Authority) -> None:
        """Answer the open question. Refused where it is another operator's, somebody was first or none is open."""
        authority.must_allow("an answer")
        if self.question is None:
            raise Refused("no question is open", "")
        if not self.may_answer(by):
            raise Refused(
                f"the questions of this run are {safe(self.owner)}'s, and you are {safe(by)}",
                f"take them over first: pacs-recover attach {self.run.name} --take-over",
            )
        said = f"{'yes' if yes else 'no'}, said by {by}: {self.question.title}"
        worker.state_of(self.run).audit.note("answer", self.run.name, said, self.site)
        questions.give(self.run, self.question.question, yes, by)

    def may_answer(self, by: str) -> bool:
        """Whether the questions are this operator's."""
        return self.owner in ("", by)

    def exit_code(self) -> int:
        """The run's exit code; 4 where its worker is gone without an end: a person is needed."""
        return self.ended.exit_code if self.ended else 4

    def refusal(self) -> RecoverError | None:
        """Why the worker that was started here did not even begin."""
        if self.ended is not None or self.process is None or not self.process.poll():
            return None
        try:
            said = msgspec.json.decode(self._last_line(), type=worker.Refusal)
        except UNDECODABLE:
            return None
        error = RecoverError(said.message, said.hint)
        error.exit_code = said.exit_code
        return error

    def last_words(self) -> str:
        """The last line of the worker's own log, where it fell over before it could write a journal."""
        return safe(self._last_line(), 300)

    def _last_line(self) -> str:
        try:
            lines = (self.run / worker.LOG).read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def start(plan: Plan, state: State, authority: Authority, *, assume_yes: bool) -> Following:
    """Start an armed plan in a worker. Refused where it was used; OSError."""
    authority.must_allow("a restore")
    refuse_busy(plan.request)
    run = state.new_run()
    arming.use_up(plan, state, run)
    request = msgspec.structs.replace(plan.request, run=run.name, assume_yes=assume_yes)
    write_request(run, request)
    return Following(run, spawn(run, "restore", authority))


def write_request(run: Path, request: Request) -> None:
    """Leave a request where the run's worker finds it. OSError."""
    _write(run / worker.REQUEST, msgspec.json.encode(request))


def take_up(run: Path, purpose: worker.Purpose, authority: Authority) -> Following:
    """Start a worker that resumes or rolls back an existing run. Refused where it is still worked on."""
    authority.must_allow(f"a {purpose}")
    if is_written(run / JOURNAL):
        raise Refused(f"run {run.name} is still going on", f"follow it: pacs-recover attach {run.name}")
    events, _ = read(run / JOURNAL)
    if is_drill(events):
        refuse_drill(run.name)
    return Following(run, spawn(run, purpose, authority, plans.operator()), skip=len(events))


def take_over(following: Following, by: str, authority: Authority) -> None:
    """Take a run's questions over from another operator. Refused where they are one's own or the run is over."""
    authority.must_allow("taking the questions over")
    if following.may_answer(by):
        raise Refused(f"the questions of this run are yours already ({safe(by)})", "answer them")
    if following.over():
        raise Refused(f"run {following.run.name} is over", f"see: pacs-recover report {following.run.name}")
    said = f"by {by}, from {following.owner}"
    worker.state_of(following.run).audit.note("take-over", following.run.name, said, following.site)
    questions.take_over(following.run, by)


def refuse_busy(request: Request) -> None:
    """Refused early where a run of this site is unfinished or going on, or a command has it held still.

    The worker looks again under the lock.
    """
    for mark in marks(request):
        journal = Path(mark.journal)
        if not mark.finished and not is_finished(journal):
            how = "is going on" if is_written(journal) else "has not ended"
            home = journal.parent.parent.parent
            raise Busy(
                f"run {mark.run} of {safe(mark.operator)} {how}",
                f"pacs-recover --state {home} attach {mark.run} (or rollback, resume, close --why)",
            )
    for holder in holders(request):
        raise lock.taken(safe(request.site.get("name", "this site")), holder)


def holders(request: Request) -> list[lock.Holder]:
    """Who holds the site's locks now, as far as we may look."""
    live = {path.component: Path(path.real) for path in request.live}
    return lock.holders(live.values(), live_trees(live))


def refuse_newer(request: Request, run: str) -> None:
    """Refused early where another run changed this site later; the worker looks again under the lock."""
    for mark in marks(request):
        marking.refuse_mark(mark, run)


def request_of(site: Site) -> Request:
    """As much of a request as a site's locks and marks are found by."""
    return Request(
        run="",
        plan_id="",
        site={"name": site.name},
        components=(),
        choices=(),
        live=live_paths(site),
        rto_seconds=0,
        operator="",
        host="",
    )


def marks(request: Request) -> list[lock.Mark]:
    """What the lock files beside the live paths say, as far as we may read them."""
    live = {path.component: Path(path.real) for path in request.live}
    return lock.marks(live.values(), live_trees(live))


def unfinished(state: State) -> list[Path]:
    """The runs of a state directory that have not ended, newest first; a drill changes nothing that is to be ended."""
    return [run for run in state.runs() if not is_finished(run / JOURNAL) and not _is_drill(run)]


def _is_drill(run: Path) -> bool:
    try:
        return is_drill(read(run / JOURNAL)[0])
    except SourceError:
        return False


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)
