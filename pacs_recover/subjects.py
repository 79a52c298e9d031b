"""What is to be verified: which backups of a site, the want of one, and one shard's part of many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pacs_recover import catalog
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import UsageError
from pacs_recover.model import COMPONENTS, Backup
from pacs_recover.site import Site
from pacs_recover.sources.aside import AsideSource
from pacs_recover.text import safe
from pacs_recover.verdicts import place


@dataclass(frozen=True)
class Subject:
    """What is to be verified: a backup, or the want of one."""

    site: Site
    name: str
    """The backup's id; where there is none, the component, or ``@`` and the source that could not be read."""
    component: str = ""
    backup: Backup | None = None
    missing: str = ""
    """Why there is no backup to read."""
    is_newest: bool = False
    """Whether the site stands or falls with it: the newest backup of a component, or where one may be."""

    @property
    def is_source(self) -> bool:
        """Whether it is a source, or a whole site, that could not be read."""
        return self.name.startswith("@")


def subjects(
    site: Site, found: Catalog, *, every: bool = False, components: Sequence[str] = (), at: datetime | None = None
) -> list[Subject]:
    """The newest backup of each component, or every one; what is not there, or could not be looked for, is one too."""
    wanted = tuple(components) or COMPONENTS
    chosen = [_newest(site, found, name, at) for name in wanted]
    if every:
        picked = {one.name for one in chosen}
        listed = (one for one in catalog.folded(found)[0] if one.component in wanted and _is_meant(one, at))
        chosen += [of_backup(site, one) for one in listed if one.id not in picked]
    return [*chosen, *(_unread(site, state) for state in found.sources if not state.ok)]


def of_backup(site: Site, backup: Backup) -> Subject:
    """A backup as what is to be verified."""
    return Subject(site, backup.id, backup.component, backup)


def of_file(name: str, why: str) -> Subject:
    """A site file that is none: nothing of it can be looked for."""
    return Subject(Site(name=name), f"@{name}", missing=f"the site could not be read: {why}", is_newest=True)


def _newest(site: Site, found: Catalog, component: str, at: datetime | None) -> Subject:
    newest = catalog.newest(found, component, at)
    if newest:
        return Subject(site, newest.id, component, newest, is_newest=True)
    return Subject(site, component, component, missing="no backup found", is_newest=True)


def _is_meant(backup: Backup, at: datetime | None) -> bool:
    return backup.current and backup.source != AsideSource.name and (at is None or backup.taken_at <= at)


def _unread(site: Site, state: SourceState) -> Subject:
    return Subject(
        site, f"@{state.name}", missing=f"the source could not be read in whole: {state.error}", is_newest=True
    )


def share(every: Iterable[Subject], index: int, number: int) -> list[Subject]:
    """One shard's part: the same for the same names, whatever else is verified."""
    return [one for one in every if int(place(one.site.name, one.name), 16) % number == index]


def shard_of(text: str | None, environ: Mapping[str, str]) -> tuple[int, int] | None:
    """``I/N``, I from 0; else what Kubernetes or Slurm say; None where this is no shard. UsageError."""
    said = text or _of_scheduler(environ)
    if said is None:
        return None
    index, _, number = said.partition("/")
    if not (index.isascii() and number.isascii() and index.isdigit() and number.isdigit()):
        raise UsageError(f"{safe(said)} is no shard", "write I/N: 0/4 is the first of four")
    if int(index) >= int(number):
        raise UsageError(f"there is no shard {safe(said)}", f"I goes from 0 to {max(int(number) - 1, 0)}")
    return int(index), int(number)


def _of_scheduler(environ: Mapping[str, str]) -> str | None:
    if "JOB_COMPLETION_INDEX" in environ:
        if "PACS_RECOVER_SHARDS" not in environ:
            raise UsageError(
                "JOB_COMPLETION_INDEX is set, but how many shards there are is not",
                "set PACS_RECOVER_SHARDS to the Job's completions (docs/kubernetes-verify.yaml)",
            )
        return f"{environ['JOB_COMPLETION_INDEX']}/{environ['PACS_RECOVER_SHARDS']}"
    if "SLURM_ARRAY_TASK_ID" in environ:
        index = int(environ["SLURM_ARRAY_TASK_ID"]) - int(environ.get("SLURM_ARRAY_TASK_MIN", "0"))
        return f"{index}/{environ.get('SLURM_ARRAY_TASK_COUNT', '')}"
    return None
