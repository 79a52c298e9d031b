"""Vouching for the audit outside of this host, and checking it against what was vouched for."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from threading import Thread

from pacs_recover.audit import checking, syslog
from pacs_recover.audit.checking import Anchors, Verified
from pacs_recover.audit.syslog import Anchor
from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.site import BucketConfig, Site
from pacs_recover.state import State
from pacs_recover.text import count, safe

PATIENCE = 8.0
"""Seconds that a bucket gets to take an anchor; nothing waits for it longer."""


def anchor(site: Site, state: State) -> None:
    """Put the newest record's hash into the site's bucket, if it has one; where that fails it is told, and goes on."""
    newest = state.audit.newest
    if site.audit.anchor is None or newest is None:
        return
    problem = _put(site.audit.anchor, newest)
    if problem:
        state.audit.note("anchor", f"record {newest.n}", f"failed: {problem}", site.name)
        state.audit.warn(f"the audit is not anchored: {problem}")


def _put(config: BucketConfig, newest: Anchor) -> str:
    """What went wrong; empty where nothing did."""
    said = [f"s3://{safe(config.bucket)} does not answer"]

    def work() -> None:
        try:
            from pacs_recover.sources.s3 import anchor

            anchor.put(config, directory(newest.host, newest.home), newest)
            said[:] = [""]
        except RecoverError as error:
            said[:] = [error.message]
        except Exception as error:  # a fault there must not cost a plan or a run
            said[:] = [f"{type(error).__name__}: {safe(error)}"]

    thread = Thread(target=work, daemon=True, name="anchor")
    thread.start()
    thread.join(PATIENCE)
    return said[0]


def directory(host: str, home: str) -> str:
    """Where in the bucket the anchors of one audit are: each of a host's audits has its own."""
    return f"{host}-{hashlib.sha256(home.encode()).hexdigest()[:8]}"


def verify(site: Site, state: State, exported: Path | None = None) -> Verified:
    """The audit against its own chain and every anchor that can be read. SourceError where it cannot be read.

    ``exported`` is a text file with anchors, such as a log of the syslog server.
    """
    host, home = socket.gethostname(), state.audit.home
    found = [_exported(exported)] if exported else []
    found.append(_journal(home))
    if site.audit.anchor:
        found.append(_bucket(site.audit.anchor, host, safe(home)))
    own = [_own(anchors, host, safe(home)) for anchors in found]
    return checking.verify(home, own)


def _own(anchors: Anchors, host: str, home: str) -> Anchors:
    """Those of this audit alone."""
    mine = tuple(one for one in anchors.found if (one.host, one.home) == (host, home))
    if not mine:
        return Anchors(anchors.place, anchors.detail)
    told = f"{count(len(mine), 'anchor')}, the newest of record {max(one.n for one in mine)}"
    return Anchors(anchors.place, f"{told}; {anchors.detail}" if anchors.detail else told, mine)


def _exported(path: Path) -> Anchors:
    try:
        return Anchors(f"file {safe(path)}", "", tuple(syslog.in_file(path)))
    except OSError as error:
        raise SourceError(f"the anchors {safe(path)} cannot be read: {error.strerror}", "name another file") from error


def _journal(home: Path) -> Anchors:
    try:
        owner = home.stat().st_uid
    except OSError:
        owner = os.geteuid()
    found = syslog.in_journal(owner)
    if found is None:
        why = "it cannot be read here; export the system's log and name that: --anchors FILE"
        return Anchors("system journal", why)
    return Anchors("system journal", "" if found else "it has none", tuple(found))


def _bucket(config: BucketConfig, host: str, home: str) -> Anchors:
    place = f"bucket {safe(config.bucket)}"
    try:
        from pacs_recover.sources.s3 import anchor

        found, facts = anchor.anchors(config, directory(host, home), host, home)
    except SourceError as error:
        return Anchors(place, error.message)
    return Anchors(place, facts, tuple(found))
