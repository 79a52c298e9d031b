"""From a drill's request to a job that can run: production is only read, all that changes lies in the sandbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pacs_recover.checklist import checklist
from pacs_recover.components import Job, Look
from pacs_recover.drill import STARTED, sandboxes
from pacs_recover.drill.validation import Validation, at_loopback
from pacs_recover.errors import RecoverError
from pacs_recover.events import Drill, Noted, Request
from pacs_recover.formats import hl7_messages
from pacs_recover.jobs import environment, opener, site_of
from pacs_recover.journal import Journal
from pacs_recover.model import Service, Step
from pacs_recover.services import services_of
from pacs_recover.services.bubblewrap import Box
from pacs_recover.services.health import Health
from pacs_recover.services.sandboxed import Process, Sandboxed
from pacs_recover.services.sandboxed_container import SandboxedContainer, inspected, mapped
from pacs_recover.site import ContainerConfig, Site
from pacs_recover.target import production
from pacs_recover.target.control import Control
from pacs_recover.target.host import owner_of
from pacs_recover.target.production import Production
from pacs_recover.target.sandbox import Home, Note, Sandbox, under
from pacs_recover.text import safe

PROBE_TIMEOUT = 5.0
"""Seconds that one health request may take."""
STOP_TIMEOUT = 10.0
"""Seconds that the sandboxed service gets to end by itself: what it leaves behind is thrown away."""


@dataclass
class Rehearsal:
    """One drill while it runs."""

    job: Job
    drill: Drill
    target: Sandbox
    service: Sandboxed | None
    services: tuple[Service, ...]
    """The real ones, which are only asked."""
    before: Production | None = None
    compared: bool = False

    def steps(self) -> tuple[Step, ...]:
        """The live restore's own checklist, between a look at production and another one."""
        return (
            Step("Look at production, to compare it with afterwards", self._look),
            Step("Make the sandbox, with copies of what is not restored", self._furnish),
            *self._restore(),
            Step("Production is as it was", self._compare, kind="check"),
        )

    def _restore(self) -> Iterator[Step]:
        """What counts a real queue's losses has nothing to count here; without a sandbox nothing is started."""
        for step in checklist(self.job):
            if step.phase != "after":
                yield step
        if self.service is None and self.drill.why:
            yield Step("PACS Bridge is started in a sandbox", self._not_started, kind="check", covers=STARTED)

    def _not_started(self) -> str:
        raise RecoverError(
            f"not started: {self.drill.why}",
            "a restored queue holds real orders, so nothing is started where it could reach anybody: see docs/drill.md",
        )

    def _look(self) -> str:
        self.before = production.look(self.drill.production, self.services)
        return f"SHA-256 {self.before.sha256}"

    def _furnish(self) -> str:
        site, chosen = self.job.look.site, self.job.choices
        for path in site.drill.messages:
            hl7_messages.from_file(path)  # what cannot be sent is said before anything is restored
        real = {path.component: Path(path.real) for path in self.drill.production}
        said = [self.target.copy(name, real[name]) for name in ("config", "certs") if name not in chosen]
        said += [] if "queue" in chosen else ["queue: begins empty"]
        for directory in (self.target.live["queue"].parent, under(self.target.home.path, site.live.logs)):
            self.target.make_room(directory)
        return "; ".join(said) or "nothing: everything is restored, as on a new host"

    def _compare(self) -> str:
        self.compared = True
        assert self.before is not None
        after = production.look(self.drill.production, self.services)
        found = list(production.differences(self.before, after))
        said = "; ".join(found) or production.sentence(self.before, after)
        state = "bad" if found else "ok"
        self.target.journal.write(
            Noted, topic="production", title="Production is as it was", evidence=said, state=state
        )
        if found:
            raise RecoverError(said, "this drill writes to nothing but its sandbox: see who else changed it meanwhile")
        return said

    def compare_early(self) -> None:
        """Also of a drill that failed: what is seen of production then is a note, not another failure."""
        if self.before is not None and not self.compared:
            try:
                self._compare()
            except RecoverError:
                return


