"""What is said beside the live paths of the run that holds them, and of the last one that changed them."""

from __future__ import annotations

import os
from pathlib import Path

from pacs_recover import engine
from pacs_recover.errors import Refused
from pacs_recover.events import Request
from pacs_recover.journal import Journal
from pacs_recover.runs import is_finished, last_end
from pacs_recover.state import JOURNAL, discard_scratch
from pacs_recover.target.host import live_trees
from pacs_recover.target.lock import RUN, Holder, Mark, SiteLock, holder_now


def lock_paths(request: Request) -> dict[str, tuple[Path, ...]]:
    """Every live path of the site and the directories that belong to the service."""
    live = {path.component: Path(path.real) for path in request.live}
    return {"reals": tuple(live.values()), "live_trees": live_trees(live)}


def holder(run: Path, operator: str) -> Holder:
    """This worker, as the lock names it."""
    return holder_now(f"{RUN}{run.name}", operator)


def mark(request: Request, run: Path, previous: Mark | None, *, finished: bool = False) -> Mark:
    """What the lock files say of this run."""
    return Mark(
        run=run.name,
        journal=str(run / JOURNAL),
        finished=finished,
        operator=request.operator,
        pid=os.getpid(),
        previous=previous,
    )


def settle(lock: SiteLock, journal: Journal, request: Request, run: Path) -> None:
    """Say beside the live paths how the run ended: one that changed nothing leaves the mark of the one before it."""
    discard_scratch(run)
    ended = last_end(journal.events)
    if ended is None or ended.outcome == "rollback_incomplete":
        return
    said = next(iter(lock.said()), None)
    if engine.changed(journal.events):
        lock.mark(mark(request, run, None, finished=True))
    elif said and said.previous:
        lock.mark(said.previous)
    else:
        lock.clear()


def refuse_unfinished(lock: SiteLock, run: str) -> Mark | None:
    """The mark of the last changing run. Refused where that has not ended."""
    said = next(iter(lock.said()), None)
    if said is None or said.run == run or said.finished or is_finished(Path(said.journal)):
        return said
    missing = "" if Path(said.journal).exists() else f" (its journal {said.journal} is missing)"
    state = Path(said.journal).parent.parent.parent
    raise Refused(
        f"run {said.run} of {said.operator} has not ended{missing}",
        f"end it first: pacs-recover --state {state} rollback {said.run} (or resume, or close --why)",
    )


def refuse_newer(lock: SiteLock, run: str) -> None:
    """Only the newest changing run can be taken up: an older one's originals are no longer what is live. Refused."""
    for said in lock.said():
        refuse_mark(said, run)


def refuse_mark(said: Mark, run: str) -> None:
    """Refused where this mark is another run's."""
    if said.run != run:
        raise Refused(
            f"run {said.run} changed this site after {run}",
            f"restore what {run} set aside instead: pacs-recover catalog --source aside",
        )
