"""Which sandbox a site can have on this host, and the service that runs in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pacs_recover.errors import RecoverError
from pacs_recover.events import SandboxKind
from pacs_recover.services import sandboxed, sandboxed_container
from pacs_recover.services.calls import LOOK, NoAnswer, call
from pacs_recover.services.container import Container
from pacs_recover.services.sandboxed_container import Image, inspected
from pacs_recover.site import CommandConfig, ContainerConfig, ServiceConfig, Site, SystemdConfig
from pacs_recover.text import safe

LITESTREAM = "litestream"
"""What is never started in a drill: it would replicate the restored queue."""
PROPERTIES = "ExecStart,WorkingDirectory"
ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
WATCH = 'start="$1" status="$2"; eval "$start" || exit 1; while sleep 0.5; do eval "$status" || exit 1; done'
"""A start command returns and leaves a daemon: the sandbox lives for as long as its status command says so."""


@dataclass(frozen=True)
class Chosen:
    """The sandbox of one drill."""

    kind: SandboxKind
    why: str = ""
    """Why the service is not started, where another sandbox was wanted."""


@dataclass(frozen=True)
class Program:
    """What is run in a process sandbox."""

    argv: tuple[str, ...]
    directory: str = "/"
    programs: tuple[str, ...] = ()
    """Those that it runs besides."""


def choose(site: Site, wanted: str | None = None) -> Chosen:
    """The sandbox that is wanted if this host has it, else a directory with the reason."""
    wanted = wanted or site.drill.sandbox
    if wanted == "root":
        return Chosen("root")
    try:
        service = service_of(site)
        kind = _natural(site, service) if wanted == "auto" else wanted
        why = _why_no_container(site, service) if kind == "container" else _why_no_process(site, service)
    except RecoverError as error:
        kind, why = "root", f"{error.message}: {error.hint}"
    if why:
        return Chosen("root", why)
    return Chosen("container" if kind == "container" else "process")


def service_of(site: Site) -> ServiceConfig:
    """The service that a drill starts. RecoverError where the site does not say which."""
    if site.drill.service:
        return next(service for service in site.services if service.name == site.drill.service)
    found = [service for service in site.services if LITESTREAM not in service.name.lower()]
    if len(found) == 1:
        return found[0]
    what = "several services" if found else "no service"
    raise RecoverError(f"the site has {what}", "name the one to start as drill.service in the site file")


def _natural(site: Site, service: ServiceConfig) -> str:
    boxed = isinstance(service, ContainerConfig) and not site.drill.start
    return "container" if site.drill.image or boxed else "process"


def _why_no_process(site: Site, service: ServiceConfig) -> str:
    if why := sandboxed.missing():
        return why
    program_of(site, service, {})
    return ""


def _why_no_container(site: Site, service: ServiceConfig) -> str:
    if os.geteuid() != 0:
        return "only root can look into a container's network"
    image = image_of(site, service)
    return sandboxed_container.missing(image.runtime, image.name)


def image_of(site: Site, service: ServiceConfig) -> Image:
    """What the drill's container is made from: the image named, else the live container's own. RecoverError."""
    boxed = service if isinstance(service, ContainerConfig) else None
    runtime = site.drill.runtime or (boxed.runtime if boxed else "docker")
    if site.drill.image:
        return Image(runtime, site.drill.image)
    live = inspected(runtime, boxed.container) if boxed else {}
    name = live.get("Image") or live.get("Config", {}).get("Image")
    if not name and boxed:
        detail = Container(boxed.container, runtime).state().detail
        raise RecoverError(
            f"the image of {safe(boxed.container)} is not known: {detail}", "see: drill.image in the site file"
        )
    if not name:
        raise RecoverError("no image is known for the drill's container", "name one as drill.image in the site file")
    return Image(runtime, str(name), str(live.get("Config", {}).get("User") or ""))


def command_of(site: Site, service: ServiceConfig) -> tuple[str, ...]:
    """What the drill's container runs: ``drill.start``, else what the live one runs, else the image's own."""
    if site.drill.start:
        return _named(site)
    if not isinstance(service, ContainerConfig) or site.drill.image:
        return ()
    return tuple(inspected(site.drill.runtime or service.runtime, service.container).get("Config", {}).get("Cmd") or ())


def program_of(site: Site, service: ServiceConfig, environment: Mapping[str, str]) -> Program:
    """What the process sandbox runs, in the foreground. RecoverError where that cannot be known."""
    if site.drill.start:
        return Program(_named(site))
    match service:
        case SystemdConfig():
            return _of_unit(service.unit, environment)
        case CommandConfig():
            status = shlex.join(service.status) if service.status else "true"
            argv = ("/bin/sh", "-c", WATCH, "sh", shlex.join(service.start), status)
            return Program(argv, programs=(service.start[0], *service.status[:1]))
        case ContainerConfig():
            raise RecoverError(
                "a container's service is no program of this host", "name it as drill.start, or drill in a container"
            )


def _named(site: Site) -> tuple[str, ...]:
    config = str(site.live.config / site.live.config_file)
    return tuple(word.replace("{config}", config) for word in site.drill.start)


def _of_unit(unit: str, environment: Mapping[str, str]) -> Program:
    """What the unit's ExecStart runs; systemd shows its arguments unquoted, so none may hold a blank."""
    hint = "name it as drill.start in the site file"
    try:
        shown = call(["systemctl", "show", f"--property={PROPERTIES}", "--", unit], LOOK, {**os.environ, "LC_ALL": "C"})
    except NoAnswer as error:
        raise RecoverError(error.message, hint) from error
    values = dict(line.partition("=")[::2] for line in shown.output.splitlines())
    found = ARGV.findall(values.get("ExecStart", ""))
    if shown.code or len(found) != 1:
        raise RecoverError(f"what {safe(unit)} runs cannot be told from its ExecStart", hint)
    words = [VARIABLE.sub(lambda m: environment.get(m[1] or m[2], ""), word) for word in found[0].split()]
    directory = values.get("WorkingDirectory", "").lstrip("!-") or "/"
    return Program(tuple(words), directory if directory.startswith("/") else "/")


def own_trees(program: Program) -> tuple[Path, ...]:
    """Where programs were installed, beside the system's own directories: above their ``bin``, else the file alone."""
    found = [Path(path) for name in (program.argv[0], *program.programs) if (path := shutil.which(name))]
    homes = [_home(path) for one in found for path in (one, Path(os.path.realpath(one)))]
    return tuple(home for home in dict.fromkeys(homes) if home != Path("/") and not home.is_relative_to("/usr"))


def _home(program: Path) -> Path:
    return program.parent.parent if program.parent.name in ("bin", "sbin", "libexec") else program
