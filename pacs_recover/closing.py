"""Ending an unfinished run whose live state a person put right by hand."""

from __future__ import annotations

from pathlib import Path

from pacs_recover import engine, marking, worker
from pacs_recover import plan as plans
from pacs_recover.authority import Authority
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.events import Ended, Request
from pacs_recover.jobs import open_job
from pacs_recover.journal import Journal
from pacs_recover.runs import ENDS, is_drill, last_end
from pacs_recover.state import JOURNAL
from pacs_recover.target import lock
from pacs_recover.target.sandbox import refuse_drill
from pacs_recover.text import safe


def close(run: Path, why: str, authority: Authority) -> None:
    """End an unfinished run whose live state a person put right by hand. Refused where it is going on or has ended."""
    authority.must_allow("closing a run")
    with worker.state_of(run).audit.noting("close", run.name):
        _close(run, why)


def _close(run: Path, why: str) -> None:
    journal = Journal(run / JOURNAL, create=False)
    try:
        ended = last_end(journal.events)
        if ended and ended.outcome in ENDS:
            raise Refused(f"run {run.name} has ended: {ended.outcome}", "there is nothing to close")
        if is_drill(journal.events):
            refuse_drill(run.name)
        request = worker.request_of(journal.events) or worker.read_request(run)
        site_lock = lock.SiteLock(**marking.lock_paths(request), holder=marking.holder(run, plans.operator()))
        journal.step = None
        evidence, kept = f"closed by {plans.operator()}: {safe(why, 500)}", _kept(request, journal)
        journal.write(Ended, outcome="closed", exit_code=0, evidence=evidence, kept=kept)
        marking.settle(site_lock, journal, request, run)
        site_lock.close()
    finally:
        journal.close()


def _kept(request: Request, journal: Journal) -> tuple[str, ...]:
    """Remove what the run staged, which holds copies of messages; where what it set aside lies."""
    try:
        return engine.tidied(open_job(request, journal).target)
    except (RecoverError, OSError) as error:  # closing is for a site that is not as it was
        return (f"not tidied up: {engine.told(error)[0]}",)
