"""What must hold between the values of a site; each rule says where it is broken and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

from pacs_recover.formats.age import RECIPIENT
from pacs_recover.formats.yaml_marks import Where
from pacs_recover.model import COMPONENTS
from pacs_recover.site.model import Ages, Site
from pacs_recover.site.services import CommandConfig, ContainerConfig, ServiceConfig, SystemdConfig
from pacs_recover.site.source_rules import NAME, Broken, broken_bucket, is_url, remote_sources, sources, tiers
from pacs_recover.site.sources import LitestreamConfig, LocalConfig, S3Config
from pacs_recover.site.zones import zone
from pacs_recover.text import safe, span

UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.\\@-]{0,254}")
CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,254}\$?")


def broken_rules(site: Site) -> Broken:
    """All rules that the site breaks."""
    for rule in RULES:
        yield from rule(site)


def _names(site: Site) -> Broken:
    if not site.name or site.name != site.name.strip() or not site.name.isprintable() or len(site.name) > 80:
        yield ("name",), "cannot be typed", "1 to 80 characters, none of them a control character or a blank at an end"
    for key in ("owner", "group"):
        if not ACCOUNT.fullmatch(getattr(site, key)):
            yield (key,), "is no account name", "write the name of the service's user, such as pacs_bridge"


def _live(site: Site) -> Broken:
    live = {name: getattr(site.live, name) for name in COMPONENTS}
    for name, path in live.items():
        if path == Path("/"):
            yield ("live", name), "is the whole filesystem", "name the directory of the service"
    for first, second in combinations(COMPONENTS, 2):
        if live[first] == live[second]:
            yield ("live", second), f"is the same path as live.{first}", "each part has its own"
        elif live[second].is_relative_to(live[first]) and (first, second) != ("config", "certs"):
            yield ("live", second), f"lies in live.{first}", "a restore of the one would move the other away"
        elif live[first].is_relative_to(live[second]):
            yield ("live", first), f"lies in live.{second}", "a restore of the one would move the other away"
    if not _is_inside(site.live.config_file):
        yield ("live", "config_file"), "is no file in live.config", "write it relative to live.config, as config.yaml"


def _is_inside(name: str) -> bool:
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _apart(site: Site) -> Broken:
    """What is not live must not be moved by a restore, nor be taken for a backup."""
    trees = {name: getattr(site.live, name) for name in ("config", "certs", "logs")}
    others: list[tuple[Where, Path]] = [(("key_file",), site.key_file), (("sandbox",), site.sandbox)]
    others += [(("sources", index, "path"), path) for index, path in site.directories.items()]
    others += [(("staging", index), path) for index, path in enumerate(site.staging)]
    for where, path in others:
        for name, tree in trees.items():
            if path.is_relative_to(tree):
                yield where, f"lies in live.{name}", "put it outside of what the service writes and a restore replaces"
        if path == site.live.queue:
            yield where, "is live.queue", "name another place"


def _holds_no_live_part(site: Site) -> Broken:
    places: list[tuple[Where, Path]] = [(("sandbox",), site.sandbox)]
    places += [(("sources", index, "path"), path) for index, path in site.directories.items()]
    for where, path in places:
        inside = [name for name in COMPONENTS if getattr(site.live, name).is_relative_to(path)]
        if inside:
            yield where, f"holds live.{inside[0]}", "name a directory of its own"


def _audit(site: Site) -> Broken:
    if site.audit.anchor is not None:
        yield from broken_bucket(site.audit.anchor, ("audit", "anchor"))


def _backup(site: Site) -> Broken:
    kinds = {source.name: source for source in site.sources}
    for index, name in enumerate(site.backup.to):
        if name not in kinds:
            yield ("backup", "to", index), f"{safe(name, 60)} is none of the sources", f"one of: {', '.join(kinds)}"
        elif isinstance(kinds[name], LitestreamConfig):
            yield ("backup", "to", index), f"{name} is a replica, which Litestream writes", "name another source"
    for index, text in enumerate(site.backup.recipients):
        if not RECIPIENT.fullmatch(text):
            yield ("backup", "recipients", index), "is no public key of age", "age-keygen prints it: age1…"


def _zones(site: Site) -> Broken:
    named: list[tuple[Where, str | None]] = [(("timezone",), site.timezone)]
    named += [
        (("sources", index, "timezone"), source.timezone)
        for index, source in enumerate(site.sources)
        if isinstance(source, LocalConfig | S3Config)
    ]
    for where, name in named:
        try:
            zone(name)
        except ValueError as error:
            yield where, f"{safe(name, 60)} {error}", ""


def _services(site: Site) -> Broken:
    seen: dict[str, int] = {}
    for index, service in enumerate(site.services):
        key, pattern = _called(service)
        if not pattern.fullmatch(service.name):
            yield ("services", index, key), f"{safe(service.name, 60)} is no name of a {key}", ""
        elif seen.setdefault(service.name, index) != index:
            yield ("services", index, key), f"{service.name} is the name of another service", "each has its own"
        if isinstance(service, CommandConfig):
            yield from _commands(service, index)


def _called(service: ServiceConfig) -> tuple[str, re.Pattern[str]]:
    match service:
        case SystemdConfig():
            return "unit", UNIT
        case ContainerConfig():
            return "container", CONTAINER
        case CommandConfig():
            return "name", NAME


def _commands(service: CommandConfig, index: int) -> Broken:
    for verb in ("start", "stop", "status"):
        argv = getattr(service, verb)
        if verb != "status" or argv:
            yield from _argv(argv, ("services", index, verb))
    for name in service.environment:
        if not name or "=" in name or "\0" in name:
            yield ("services", index, "environment", name), "is no name of a variable", ""


def _argv(argv: tuple[str, ...], where: Where) -> Broken:
    if not argv or not argv[0]:
        yield where, "names no program", "write [/path/of/program, argument, ...]"
    elif "/" in argv[0] and not Path(argv[0]).is_absolute():
        yield where, f"names its program by a relative path: {safe(argv[0], 60)}", "write the absolute one"


def _validator(site: Site) -> Broken:
    if site.validator is None:
        return
    yield from _argv(site.validator, ("validator",))
    if not any("{config}" in word for word in site.validator):
        yield ("validator",), "does not name {config}", "else it would check another file than the restored one"


def _health(site: Site) -> Broken:
    if site.health is not None and not is_url(site.health.url):
        yield ("health", "url"), "is no http address, or has a user in it", "write http://127.0.0.1:8081/health/ready"


def _drill(site: Site) -> Broken:
    drill, names = site.drill, [service.name for service in site.services]
    if drill.service is not None and drill.service not in names:
        yield ("drill", "service"), "is none of the services", f"one of: {', '.join(names) or 'none'}"
    if drill.start:
        yield from _argv(drill.start, ("drill", "start"))
    for name in drill.environment:
        if not name or "=" in name or "\0" in name:
            yield ("drill", "environment", name), "is no name of a variable", ""
    for index, url in enumerate(drill.health or ()):
        if not is_url(url):
            yield (
                ("drill", "health", index),
                "is no http address, or has a user in it",
                "write http://127.0.0.1:8081/health/ready",
            )
    yield from _drill_directories(site)
    if drill.message_timeout <= 0:
        yield ("drill", "message_timeout"), "must be more than 0", ""


def _notify(site: Site) -> Broken:
    if site.notify.command:
        yield from _argv(site.notify.command, ("notify", "command"))
    if site.notify.webhook is not None and not is_url(site.notify.webhook):
        yield ("notify", "webhook"), "is no http address, or has a user in it", "write https://HOST/PATH"


def _retention(site: Site) -> Broken:
    for name in COMPONENTS:
        ages: Ages = getattr(site.retention, name)
        where: Where = ("retention", name)
        told = [(key, age) for key in ("hot", "warm", "archive", "total") if (age := getattr(ages, key)) is not None]
        for (before, younger), (key, older) in pairwise(told):
            if younger > older:
                said = f"is shorter than {before}, which is {span(younger)}"
                yield (*where, key), said, f"each tier ends later than the one before it; none: {before}: null"
        if told and told[-1][0] in ("warm", "archive"):
            yield (*where, "total"), "is missing, though a tier ends", "say when backups may go: the last tier's end"
        for key, age in told:
            if age == 0:
                yield (*where, key), "must be more than 0", ""
        if ages.last is not None and ages.last < site.retention.minimum:
            yield (*where, "last"), "is less than retention.minimum", "the minimum stays in any case"
    yield from tiers(site)
    for key in ("aside", "minimum"):
        if (value := getattr(site.retention, key)) is not None and value <= 0:
            yield ("retention", key), "must be more than 0", ""


def _drill_directories(site: Site) -> Broken:
    for key in ("readable", "writable"):
        for index, path in enumerate(getattr(site.drill, key)):
            if path == Path("/") or any(getattr(site.live, name).is_relative_to(path) for name in COMPONENTS):
                yield ("drill", key, index), "holds a live part", "name the program's own directory"


def _numbers(site: Site) -> Broken:
    if site.drill.every <= 0:
        yield ("drill", "every"), "must be more than 0", ""
    for key in ("start_timeout", "stop_timeout", "question_timeout", "verify_every"):
        if getattr(site, key) <= 0:
            yield (key,), "must be more than 0", ""
    for key in ("members", "megabytes"):
        if getattr(site.limits, key) <= 0:
            yield ("limits", key), "must be more than 0", ""
    if site.health and site.health.timeout <= 0:
        yield ("health", "timeout"), "must be more than 0", ""
    for name, objective in site.objectives.items():
        for key in ("rto", "rpo"):
            if getattr(objective, key) == 0:
                yield ("objectives", name, key), "must be more than 0", ""


RULES: tuple[Callable[[Site], Broken], ...] = (
    _names, _live, _apart, _holds_no_live_part, sources, remote_sources, _audit, _backup,
    _zones, _services, _validator, _health, _drill, _notify, _retention, _numbers,
)  # fmt: skip
