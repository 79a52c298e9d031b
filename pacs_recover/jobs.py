"""From a journalled request to a job that can run: the same for a restore, a resume and a rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import structs

from pacs_recover.components import Job, Look
from pacs_recover.errors import SourceError
from pacs_recover.events import LivePath, Request
from pacs_recover.formats import manifest
from pacs_recover.formats.manifest import Opened, Record
from pacs_recover.journal import Journal
from pacs_recover.model import LIVE, Backup, Service
from pacs_recover.services import services_of
from pacs_recover.services.health import Health, probe
from pacs_recover.site import Site
from pacs_recover.site.model import from_data
from pacs_recover.sources import Source, sources_of
from pacs_recover.state import run_scratch
from pacs_recover.target import places
from pacs_recover.target.control import Control
from pacs_recover.target.host import Target
from pacs_recover.text import safe


def live_paths(site: Site) -> tuple[LivePath, ...]:
    """The live parts with their links resolved once. RecoverError for a link that others could change."""
    declared = {name: Path(getattr(site.live, name)) for name in LIVE}
    return tuple(
        LivePath(component=name, declared=str(path), real=str(places.resolve(path))) for name, path in declared.items()
    )


def environment(services: Iterable[Service]) -> dict[str, str] | None:
    """The variables of all services together; None where those of any cannot be known."""
    found: dict[str, str] = {}
    for service in services:
        variables = service.environment()
        if variables is None:
            return None
        found |= variables
    return found


def look_at(site: Site, live: Iterable[LivePath], services: Iterable[Service], *, carry_over: bool = False) -> Look:
    """What components judge content with."""
    return Look(
        site=site,
        environment=environment(services),
        live={path.component: Path(path.real) for path in live},
        carry_over=carry_over,
    )


def prober(site: Site) -> Callable[[], Health] | None:
    """Asks the site's health endpoint, where it has one."""
    return partial(probe, site.health.url, PROBE_TIMEOUT) if site.health else None


PROBE_TIMEOUT = 5.0
"""Seconds that one health request may take."""


def site_of(request: Request) -> Site:
    """The site as it was when the run was planned."""
    return from_data(request.site)


def open_job(request: Request, journal: Journal, journals: Iterable[Path] = ()) -> Job:
    """The job of a request, with a target that writes to this journal. RecoverError."""
    site = site_of(request)
    services = services_of(site)
    control = Control(site, services, journal, prober(site))
    return Job(
        look=look_at(site, request.live, services, carry_over=request.carry_over),
        choices={choice.backup.component: choice for choice in request.choices},
        questions=request.questions,
        open=opener(site, journals, run_scratch(journal.path.parent)),
        services=services,
        host=Target(site, request.live, control, journal),
    )


def opener(site: Site, journals: Iterable[Path], scratch: Path) -> Callable[[Backup], AbstractContextManager[Opened]]:
    """Opens any backup of the site's sources; what a source must assemble first goes into ``scratch``. SourceError."""

    @contextmanager
    def open_backup(backup: Backup) -> Iterator[Opened]:
        source = source_of(site, journals, backup)
        record = _record(source, backup, scratch)
        with source.open(backup, scratch) as raw:
            yield Opened(raw, record)

    return open_backup


def source_of(site: Site, journals: Iterable[Path], backup: Backup) -> Source:
    """The site's source that holds a backup. SourceError."""
    found = next((source for source in sources_of(site, journals) if source.name == backup.source), None)
    if found is None:
        raise SourceError(f"the site has no source {safe(backup.source)}", "see: pacs-recover site show")
    return found


def _record(source: Source, backup: Backup, scratch: Path) -> Record:
    """What is recorded of a backup's bytes; a manifest that cannot be read is a finding, as the backup may be good."""
    if source.proof or not backup.recorded:
        return Record(source.proof or manifest.NONE)
    beside = structs.replace(backup, key=backup.recorded, size=None)
    name = _name(backup.recorded)
    try:
        with source.open(beside, scratch) as raw:
            return manifest.read(raw, name, _name(backup.key))
    except SourceError as error:
        return manifest.unreadable(name, error.message)


def _name(key: str) -> str:
    """The file's name in a path or an object's URL."""
    return Path(unquote(urlsplit(key).path) if key.startswith("s3://") else key).name


def reals(live: Iterable[LivePath]) -> Mapping[str, Path]:
    """Live paths by component."""
    return {path.component: Path(path.real) for path in live}
