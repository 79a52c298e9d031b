"""The process that restores, resumes or rolls back: it owns lock and journal, and outlives its front end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from pacs_recover import __version__, engine, notifying, questions
from pacs_recover.anchoring import anchor
from pacs_recover.audit import Entry
from pacs_recover.audit.record import What
from pacs_recover.checklist import checklist
from pacs_recover.errors import RecoverError, Refused, SourceError
from pacs_recover.events import Answered, AnyEvent, Asked, Ended, Failed, Planned, Request, Resumed
from pacs_recover.jobs import open_job, site_of
from pacs_recover.journal import Journal, boot_id, read
from pacs_recover.marking import holder, lock_paths, mark, refuse_newer, refuse_unfinished, settle
from pacs_recover.model import UNDECODABLE, Step
from pacs_recover.resuming import booted, is_done, refuse_resume
from pacs_recover.runs import last_end
from pacs_recover.state import JOURNAL, State, discard_scratch
from pacs_recover.target.host import Target
from pacs_recover.target.lock import SiteLock
from pacs_recover.target.sandbox import Sandbox, refuse_drill
from pacs_recover.text import safe

Purpose = Literal["restore", "resume", "rollback"]
REQUEST = "request.json"
LOG = "worker.log"


class Refusal(Struct, frozen=True):
    """Why a worker did not even begin; the last line of its log."""

    message: str
    hint: str
    exit_code: int


class Stop:
    """Whether SIGTERM asked for an end; the engine looks at it where stopping is safe."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.asked

    def on_signal(self, *_: object) -> None:
        """The signal handler."""
        self.asked = True


def main(argv: list[str]) -> int:
    """Run as ``python -m pacs_recover.worker PURPOSE RUN [OPERATOR]``; returns the exit code of the run."""
    os.umask(0o077)
    stop = Stop()
    for ignored in (signal.SIGHUP, signal.SIGINT):  # by a handler: SIG_IGN would be inherited by the services
        signal.signal(ignored, lambda *_: None)
    signal.signal(signal.SIGTERM, stop.on_signal)
    purpose, run = argv[0], Path(argv[1])
    try:
        with audited(run, "run" if purpose == "restore" else "resume" if purpose == "resume" else "rollback") as entry:
            if purpose == "restore":
                code = restore(run, stop)
            else:
                operator = argv[2] if len(argv) > 2 else ""
                try:
                    code = take_up(run, "resume" if purpose == "resume" else "rollback", operator, stop)
                except OSError as error:
                    raise not_begun(error, purpose, run) from error
            entry.outcome = f"{said_at_the_end(run)}, exit {code}"
        return code
    except RecoverError as error:  # nothing was journalled of it: the front end finds it as the last line of the log
        return refuse(error)
    finally:
        for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # Python drops its handlers before it ends
            signal.signal(ignored, signal.SIG_IGN)


def refuse(error: RecoverError) -> int:
    """Tell the front end why nothing was done; the exit code says it also where the disk takes no word."""
    log(msgspec.json.encode(Refusal(*engine.told(error))).decode())
    return error.exit_code


def not_begun(error: OSError, purpose: str, run: Path) -> Refused:
    """A rollback or resume that could not even begin: the site is as it was, which is not what exit 1 would say."""
    command = f"pacs-recover --state {run.parent.parent} {purpose} {run.name}"
    return Refused(f"the {purpose} could not begin: {engine.told(error)[0]}", f"mend that, then: {command}")


@contextmanager
def audited(run: Path, what: What) -> Iterator[Entry]:
    """Record that a run begins and how it ended; then vouch for that outside, when its journal and lock are free."""
    request, state = read_request(run), state_of(run)
    state.audit.warn = log
    site = site_of(request)
    about = "drill" if request.mode == "drill" else what
    try:
        with (
            notifying.around(site, about, run.name, state.audit.warn) as told,
            state.audit.noting(what, " ".join([run.name, *(c.backup.id for c in request.choices)]), site.name) as entry,
        ):
            yield entry
            told.outcome, told.ok = entry.outcome, "restored, exit" in entry.outcome
    finally:
        anchor(site, state)


def said_at_the_end(run: Path) -> str:
    """How a run ended last, for the audit: what the run came to does not depend on it."""
    try:
        ended = last_end(read(run / JOURNAL)[0])
    except SourceError:
        return "its journal cannot be read"
    return ended.outcome if ended else "not ended"


