"""Holding a site still for a command: a backup that waits for a restore, and that a restore waits for."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pacs_recover import front
from pacs_recover.authority import Authority
from pacs_recover.errors import Busy, RecoverError, Refused
from pacs_recover.plan import operator
from pacs_recover.site import Site
from pacs_recover.state import State
from pacs_recover.target.host import live_trees
from pacs_recover.target.lock import Holder, SiteLock, holder_now
from pacs_recover.text import safe

POLL = 0.5
"""Seconds between two attempts."""


def holders(site: Site) -> list[Holder]:
    """Who holds a site now, as far as we may look."""
    return front.holders(front.request_of(site))


def hold(site: Site, command: str, authority: Authority, patience: float = 0.0) -> SiteLock:
    """Take the site's locks for a command, trying for ``patience`` seconds.

    Raises Busy while a run or another command has them, or a run has not ended; Refused where we may not take them.
    """
    authority.must_allow("lock exec")
    until = time.monotonic() + patience
    while True:
        try:
            return _take(site, command)
        except Busy:
            if time.monotonic() >= until:
                raise
            time.sleep(min(POLL, max(0.0, until - time.monotonic())))


def _take(site: Site, command: str) -> SiteLock:
    request = front.request_of(site)
    live = {path.component: Path(path.real) for path in request.live}
    try:
        front.refuse_busy(request)
        return SiteLock(live.values(), live_trees(live), holder_now(command, operator()))
    except PermissionError as error:
        raise Refused(
            f"the lock of {safe(site.name)} is root's: {error.filename} may not be opened by this user",
            "run it as root: sudo pacs-recover …, or from root's crontab",
        ) from error


def become(argv: Sequence[str], held: SiteLock, state: State, site: Site, umask: int) -> None:
    """Become the command, which keeps the lock until it and all that it started have ended. RecoverError."""
    program = shutil.which(argv[0])
    if program is None:
        error = RecoverError(f"{safe(argv[0])} is no program here", "name it by its whole path")
        error.exit_code = 127  # as a shell says it
        raise error
    state.audit.note("lock", f"command {Path(program).name}", "began", site.name)
    held.outlive()
    os.umask(umask)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
        signal.signal(number, signal.SIG_DFL)
    os.execv(program, list(argv))  # noqa: S606 - no shell is wanted
