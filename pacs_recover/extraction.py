"""Getting the files of a backup out, next to nothing live."""

from __future__ import annotations

import shutil
from pathlib import Path

from pacs_recover.authority import Authority
from pacs_recover.components import Read, component, exhaust, read_backup
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.jobs import live_paths, opener, reals
from pacs_recover.looks import look
from pacs_recover.model import Backup
from pacs_recover.site import Site
from pacs_recover.state import State, outside
from pacs_recover.target.host import live_trees
from pacs_recover.text import safe, size


def extract(site: Site, backup: Backup, directory: Path, state: State, authority: Authority) -> str:
    """Unpack into a new directory, which appears only when the backup was read to its end without a fault.

    Raises Refused for a place that exists or is live, BadBackup, SourceError, OSError.
    """
    authority.must_allow("extract")
    refuse_place(site, directory)
    with state.audit.noting("extract", backup.id, site.name):
        return _extract(site, backup, directory, state)


def _extract(site: Site, backup: Backup, directory: Path, state: State) -> str:
    with state.scratch() as scratch:
        part = outside(scratch, directory.with_name(f".{directory.name}.part"))
        try:
            done = _unpacked(site, backup, part, state, scratch)
            part.rename(directory)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return f"{safe(backup.id)}: {size(done.content)} in {safe(directory)}, SHA-256 of the backup {done.sha256}"


def _unpacked(site: Site, backup: Backup, part: Path, state: State, scratch: Path) -> Read:
    with opener(site, state.journals(), scratch)(backup) as raw:
        return exhaust(read_backup(component(backup.component), backup, raw, part, look(site)))


def refuse_place(site: Site, directory: Path) -> None:
    """Refused where something stands there or the service lives there."""
    if directory.exists() or directory.is_symlink():
        raise Refused(f"{safe(directory)} exists", "name a directory that does not: nothing is overwritten")
    if not directory.parent.is_dir():
        raise RecoverError(f"there is no directory {safe(directory.parent)}", "make it first")
    home = directory.parent.resolve()
    for tree in live_trees(dict(reals(live_paths(site)))):
        if home == tree or home.is_relative_to(tree):
            raise Refused(f"{safe(directory)} lies in the live directory {safe(tree)}", "extract to somewhere else")