def log(text: str) -> None:
    """A line for the run's worker.log, if its disk still takes one."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="replace"))


def restore(run: Path, stop: Callable[[], bool]) -> int:
    """Run a new request. OSError where not even the journal can be written."""
    request = read_request(run)
    with closing(Journal(run / JOURNAL, create=True)) as journal:
        try:
            target, steps = opened(request, journal)
            problem: Exception | None = None
        except Exception as error:
            steps, problem = (), error
        journal.write(Planned, request=request, steps=engine.lines(steps), program=__version__, boot=boot_id())
        if problem:
            return refused(journal, problem)
        try:
            lock = SiteLock(**lock_paths(request), holder=holder(run, request.operator))
        except Exception as error:  # whatever it is, it is told: nothing was touched
            return refused(journal, error, target)
        with closing(lock):
            try:
                lock.mark(mark(request, run, refuse_unfinished(lock, run.name)))
            except Exception as error:
                return refused(journal, error, target)
            return drive(engine.run(steps, target, stopping=stop), run, request, journal, lock)


def opened(request: Request, journal: Journal) -> tuple[Target, tuple[Step, ...]]:
    """The target and the checklist of a request: of a drill with its sandbox made. RecoverError, OSError."""
    journals = sibling_journals(journal.path.parent)
    if request.mode == "drill":
        from pacs_recover.drill.opening import open_drill  # deferred: it loads what certificates are read with

        rehearsal = open_drill(request, journal, journals)
        return rehearsal.target, rehearsal.steps()
    job = open_job(request, journal, journals)
    return job.target, checklist(job)


def take_up(run: Path, purpose: Literal["resume", "rollback"], operator: str, stop: Callable[[], bool]) -> int:
    """Go on with, or roll back, a run that exists. Refused where another run is newer or it cannot be resumed."""
    with closing(Journal(run / JOURNAL, create=False)) as journal:
        request = request_of(journal.events) or read_request(run)
        if request.mode == "drill":
            refuse_drill(run.name)
        with closing(SiteLock(**lock_paths(request), holder=holder(run, operator))) as lock:
            refuse_newer(lock, run.name)
            job = open_job(request, journal, sibling_journals(run))
            steps = checklist(job)
            if purpose == "resume":
                refuse_resume(journal.events, steps)
            journal.step, rebooted = None, booted(journal.events) != boot_id()
            try:
                lock.mark(mark(request, run, None))
                taken_up = {"purpose": purpose, "operator": operator, "armed": is_done(journal.events)}
                journal.write(Resumed, program=__version__, boot=boot_id(), **taken_up)
            except OSError as error:
                state = run.parent.parent
                why = f"the journal in {state} cannot be written: {error.strerror}"
                raise Refused(
                    why, f"make room in {state}, then: pacs-recover --state {state} {purpose} {run.name}"
                ) from error
            if purpose == "rollback":
                return drive(engine.rollback(job.target), run, request, journal, lock)
            return drive(engine.resume(steps, job.target, stop, rebooted=rebooted), run, request, journal, lock)


def drive(work: engine.Run, run: Path, request: Request, journal: Journal, lock: SiteLock) -> int:
    """Run the engine to its end, answering what it asks; whatever fails in here is the engine's to roll back."""
    answer: bool | None = None
    problem: BaseException | None = None
    while True:
        try:
            event = work.throw(problem) if problem else work.send(answer)
        except StopIteration as end:
            with suppress(OSError):
                questions.take_notes(run, journal)
            try:
                settle(lock, journal, request, run)
            except OSError as error:  # how it ended is in the journal, which is what counts
                log(f"the lock files do not say how {run.name} ended: {error.strerror}")
            return int(end.value)
        answer, problem = None, None
        if not isinstance(event, Ended):  # nothing may follow the end: a reader would take the run for open
            with suppress(OSError):
                questions.take_up(run, journal)
        if isinstance(event, Asked):
            try:
                answer = reply(event, run, request, journal)
            except BaseException as error:
                problem = error


def reply(asked: Asked, run: Path, request: Request, journal: Journal) -> bool:
    """The operator's answer; of an unattended run, yes to just the questions that its plan printed."""
    audit, site = state_of(run).audit, str(request.site["name"])
    audit.note("question", run.name, asked.title, site)
    yes = _reply(asked, run, request, journal)
    by = next((e.by for e in reversed(journal.events) if isinstance(e, Answered)), "") or "nobody in time"
    audit.note("answer", run.name, f"{'yes' if yes else 'no'}, by {by}: {asked.title}", site)
    return yes


def _reply(asked: Asked, run: Path, request: Request, journal: Journal) -> bool:
    if not request.assume_yes:
        return questions.wait(run, asked, journal)
    yes = any(question.title == asked.title and question.details == asked.evidence for question in request.questions)
    by = f"plan {request.plan_id}" if yes else ""
    journal.write(Answered, title=asked.title, question=asked.question, yes=yes, by=by)
    return yes


def refused(journal: Journal, error: Exception, target: Target | None = None) -> int:
    """End a run that may not even begin; a drill's sandbox goes with it."""
    discard_scratch(journal.path.parent)
    message, hint, code = engine.told(error)
    if isinstance(target, Sandbox):
        target.tidy()
    journal.write(Failed, title="Begin", evidence=message, hint=hint, exit_code=code)
    journal.write(Ended, outcome="failed_untouched", exit_code=code, evidence=message)
    return code


def sibling_journals(run: Path) -> list[Path]:
    """The journals of the same state directory: what they set aside is a source."""
    return state_of(run).journals()


def state_of(run: Path) -> State:
    """The state directory that a run lies in."""
    return State(run.parent.parent)


def read_request(run: Path) -> Request:
    """The request that a front end left. RecoverError."""
    try:
        return msgspec.json.decode((run / REQUEST).read_bytes(), type=Request)
    except (OSError, *UNDECODABLE) as error:
        raise RecoverError(f"the request of run {run.name} cannot be read: {safe(error)}", "plan again") from error


def request_of(events: list[AnyEvent]) -> Request | None:
    """The request in a journal's first line, if that is whole."""
    return events[0].request if events and isinstance(events[0], Planned) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