def open_drill(request: Request, journal: Journal, journals: Iterable[Path]) -> Rehearsal:
    """The drill of a request, with its sandbox made and locked. RecoverError, OSError."""
    drill = request.drill
    assert drill is not None
    site = site_of(request)
    service = _service(site, drill, journal.path.parent) if drill.sandbox != "root" else None
    home = Home.make(Path(drill.home), _note(journal.path.parent, service))
    control = Control(site, (service,) if service else (), journal, _prober(site, service))
    target = Sandbox(site, request.live, control, journal, home, service.close if service else lambda: None)
    variables = _environment(site)
    look = Look(site=site, environment=variables, live={path.component: Path(path.real) for path in request.live})
    job = Job(
        look=look,
        choices={choice.backup.component: choice for choice in request.choices},
        questions=(),
        open=opener(site, journals, journal.path.parent),
        services=control.services,
        host=target,
    )
    trying = tuple(Validation(job, service, journal).steps()) if service else None
    rehearsal = Rehearsal(replace(job, validation=trying), drill, target, service, services_of(site))
    target.last = rehearsal.compare_early
    return rehearsal


def _environment(site: Site) -> dict[str, str] | None:
    """The service's variables and the drill's own; None where those of the service cannot be known."""
    known = environment(services_of(site))
    return None if known is None and not site.drill.environment else {**(known or {}), **site.drill.environment}


def _service(site: Site, drill: Drill, run: Path) -> Sandboxed:
    real = sandboxes.service_of(site)
    variables = _environment(site) or {}
    home = Path(drill.home)
    if drill.sandbox == "container":
        image = sandboxes.image_of(site, real)
        program = sandboxes.Program(sandboxes.command_of(site, real))
        box = _box(site, drill, run, real.name, program, variables)
        mounts = inspected(image.runtime, real.name).get("Mounts") if isinstance(real, ContainerConfig) else None
        live = {path.component: Path(path.declared) for path in drill.production}
        copies = mapped(mounts, live, partial(under, home)) or box.copies
        return SandboxedContainer(replace(box, copies=copies), image, f"pacs_recover_{run.name}")
    program = sandboxes.program_of(site, real, variables)
    box = _box(site, drill, run, real.name, program, variables)
    return Process(replace(box, readable=(*sandboxes.own_trees(program), *box.readable), directory=program.directory))


def _box(
    site: Site, drill: Drill, run: Path, name: str, program: sandboxes.Program, variables: Mapping[str, str]
) -> Box:
    home = Path(drill.home)
    places = {Path(path) for part in drill.production for path in (part.declared, part.real)}
    return Box(
        name=name,
        argv=program.argv,
        environment=variables,
        copies=_copies(site, drill),
        hidden=(*places, site.live.logs, site.key_file, *site.directories.values(), run.parent.parent, home.parent),
        readable=site.drill.readable,
        writable=site.drill.writable,
        user=owner_of(site),
        stop_timeout=min(site.stop_timeout, STOP_TIMEOUT),
    )


def _copies(site: Site, drill: Drill) -> dict[Path, Path]:
    """Where the service sees its files, by the names that it knows and by where the site's links lead."""
    home = Path(drill.home)
    found = {site.live.logs: under(home, site.live.logs)}
    for part in drill.production:
        declared, real = Path(part.declared), Path(part.real)
        if part.component == "certs" and declared.is_relative_to(site.live.config):
            continue
        if part.component == "queue":
            declared, real = declared.parent, real.parent
        found |= {declared: under(home, declared), real: under(home, declared)}
    return found


def _note(run: Path, service: Sandboxed | None) -> Note:
    if isinstance(service, SandboxedContainer):
        return Note(run=str(run), container=service.called, runtime=service.image.runtime)
    return Note(run=str(run))


def _prober(site: Site, service: Sandboxed | None) -> partial[Health] | None:
    """The site's health endpoint as the sandboxed service answers it, at loopback."""
    if site.health is None or service is None:
        return None
    return partial(_ask, service, at_loopback(site.health.url))


def _ask(service: Sandboxed, url: str) -> Health:
    try:
        return service.inside().health(url, PROBE_TIMEOUT)
    except RecoverError as error:
        return Health(False, safe(error.message))
