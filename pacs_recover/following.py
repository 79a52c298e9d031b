"""Seeing that a Litestream replica follows the live queue again after a restore.

Litestream's own directory beside the database (``.queue.db-litestream``) is left where it is. It numbers what it
uploads by it: 0.5 finds that the database under it is another one (its write-ahead log has other salts) and uploads it
in whole under the next number, 0.3 begins a new generation. Set aside and brought back by a rollback, it would give out
numbers a second time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pacs_recover.components import Job
from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.events import Effect, Question
from pacs_recover.model import Amount, Fact, Service, Work
from pacs_recover.site import Site
from pacs_recover.site.services import ServiceConfig
from pacs_recover.site.sources import LitestreamConfig
from pacs_recover.target import places
from pacs_recover.text import both_times, safe, seconds

if TYPE_CHECKING:
    from pacs_recover.formats.sqlite_set import Unknown
    from pacs_recover.sources.litestream import LitestreamSource, Position

LITESTREAM = "litestream"
"""In the name of its service, however it is run."""
UNPROVEN = "Restore without seeing that Litestream follows"
POLL = 0.5
"""Seconds between two looks at a replica."""
LOOKS = 3
"""How often a replica is looked at in any case, however long reading it takes."""
NOTED = "replica.json"


def replicas(site: Site) -> tuple[LitestreamSource, ...]:
    """The replicas that a Litestream of this site writes; none where the site controls no Litestream."""
    if not _has_litestream(site.services):
        return ()
    from pacs_recover.sources import replica_of

    return tuple(replica_of(config, site) for config in _configs(site))


def _has_litestream(services: Iterable[ServiceConfig | Service]) -> bool:
    return any(LITESTREAM in service.name.lower() for service in services)


def _configs(site: Site) -> Iterable[LitestreamConfig]:
    return (source for source in site.sources if isinstance(source, LitestreamConfig) and source.followed)


def findings(site: Site) -> tuple[Fact, ...]:
    """That the site has a replica but no service that writes it."""
    if replicas(site) or not any(_configs(site)):
        return ()
    why = "no Litestream among the site's services: one that runs on through a restore replicates nothing afterwards"
    return (Fact("Litestream", f"{why}; name it there, or say followed: false of an old replica", "warn"),)


def question(site: Site) -> Question | None:
    """What has to be accepted where a replica cannot even be read now."""
    for source in replicas(site):
        from pacs_recover.sources import litestream  # deferred, as in all of this file: many sites have none

        try:
            litestream.position(source)
        except RecoverError as error:
            return Question(UNPROVEN, f"the replica {safe(source.name)} cannot be read now: {error.message}")
    return None


def is_watched(job: Job) -> bool:
    """Whether the run has to see a replica follow: a drill runs no Litestream, so that none follows its queue."""
    if not _has_litestream(job.services):
        return False
    accepted = any(question.title == UNPROVEN for question in job.questions)
    return "queue" in job.choices and not accepted and bool(replicas(job.look.site))


def note(job: Job) -> str:
    """Write down how far each replica is before the services are stopped. SourceError, OSError."""
    from pacs_recover.sources import litestream

    found = {source.name: litestream.position(source) for source in replicas(job.look.site)}
    path = job.target.staging("queue") / NOTED
    path.unlink(missing_ok=True)
    path.write_bytes(msgspec.json.encode(found))
    return "; ".join(f"{safe(name)}: {position}" for name, position in found.items())


def follows(job: Job) -> Work:
    """Wait until every replica's newest point is the live queue. RecoverError."""
    from pacs_recover.sources.litestream import Position

    noted = msgspec.json.decode((job.target.staging("queue") / NOTED).read_bytes(), type=dict[str, Position])
    evidence = []
    for source in replicas(job.look.site):
        evidence.append((yield from _wait(job, source, noted[source.name])))
    return "; ".join(evidence)


def _wait(job: Job, source: LitestreamSource, noted: Position) -> Work:
    from pacs_recover.formats import sqlite_set
    from pacs_recover.formats.sqlite_set import Unknown

    patience, began, looks = job.look.site.start_timeout, time.monotonic(), 0
    live, since = job.look.live["queue"], _started(job)
    scratch = job.target.staging("queue") / "follow"
    places.remove_tree(scratch)
    places.make_directories(scratch)
    before: Path | Unknown = Unknown("")
    try:
        while True:
            if isinstance(before, Unknown):
                before = sqlite_set.copy_live(live, scratch)
            reason, evidence = _look(live, before, source, noted, since, scratch)
            looks += 1
            if not reason:
                return f"{safe(source.name)} {evidence}"
            if time.monotonic() - began > patience and looks >= LOOKS:
                raise _unfollowed(source, reason, patience)
            yield Amount(time.monotonic() - began, patience, "seconds")
            time.sleep(POLL)
    finally:
        places.remove_tree(scratch)


def _unfollowed(source: LitestreamSource, reason: str, patience: float) -> RecoverError:
    return RecoverError(
        f"the replica {safe(source.name)} does not follow the live queue after {seconds(patience)}: {reason}",
        "see Litestream's own log; where its sync-interval is longer than start_timeout, make that longer",
    )


def _started(job: Job) -> datetime:
    """When the services were started on what was restored."""
    return [e.at for e in job.target.journal.events if isinstance(e, Effect) and e.undo == "stop_again"][-1]


def _look(
    live: Path, before: Path | Unknown, source: LitestreamSource, noted: Position, since: datetime, scratch: Path
) -> tuple[str, str]:
    """Why the replica's newest point is not what lives and lived before, or how it is seen that it is."""
    from pacs_recover.formats import alike, sqlite_set
    from pacs_recover.formats.sqlite_set import Unknown
    from pacs_recover.sources import litestream

    try:
        newest, former = litestream.newest(source, noted, since)
        if newest is None:
            return "nothing has come to it since the start", ""
        with ExitStack() as open_ones:
            copy = open_ones.enter_context(source.open(newest, scratch))
            old = open_ones.enter_context(source.open(former, scratch)) if former else None
            after = sqlite_set.copy_live(live, open_ones.enter_context(_directory(scratch)))
            if isinstance(before, Unknown) or isinstance(after, Unknown):
                return next(one.reason for one in (before, after) if isinstance(one, Unknown)), ""
            why = alike.unlike(copy.path, before, after, old.path if old else None)
            return why, f"holds the live queue again as of {both_times(newest.taken_at)}; {copy.reached}"
    except (BadBackup, SourceError) as error:
        return error.message, ""


@contextmanager
def _directory(scratch: Path) -> Iterator[Path]:
    """A directory for one look."""
    path = scratch / "after"
    places.make_directories(path)
    try:
        yield path
    finally:
        places.remove_tree(path)
